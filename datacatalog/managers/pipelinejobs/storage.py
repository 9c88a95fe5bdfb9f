"""The files of a storage system: through the platform's files API, or in a folder here."""

from __future__ import annotations

import datetime
import errno
import logging
import os
import re
import stat
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

from datacatalog.managers.pipelinejobs.exceptions import NotStored, StorageError, StorageRefusal
from datacatalog.paths import is_inside, normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.settings import CatalogSettings

PAGE = 250
"""How many entries of a directory are asked for at once."""
PART_BYTES = 2 * 1024 * 1024
"""How much of a file is read at once; clients may bound an answer to a few MiB."""
MAX_LEVELS = 64
_log = logging.getLogger(__name__)
_NOT_FOUND, _PARTIAL = 404, 206
_STATUSES: dict[int, type[StorageError]] = {
    _NOT_FOUND: NotStored,
    **dict.fromkeys((400, 403), StorageRefusal),
}
"""What an HTTP status of the files API means; all else may pass."""
_KINDS: dict[int, type[StorageError]] = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), NotStored),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG), StorageRefusal),
}
"""What a folder that cannot be listed means; all else may pass."""
_SYSTEM = re.compile(r"\w[\w.-]*", re.ASCII)
"""What a storage system may be called: agavepy puts it into the URL as it is, whoever has named it."""
_TOTAL = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Found(NamedTuple):
    """A file."""

    path: str
    """absolute on its storage system"""
    size: int
    created: datetime.datetime | None
    modified: datetime.datetime | None
    inode: tuple[int, int] | None = None
    """device and number of a file of this machine"""


class Storage(Protocol):
    """A storage system."""

    def walk(self, folder: str) -> Iterator[Found]:
        """Yield the files in a folder and below it, or the one file that is there instead.

        Raises:
            NotStored: there is nothing at this path.
            StorageError: they cannot be listed.
        """

    def read(self, found: Found) -> Iterator[bytes]:
        """Yield the content of a file, a part at a time.

        Raises:
            StorageError: it cannot be read.
        """


def open_storage(system: str, client: Any, catalog: CatalogSettings) -> Storage:
    """Return a storage system: its folder on this machine if it has one, else by the client.

    Raises:
        StorageError: there is neither.
    """
    folder = catalog.local_storage.get(system)
    if folder is not None:
        return Folder(system, folder)
    if client is None:
        message = f"there is no way to the files of {system}: give a client of the platform, or set CATALOG_LOCAL_STORAGE={system}=/folder"
        raise StorageError(message)
    return Platform(system, client)


def root_of(system: str, client: Any, catalog: CatalogSettings) -> str:
    """Return the directory that the paths of a storage system begin at, where it is mounted.

    Raises:
        StorageError: it has no folder on this machine, and the platform does not tell.
    """
    if system in catalog.local_storage:
        return catalog.local_storage[system]
    failure = f"the root of {system} is not known"
    if client is None:
        message = f"{failure}: give a client of the platform"
        raise StorageError(message)
    found = call(client.systems.get, failure, systemId=system)
    return str(found["storage"]["rootDir"])


