"""What all managers have: the stores, and the way from an identifier to a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from datacatalog.mongo import Document
    from datacatalog.settings import CatalogSettings


class Manager:
    """The stores of a catalog, by the names of their kinds, such as `pipeline` and `file`.

    Args:
        mongodb: settings or a `pymongo` database, as for all stores.
        agave: a client of the platform, for files.
        catalog: the catalog's settings, by default those of the environment.
    """

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        agave: Any = None,
        *,
        catalog: CatalogSettings | None = None,
    ) -> None:
        self.stores = self.init_stores(mongodb, agave, catalog=catalog)
        self.client = agave

    @classmethod
    def init_stores(
        cls,
        mongodb: Mapping[str, Any] | Database[Any],
        agave: Any = None,
        *,
        catalog: CatalogSettings | None = None,
    ) -> dict[str, Any]:
        """Return one store of each kind; the arguments are those of the class."""
        return {
            kind: store(mongodb, agave=agave, catalog=catalog)
            for kind, store in lookup.KINDS.items()
        }

    def get_by_uuid(self, uuid: str) -> Document | None:
        """Return the visible document with a typed UUID, or None."""
        uuid = typeduuid.canonical(uuid) if isinstance(uuid, str) else uuid
        if not typeduuid.validate(uuid, permissive=True):
            return None
        store = self.stores.get(typeduuid.get_uuidtype(uuid))
        found: Document | None = None if store is None else store.find_one_by_uuid(uuid)
        return found

    def get_by_identifier(self, identifier: str) -> Document | None:
        """Return the visible document with an identifier of any kind, or None."""
        uuid = self.get_uuid_from_identifier(identifier)
        return None if uuid is None else self.get_by_uuid(uuid)

    def get_uuid_from_identifier(self, identifier: str) -> str | None:
        """Return the typed UUID that an identifier of any kind stands for, or None.

        A typed UUID stands for itself, whether there is such a document or not.
        """
        return lookup.resolve(self.stores["file"].db, identifier)
