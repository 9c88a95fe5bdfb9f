"""Pipelines: what jobs are runs of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from datacatalog.filetypes import LEVELS
from datacatalog.linkedstores.basestore import CatalogUpdateFailure, DocumentStore, beginnings
from datacatalog.linkedstores.basestore.store import CREATED, VISIBLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# For each kind of component, the keys that it must have, then all that count
# (docs/reference/jobs.md#identifiers)
COMPONENTS = (
    (("id", "inputs", "parameters"), ("id", "inputs", "modules", "outputs", "parameters", "uuid")),
    (("id", "image"), ("id", "image", "options", "uuid")),
    (("appId", "id"), ("appId", "id", "uuid")),
    (("hostname", "image"), ("hash", "hostname", "image", "options", "uuid")),
    (("uri",), ("identifier", "options", "uri", "uuid")),
)


class PipelineCreateFailure(CatalogUpdateFailure):
    """The pipeline was not created."""


class PipelineUpdateFailure(CatalogUpdateFailure):
    """The pipeline was not updated."""


class PipelineStore(DocumentStore):
    """The pipelines, unique by what they consist of."""

    collection = "pipelines"
    uuid_type = "pipeline"
    noun = "pipeline"
    identifiers = ("uuid", "id")
    links = ("child_of", "derived_from")
    kept = ("components",)
    required = ("name", "components", "id", "processing_levels")
    defaults: ClassVar[dict[str, Any]] = {
        "description": None,
        "accepts": [],
        "produces": [],
        "pipeline_type": "generic-process",
        "collections_levels": [],
    }
    create_failure = PipelineCreateFailure
    update_failure = unknown = PipelineUpdateFailure
    indexed = (CREATED,)

    def beginning_with(self, text: str, limit: int) -> list[str]:
        """Return the UUIDs of visible pipelines that begin with eight or more characters."""
        query = beginnings.query(text)
        if query is None:
            return []
        found = self.coll.find({**query, VISIBLE: {"$ne": False}}, {"uuid": 1}, limit=limit)
        return [str(row["uuid"]) for row in found]

    def _check_values(self, given: Mapping[str, Any], failure: type[CatalogUpdateFailure]) -> None:
        super()._check_values(given, failure)
        levels = given.get("processing_levels", [])
        for level in levels if isinstance(levels, list | tuple) else [levels]:
            if level not in LEVELS:
                message = (
                    f"processing_levels of a pipeline has {level!r:.60}: "
                    f"give a list of strings, of {', '.join(LEVELS)}"
                )
                raise failure(message)

    def get_typeduuid(self, payload: Any) -> str:
        """Return the UUID of a pipeline document, or of its id and components as one text."""
        if isinstance(payload, str):
            return self.uuid_of(payload)
        components = payload.get("components", [])
        if not isinstance(components, list | tuple) or not all(
            isinstance(component, dict) for component in components
        ):
            message = f"components of a pipeline is {components!r:.60}: give a list of objects"
            raise PipelineCreateFailure(message)
        return self.uuid_of(
            f"{payload.get('id', 'pipeline.id')}:{serialize_components(components)}"
        )


def serialize_components(components: Sequence[Mapping[str, Any]]) -> str:
    """Return the JSON text that stands for a pipeline's components in its UUID."""
    reduced = []
    for component in components:
        for required, keys in COMPONENTS:
            if all(key in component for key in required):
                reduced.append({key: component[key] for key in keys if key in component})
                break
    return json.dumps(reduced, sort_keys=True, separators=(",", ":"))
