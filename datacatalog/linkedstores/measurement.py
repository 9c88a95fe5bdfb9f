"""Measurements of samples, and the files that hold them."""

from __future__ import annotations

from datacatalog.linkedstores.basestore import DocumentStore


class MeasurementStore(DocumentStore):
    """The measurements."""

    collection = "measurements"
    uuid_type = "measurement"
    noun = "measurement"
    uuid_field = "measurement_id"
    identifiers = ("uuid", "measurement_id")
    required = ("files", "measurement_id", "measurement_type", "child_of")
    links = ("child_of",)
    indexed = ("measurement_type", "timepoint")
