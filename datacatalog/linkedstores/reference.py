"""References: what jobs use and did not make, such as a protein in a public database."""

from __future__ import annotations

from datacatalog.linkedstores.basestore import DocumentStore


class ReferenceStore(DocumentStore):
    """The references."""

    collection = "references"
    uuid_type = "reference"
    noun = "reference"
    uuid_field = "reference_id"
    identifiers = ("uuid", "reference_id", "uri")
    required = ("uri", "name", "reference_id")
    links = ("child_of",)
