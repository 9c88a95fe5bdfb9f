"""Storage systems, for actors that tell others where files are on disk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from datacatalog.managers.pipelinejobs.storage import root_of
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
        self._catalog = catalog or CatalogSettings.from_environ()

    @cached_property
    def root_dir(self) -> str:
        """The directory that its paths begin at, on the machines that it is mounted on.

        Raises:
            StorageError: the platform does not tell.
        """
        return root_of(self.name, self._client, self._catalog)
