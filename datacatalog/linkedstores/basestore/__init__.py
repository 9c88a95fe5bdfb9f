"""What all stores share."""

from datacatalog.linkedstores.basestore import strategies
from datacatalog.linkedstores.basestore.documentstore import DocumentStore
from datacatalog.linkedstores.basestore.exceptions import CatalogError, CatalogUpdateFailure
from datacatalog.linkedstores.basestore.linked import LinkedStore

__all__ = ["CatalogError", "CatalogUpdateFailure", "DocumentStore", "LinkedStore", "strategies"]
