"""What files are derived from: from the ways to name a source to typed UUIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacatalog import paths
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores import lookup
from datacatalog.managers.pipelinejobs.exceptions import InvalidRequest

if TYPE_CHECKING:
    from datacatalog.linkedstores.file import FileStore

TYPES = ("file", "reference")


class Source(NamedTuple):
    """What files are derived from."""

    uuid: str
    path: str | None
    """None where it was not named by a path"""
    exists: bool
    """whether it is in the catalog"""
    system: str | None = None
    """where the path is, as far as that was said"""


def find(files: FileStore, source: str) -> str | None:
    """Return the UUID of a file or reference that is in the catalog, or None."""
    _, path = _place(source, None)
    name = path or source.strip()
    found = lookup.resolve(files.db, name)
    return found if found is not None and typeduuid.get_uuidtype(found) in TYPES else None


def resolve(files: FileStore, source: str, archive_path: str) -> Source:
    """Return what a file is derived from.

    Args:
        files: the store of files.
        source: the UUID or an identifier of a file or reference, an `agave://` URI, an absolute
            path, or one that begins with `./` and is relative to the archive path. What is at a
            path needs not be in the catalog yet: its UUID follows from the path.
        archive_path: of the job.

    Raises:
        InvalidRequest: it is none of these.
    """
    system, path = _place(source, archive_path)
    found = find(files, path or source)
    if found is not None:
        return Source(found, path, exists=True)
    if path is None:
        message = f"nothing is known that files could be derived from as {source!r:.80}: give a file or reference of the catalog, or a path"
        raise InvalidRequest(message)
    return Source(files.get_typeduuid(path), path, exists=False, system=system)


def _place(source: str, archive_path: str | None) -> tuple[str | None, str | None]:
    """Return the storage system and the path that are named, as far as they are."""
    text = source.strip()
    placed = paths.from_uri(text)
    if placed is not None:
        return placed
    if text.startswith("/"):
        return None, paths.normalize(text)
    if archive_path is not None and text.startswith("./"):
        return None, paths.normalize(f"{archive_path}/{text}")
    return None, None
