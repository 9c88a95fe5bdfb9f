"""Fixities: what the content of a file was when it was last read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore import DocumentStore

if TYPE_CHECKING:
    from datacatalog.mongo import Document

FIRST_VERSION = 1


class FixityStore(DocumentStore):
    """The fixities, each of the file with the same name."""

    collection = "fixities"
    uuid_type = "fixity"
    noun = "fixity"
    uuid_field = "name"
    identifiers = ("uuid", "name")
    path_fields = ("name",)
    required = ("name",)
    links = ("child_of",)
    indexed = ("fingerprint", "checksum")
    moments = ("created", "modified")
    texts = ("storage_system",)

    def completed(self, fields: Document) -> Document:
        """Return a fixity with its version and storage system."""
        return {
            "storage_system": self.catalog.storage_system,
            "version": FIRST_VERSION,
            **fields,
        }

    def amended(self, stored: Document, document: Document) -> Document:
        """Return a fixity with the next version, and the date of creation that it had first."""
        created = {"created": stored["created"]} if "created" in stored else {}
        return {**document, **created, "version": stored.get("version", FIRST_VERSION) + 1}
