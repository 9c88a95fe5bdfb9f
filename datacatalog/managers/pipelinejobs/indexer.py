"""Bring files into the catalog that are not outputs of a job, such as uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog import paths
from datacatalog.managers.common import Manager
from datacatalog.managers.pipelinejobs.exceptions import NotStored
from datacatalog.managers.pipelinejobs.indexing import read
from datacatalog.managers.pipelinejobs.storage import open_storage

if TYPE_CHECKING:
    from datacatalog.mongo import Document


class Indexer(Manager):
    """Indexes one file at a time, whoever has written it."""

    def index_if_exists(
        self, abs_filename: str, storage_system: str | None = None, check_exists: bool = True
    ) -> Document:
        """Write a file and its fixity into the catalog, again if it has changed.

        Args:
            abs_filename: its absolute path.
            storage_system: by default that of the catalog.
            check_exists: whether the file is looked for, and read; else only its name is written.

        Returns:
            The document of the file.

        Raises:
            NotStored: there is no such file.
            StorageError: the storage system did not give it.
        """
        files, fixities = self.stores["file"], self.stores["fixity"]
        system = storage_system or files.catalog.storage_system
        name = paths.normalize(abs_filename)
        known: Document = {"name": name, "storage_system": system}
        if check_exists:
            storage = open_storage(system, self.client, files.catalog)
            found = next(iter(storage.walk(name)), None)
            if found is None or paths.normalize(found.path) != name:
                message = f"{system}:{name} is not a file"
                raise NotStored(message)
            fixity = read(files, storage, system, found)
            known["type"] = fixity["type"]
            fixities.record([fixity])
        document: Document = files.record([known])[0]
        return document
