"""Experiments: runs of a design."""

from __future__ import annotations

from datacatalog.linkedstores.basestore import DocumentStore


class ExperimentStore(DocumentStore):
    """The experiments."""

    collection = "experiments"
    uuid_type = "experiment"
    noun = "experiment"
    uuid_field = "experiment_id"
    identifiers = ("uuid", "experiment_id")
    required = ("experiment_id",)
    links = ("child_of",)
