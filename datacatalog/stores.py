"""Storage systems, for actors that tell others where files are on disk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from datacatalog.managers.pipelinejobs.exceptions import StorageError
from datacatalog.managers.pipelinejobs.storage import call
from datacatalog.settings import CatalogSettings


class StorageSystem:
    """A storage system of the platform.

    Args:
        name: its id.
        agave: an `agavepy.agave.Agave`; not needed for one in a folder here.
        catalog: the catalog's settings, by default those of the environment.
    """

    def __init__(
        self, name: str, agave: Any = None, *, catalog: CatalogSettings | None = None
    ) -> None:
        self.name = self.system_id = name
        self._client = agave
        self._folders = (catalog or CatalogSettings.from_environ()).local_storage

    @cached_property
    def root_dir(self) -> str:
        """The directory that its paths begin at, on the machines that it is mounted on.

        Raises:
            StorageError: the platform does not tell.
        """
        if self.name in self._folders:
            return self._folders[self.name]
        failure = f"the root of {self.name} is not known"
        if self._client is None:
            message = f"{failure}: give a client of the platform"
            raise StorageError(message)
        found = call(self._client.systems.get, failure, systemId=self.name)
        return str(found["storage"]["rootDir"])
