"""Processes: how files come about that no pipeline has made, with an instrument for instance."""

from __future__ import annotations

from datacatalog.linkedstores.basestore import DocumentStore


class ProcessStore(DocumentStore):
    """The processes."""

    collection = "processes"
    uuid_type = "process"
    noun = "process"
    uuid_field = "process_id"
    identifiers = ("uuid", "process_id")
    required = ("name", "process_id")
    links = ("child_of",)
