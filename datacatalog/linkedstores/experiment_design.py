"""Experiment designs: the plans of experiments."""

from __future__ import annotations

from datacatalog.linkedstores.basestore import DocumentStore


class ExperimentDesignStore(DocumentStore):
    """The experiment designs."""

    collection = "experiment_designs"
    uuid_type = "experiment_design"
    noun = "experiment design"
    uuid_field = "uri"
    identifiers = ("uuid", "uri")
    aliases = ("experiment_design_id",)
    required = ("experiment_design_id", "uri")
    links = ("child_of",)
