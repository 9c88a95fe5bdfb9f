"""Files on storage systems, known by their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog import filetypes, paths
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import DocumentStore

if TYPE_CHECKING:
    from datacatalog.mongo import Document


class FileStore(DocumentStore):
    """The files."""

    collection = "files"
    uuid_type = "file"
    noun = "file"
    uuid_field = "name"
    identifiers = ("uuid", "name")
    aliases = ("file_id",)
    path_fields = ("name",)
    required = ("name",)
    links = ("child_of", "derived_from", "derived_using", "generated_by")
    indexed = ("type", "level")
    texts = ("storage_system",)

    def completed(self, fields: Document) -> Document:
        """Return a file with its type by its name, and the id of its place."""
        system = fields.get("storage_system") or self.catalog.storage_system
        place = self.uuid_of(paths.to_uri(system, fields["name"]))
        return {
            "type": filetypes.by_name(fields["name"]),
            "level": filetypes.UNKNOWN_LEVEL,
            **fields,
            "storage_system": system,
            "file_id": f"file.tacc.{typeduuid.uuid_to_hashid(place)}",
        }
