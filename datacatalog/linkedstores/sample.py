"""Samples: what is measured in an experiment."""

from __future__ import annotations

from datacatalog.linkedstores.basestore import DocumentStore


class SampleStore(DocumentStore):
    """The samples."""

    collection = "samples"
    uuid_type = "sample"
    noun = "sample"
    uuid_field = "sample_id"
    identifiers = ("uuid", "sample_id")
    required = ("sample_id", "measurements", "child_of")
    links = ("child_of",)
