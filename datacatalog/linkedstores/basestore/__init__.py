"""What all stores share."""

from datacatalog.linkedstores.basestore import strategies
from datacatalog.linkedstores.basestore.exceptions import CatalogError, CatalogUpdateFailure
from datacatalog.linkedstores.basestore.store import LinkedStore

__all__ = ["CatalogError", "CatalogUpdateFailure", "LinkedStore", "strategies"]
