"""Storage systems of both kinds, to put the outputs of jobs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from datacatalog.settings import CatalogSettings
from tests.datacatalog.storage import Storage

SYSTEM = "data-sd2e-community"


class Place(Protocol):
    """A storage system, and what a job needs to get to it."""

    client: Any
    catalog: CatalogSettings

    def put(self, path: str, content: bytes) -> None:
        """Put a file."""

    def block(self, path: str) -> None:
        """Make a file unreadable; it is still listed."""


class Remote:
    """Behind the files API."""

    def __init__(self, storage: Storage, client: Any) -> None:
        self.storage, self.client = storage, client
        self.catalog = CatalogSettings()

    def put(self, path: str, content: bytes) -> None:
        self.storage.put(f"{SYSTEM}:{path}", content)

    def block(self, path: str) -> None:
        self.storage.unreadable.add(f"{SYSTEM}:{path}")


class Here:
    """In a folder of this machine."""

    client = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = CatalogSettings(local_storage={SYSTEM: str(folder)})

    def put(self, path: str, content: bytes) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def block(self, path: str) -> None:
        # not by permissions, which root does not mind: of all reads, that of this one fails
        place = self.folder / path.lstrip("/")
        place.unlink()
        place.symlink_to("/proc/self/mem")
