"""Files on the platform's storage systems, for actors that watch uploads."""

from __future__ import annotations

from typing import Any

from datacatalog import paths
from datacatalog.managers.pipelinejobs import archive
from datacatalog.managers.pipelinejobs.storage import open_storage
from datacatalog.settings import CatalogSettings

__all__ = ["AgaveHelper", "from_agave_uri", "to_agave_uri"]

to_agave_uri = paths.to_uri


def from_agave_uri(uri: str) -> tuple[str, str]:
    """Return the storage system and the path of an `agave://` URI.

    Raises:
        ValueError: it is none.
    """
    placed = paths.from_uri(uri)
    if placed is None:
        message = f"{uri!r:.80} is not an agave:// URI"
        raise ValueError(message)
    return placed


class AgaveHelper:
    """What is on a storage system.

    Args:
        client: an `agavepy.agave.Agave`; not needed for storage systems in folders here.
        catalog: the catalog's settings, by default those of the environment.
    """

    def __init__(self, client: Any = None, *, catalog: CatalogSettings | None = None) -> None:
        self.client = client
        self.catalog = catalog or CatalogSettings.from_environ()

    def listdir(
        self, path: str, recurse: bool = True, storage_system: str | None = None
    ) -> list[str]:
        """Return the paths of the files in a directory, sorted.

        Args:
            path: absolute.
            recurse: also those in the directories below.
            storage_system: by default that of the catalog.

        Raises:
            StorageError: it cannot be listed.
        """
        system = storage_system or self.catalog.storage_system
        root = paths.normalize(path)
        found = [each.path for each in open_storage(system, self.client, self.catalog).walk(root)]
        if not recurse:
            found = [name for name in found if name.rpartition("/")[0] == root.rstrip("/")]
        return sorted(found)

    def mkdir(self, path: str, storage_system: str | None = None) -> None:
        """Make a directory and those above it.

        Raises:
            StorageError: the platform did not do it.
        """
        archive.make(self.client, storage_system or self.catalog.storage_system, path)
