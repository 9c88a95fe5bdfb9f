"""The archive path of a job: through the platform's files API, or in a folder here."""

from __future__ import annotations

import contextlib
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from datacatalog.managers.pipelinejobs.exceptions import (
    ManagedPipelineJobError,
    StorageError,
    StorageRefusal,
)
from datacatalog.managers.pipelinejobs.storage import call
from datacatalog.paths import is_inside, normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
CLEARED_ROOTS = ("/products/v2", "/sample/tacc-cloud")


def make(client: Any, system: str, path: str, folder: str | None = None) -> None:
    """Make a directory and those above it.

    Args:
        client: an `agavepy.agave.Agave`; not needed where there is a folder.
        system: the storage system.
        path: absolute.
        folder: of this machine, that is the root of the storage system.

    Raises:
        StorageError: the platform did not do it.
    """
    failure = f"{system}:{path} was not made"
    if folder is None:
        body = {"action": "mkdir", "path": posixpath.normpath(path).lstrip("/")}
        call(client.files.manage, failure, systemId=system, filePath="/", body=body)
        return
    place = _here(folder, path, failure)
    with _told(failure), _opened(place, make=True):
        pass


def clear(client: Any, system: str, path: str, folder: str | None = None) -> None:
    """Delete a directory with all that is in it, and make it again, empty.

    Args:
        client: as for `make`, like the others.
        system: the storage system.
        path: absolute.
        folder: of this machine.

    Raises:
        ManagedPipelineJobError: the path is not below one of `CLEARED_ROOTS`.
        StorageError: the platform did not do it.
    """
    normal = posixpath.normpath(path)
    if not any(is_inside(normal, root) and normal != root for root in CLEARED_ROOTS):
        message = f"{path} is not cleared: only what is below {' or '.join(CLEARED_ROOTS)} may be"
        raise ManagedPipelineJobError(message)
    failure = f"{system}:{path} was not cleared"
    if folder is None:
        # agavepy puts it into the URL as it is: after a `#`, another folder would be deleted
        call(client.files.delete, failure, absent=True, systemId=system, filePath=quote(normal))
    else:
        _remove(_here(folder, normal, failure), failure)
    make(client, system, normal, folder)


def _here(folder: str, path: str, failure: str) -> Path:
    """Return where a path of a storage system is in its folder; no link may lead elsewhere."""
    place = Path(os.path.realpath(folder) + normalize(path))
    if os.path.realpath(place) != str(place):
        message = f"{failure}: a link leads elsewhere"
        raise StorageRefusal(message)
    return place


def _remove(place: Path, failure: str) -> None:
    with _told(failure), contextlib.suppress(FileNotFoundError), _opened(place.parent) as above:
        inside = os.fwalk(place.name, topdown=False, onerror=_raise, dir_fd=above)
        for _, folders, files, at in inside:
            for name in files:
                os.unlink(name, dir_fd=at)
            for name in folders:
                _remove_folder(name, at)
        os.rmdir(place.name, dir_fd=above)


def _remove_folder(name: str, at: int) -> None:
    """Remove an empty folder, or a link to any."""
    try:
        os.rmdir(name, dir_fd=at)
    except NotADirectoryError:
        os.unlink(name, dir_fd=at)


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def _told(failure: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{failure}: {error.strerror}"
        raise StorageError(message) from error


@contextlib.contextmanager
def _opened(place: Path, *, make: bool = False) -> Iterator[int]:
    """Open a folder, one step after the other: no link is followed, which somebody may have put there meanwhile."""
    at = os.open("/", _FOLDER)
    try:
        for name in place.parts[1:]:
            try:
                below = os.open(name, _FOLDER, dir_fd=at)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=at)
                below = os.open(name, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)
