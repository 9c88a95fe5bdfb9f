"""Whole trees of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactors.agaveutils.errors import call
from reactors.agaveutils.files import place
from reactors.tenant import segment

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = 100


class PemAgent:
    """Grants permissions.

    Args:
        client: an `agavepy.agave.Agave`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def grant(
        self, system: str, abspath: str, username: str = "world", pem: str = "READ"
    ) -> list[str]:
        """Grant a permission on a file, or on a directory and all that is below it.

        Each is granted for itself: the platform's own recursion gives up on large directories.

        Args:
            system: the storage system.
            abspath: the file or directory.
            username: whom it is granted to; `world` for everybody.
            pem: `READ`, `WRITE`, `EXECUTE`, `READ_WRITE`, `READ_EXECUTE`, `WRITE_EXECUTE`, `ALL`,
                or `NONE` to take it back.

        Returns:
            The paths on which it was granted.

        Raises:
            PlatformError: one was not granted; those before it were.
        """
        granted = []
        for path in walk(self._client, system, abspath):
            call(
                self._client.files.updatePermissions,
                f"{pem} on {system}:{path} was not granted to {username}",
                systemId=segment(system),
                filePath=place(path),
                body={"username": username, "permission": pem, "recursive": False},
            )
            granted.append(path)
        return granted


def walk(client: Any, system: str, abspath: str) -> Iterator[str]:
    """Yield the path of a file or directory and of all that is below it.

    Args:
        client: an `agavepy.agave.Agave`.
        system: the storage system.
        abspath: the file or directory.

    Raises:
        PlatformError: one was not listed.
    """
    waiting = [f"/{abspath.strip('/')}"]
    seen = set(waiting)
    yield waiting[0]
    while waiting:
        for entry in _list(client, system, waiting.pop()):
            path = f"/{entry['path'].strip('/')}"
            if path not in seen:
                seen.add(path)
                yield path
                if entry["type"] == "dir":
                    waiting.append(path)


def _list(client: Any, system: str, path: str) -> Iterator[Any]:
    """Yield what is in a directory, and itself; of a file, the file."""
    offset = 0
    while True:
        page = call(
            client.files.list,
            f"{system}:{path} was not listed",
            systemId=segment(system),
            filePath=place(path),
            limit=_PAGE,
            offset=offset,
        )
        yield from page
        if len(page) < _PAGE:
            return
        offset += len(page)