class Platform:
    """A storage system behind the files API.

    Args:
        system: its id.
        client: an `agavepy.agave.Agave`.
    """

    def __init__(self, system: str, client: Any) -> None:
        self._system = system
        self._client = client

    def walk(self, folder: str) -> Iterator[Found]:
        """Yield the files in a folder and below it."""
        waiting = [(normalize(folder), 0)]
        while waiting:
            path, level = waiting.pop()
            _check_level(self._system, path, level)
            for entry in self._entries(path, level):
                name = normalize(entry["path"])
                if not is_inside(name, path):
                    continue
                if entry.get("type") != "dir":
                    modified = _moment(entry.get("lastModified"))
                    yield Found(entry["path"], int(entry.get("length") or 0), modified, modified)
                elif name != path:
                    waiting.append((name, level + 1))

    def _entries(self, path: str, level: int) -> Iterator[dict[str, Any]]:
        try:
            yield from self._list(path)
        except NotStored as error:
            if level == 0:
                raise
            # it was there a moment ago
            raise StorageError(str(error)) from error

    def _list(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield what is in a directory; the server may give fewer entries at once than asked for."""
        known: set[str] = set()
        offset = 0
        while True:
            page = call(
                self._client.files.list,
                f"{self._system}:{path} was not listed",
                systemId=self._system,
                filePath=quote(path),
                limit=PAGE,
                offset=offset,
            )
            new = [entry for entry in page if entry["path"] not in known]
            if not new:
                return
            yield from new
            known.update(entry["path"] for entry in new)
            offset += len(page)

    def read(self, found: Found) -> Iterator[bytes]:
        """Yield the content of a file, as many requests as it has parts."""
        failure = f"{self._system}:{found.path} was not read"
        offset, total = 0, found.size
        while offset < total:
            response = call(
                self._client.files.download,
                failure,
                systemId=self._system,
                filePath=quote(found.path),
                headers={
                    "Range": f"bytes={offset}-{offset + PART_BYTES - 1}",
                    "Accept-Encoding": "identity",
                },
            )
            part: bytes = response.content
            if response.status_code == _PARTIAL:
                begin, total = _range(response.headers.get("Content-Range"), failure)
            else:
                begin, total = 0, len(part)
            if begin != offset or not part or total != found.size:
                message = f"{failure}: it is being changed"
                raise StorageError(message)
            yield part
            offset += len(part)


class Folder:
    """A storage system whose files are below a folder of this machine.

    Links are followed to files within the folder only, so that nobody's outputs can make others'
    files public.

    Args:
        system: its id.
        folder: what is the root of the storage system.
    """

    def __init__(self, system: str, folder: str) -> None:
        self._system = system
        self._root = os.path.realpath(folder)

    def walk(self, folder: str) -> Iterator[Found]:
        """Yield the files in a folder and below it, without those that are odd."""
        waiting = [(normalize(folder), 0)]
        while waiting:
            path, level = waiting.pop()
            _check_level(self._system, path, level)
            try:
                if level == 0 and (found := self._found(path)):
                    yield found
                    return
                listed = self._list(path)
            except OSError as error:
                if level == 0:
                    kind = _KINDS.get(error.errno or 0, StorageError)
                    message = f"{self._system}:{path} was not listed: {error.strerror}"
                    raise kind(message) from error
                self._skip(path, error)
                continue
            for child, entry in listed:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((child, level + 1))
                    elif found := self._found(child):
                        yield found
                except FileNotFoundError:  # gone meanwhile, or a link to nowhere
                    continue
                except OSError as error:
                    self._skip(child, error)

    def _list(self, path: str) -> list[tuple[str, os.DirEntry[str]]]:
        """Return what is in a folder."""
        place = self._place(path)
        if place is None:
            return []
        with os.scandir(place) as entries:
            return [(f"{path.rstrip('/')}/{entry.name}", entry) for entry in entries]

    def _skip(self, path: str, error: OSError) -> None:
        _log.warning("%s:%a is left out: %s", self._system, path, error.strerror)

    def _found(self, path: str) -> Found | None:
        place = self._place(path)
        if place is None:
            return None
        return _described(path, os.stat(place))  # noqa: PTH116 - a path on another system, not on this one

    def read(self, found: Found) -> Iterator[bytes]:
        """Yield the content of a file, which has to be the one that was listed, unchanged."""
        failure = f"{self._system}:{found.path} was not read"
        place = self._place(found.path)
        if place is None:
            message = f"{failure}: it is gone"
            raise StorageError(message)
        try:
            with open(place, "rb", opener=_open_at_once) as stream:
                _check_unchanged(found, stream.fileno(), failure)
                left = found.size
                while left and (part := stream.read(min(left, PART_BYTES))):
                    left -= len(part)
                    yield part
                _check_unchanged(found, stream.fileno(), failure)
        except OSError as error:
            message = f"{failure}: {error.strerror}"
            raise StorageError(message) from error

    def _place(self, path: str) -> str | None:
        """Return where a path of the storage system is here, or None if that is elsewhere."""
        place = os.path.realpath(self._root + path)
        return place if is_inside(place, self._root) else None


def _check_level(system: str, path: str, level: int) -> None:
    if level > MAX_LEVELS:
        message = f"{system}:{path:.200} is nested more than {MAX_LEVELS} levels deep: is there a link that leads back?"
        raise StorageRefusal(message)


def _described(path: str, about: os.stat_result) -> Found | None:
    """Return a file of this machine, or None if that is something else."""
    if not stat.S_ISREG(about.st_mode):
        return None
    created, modified = _date(about.st_ctime), _date(about.st_mtime)
    return Found(path, about.st_size, created, modified, (about.st_dev, about.st_ino))


def _date(seconds: float) -> datetime.datetime | None:
    """Return a time of a file; None for one that no calendar has, which its owner may set."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError):
        return None


def _open_at_once(place: str, flags: int) -> int:
    """Open a file as `open` does, without following a link or waiting for a pipe's other end."""
    return os.open(place, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _check_unchanged(found: Found, number: int, failure: str) -> None:
    now = _described(found.path, os.fstat(number))
    if now is None or now._replace(created=found.created) != found:
        message = f"{failure}: it is being changed"
        raise StorageError(message)


def call(operation: Any, failure: str, *, absent: bool = False, **arguments: Any) -> Any:
    """Call an operation of the files API; return its result.

    Args:
        operation: of the client.
        failure: begins the error.
        absent: return None instead of an error if what it is about is not there.
        arguments: of the operation.

    Raises:
        NotStored: what it is about is not there.
        StorageRefusal: it may not be done, or not what is named so.
        StorageError: the platform did not do it.
    """
    system = str(arguments.get("systemId"))
    if not _SYSTEM.fullmatch(system):
        message = f"{system!r:.80} is not the name of a storage system"
        raise StorageRefusal(message)
    try:
        return operation(**arguments)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if absent and status == _NOT_FOUND:
            return None
        reason = f"HTTP status {status}" if status else type(error).__name__
        message = f"{failure}: {reason}"
        raise _STATUSES.get(status or 0, StorageError)(message) from error


def _range(header: object, failure: str) -> tuple[int, int]:
    parts = _TOTAL.fullmatch(str(header))
    if parts is None:
        message = f"{failure}: the server does not say which part it gives"
        raise StorageError(message)
    return int(parts[1]), int(parts[2])


def _moment(value: object) -> datetime.datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    return value if isinstance(value, datetime.datetime) else None
