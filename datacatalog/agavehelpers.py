"""Files on the platform's storage systems, for actors that watch uploads."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from datacatalog import paths
from datacatalog.managers.pipelinejobs import archive
from datacatalog.managers.pipelinejobs.exceptions import NotStored, StorageError
from datacatalog.managers.pipelinejobs.storage import open_storage, root_of
from datacatalog.settings import CatalogSettings

AgaveHelperException = AgaveHelperError = StorageError


def to_agave_uri(system: str, directory: str, file_name: str | None = None) -> str:
    """Return the `agave://` URI of a directory, or of a file in it."""
    return paths.to_uri(system, paths.normalize(f"{directory}/{file_name or ''}"))


def from_agave_uri(uri: str) -> tuple[str, str, str]:
    """Return the storage system, the directory and the name of the file of an `agave://` URI.

    One that ends in a slash names a directory, and no file.

    Raises:
        ValueError: it is no such URI.
    """
    placed = paths.from_uri(uri)
    if placed is None:
        message = f"{uri!r:.80} is not an agave:// URI"
        raise ValueError(message)
    system, path = placed
    return (system, path, "") if uri.endswith("/") else (system, *posixpath.split(path))


class AgaveHelper:
    """What is on a storage system.

    Args:
        client: an `agavepy.agave.Agave`; not needed for storage systems in folders here.
        storage_system: the one that is meant where no other is named, by default the catalog's.
        catalog: the catalog's settings, by default those of the environment.
    """

    def __init__(
        self,
        client: Any = None,
        storage_system: str | None = None,
        *,
        catalog: CatalogSettings | None = None,
    ) -> None:
        self.client = client
        self.catalog = catalog or CatalogSettings.from_environ()
        self.storage_system = storage_system or self.catalog.storage_system

    def listdir(
        self,
        path: str,
        recurse: bool = True,
        storage_system: str | None = None,
        directories: bool = False,
    ) -> list[str]:
        """Return the paths of the files in a directory, sorted.

        Args:
            path: absolute.
            recurse: also those in the directories below.
            storage_system: by default that of the helper.
            directories: also the directories that these files are in, without the one at `path`.

        Raises:
            NotStored: there is no such directory.
            StorageError: it cannot be listed.
        """
        root = paths.normalize(path)
        storage = open_storage(storage_system or self.storage_system, self.client, self.catalog)
        files = [paths.normalize(found.path) for found in storage.walk(root)]
        names = {*files, *(_between(files, root) if directories else ())}
        if not recurse:
            names = {name for name in names if posixpath.dirname(name) == root}
        return sorted(names)

    def exists(self, path: str, storage_system: str | None = None) -> bool:
        """Tell whether there is a file or a directory.

        Raises:
            StorageError: the storage system does not say.
        """
        return self._first(path, storage_system) is not None

    def isfile(self, path: str, storage_system: str | None = None) -> bool:
        """Tell whether there is a file; raises as `exists` does."""
        return self._first(path, storage_system) == paths.normalize(path)

    def isdir(self, path: str, storage_system: str | None = None) -> bool:
        """Tell whether there is a directory; raises as `exists` does."""
        return self._first(path, storage_system) not in (None, paths.normalize(path))

    def mapped_posix_path(self, path: str, storage_system: str | None = None) -> str:
        """Return where a path is on this machine.

        That is in the storage system's folder here, else in the directory that it begins at where
        it is mounted, if that is here, too.

        Raises:
            StorageError: the storage system is in no folder of this machine, or the platform does
                not tell where it begins.
        """
        system = storage_system or self.storage_system
        folder = self.catalog.local_storage.get(system)
        if folder is None and self.client is not None:
            root = root_of(system, self.client, self.catalog)
            folder = root if Path(root).is_dir() else None
        if folder is None:
            message = f"{system} is in no folder here: set CATALOG_LOCAL_STORAGE={system}=/folder"
            raise StorageError(message)
        return folder.rstrip("/") + paths.normalize(path)

    def mkdir(self, path: str, storage_system: str | None = None) -> None:
        """Make a directory and those above it, unless they are there.

        Raises:
            StorageError: the storage system did not do it.
        """
        system = storage_system or self.storage_system
        open_storage(system, self.client, self.catalog)
        archive.make(self.client, system, path, self.catalog.local_storage.get(system))

    def _first(self, path: str, storage_system: str | None) -> str | None:
        """Return the path of the first file in a directory; "" where it has none, None without it."""
        storage = open_storage(storage_system or self.storage_system, self.client, self.catalog)
        try:
            found = next(iter(storage.walk(path)), None)
        except NotStored:
            return None
        return "" if found is None else paths.normalize(found.path)


def _between(files: list[str], root: str) -> set[str]:
    """Return the directories that files are in, below a root."""
    found: set[str] = set()
    for name in files:
        folder = posixpath.dirname(name)
        while folder != root and paths.is_inside(folder, root) and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return found
