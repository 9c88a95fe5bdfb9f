"""Pipelines: what jobs are runs of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from datacatalog import documents
from datacatalog.linkedstores.basestore import CatalogUpdateFailure, LinkedStore, strategies
from datacatalog.linkedstores.basestore.paging import CREATED
from datacatalog.linkedstores.basestore.store import next_properties, unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.mongo import Document

# Kind of component: the keys that it must have, then all that count (spec: jobs, section 4)
COMPONENTS = (
    (("id", "inputs", "parameters"), ("id", "inputs", "modules", "outputs", "parameters", "uuid")),
    (("id", "image"), ("id", "image", "options", "uuid")),
    (("appId", "id"), ("appId", "id", "uuid")),
    (("hostname", "image"), ("hash", "hostname", "image", "options", "uuid")),
    (("uri",), ("identifier", "options", "uri", "uuid")),
)
REQUIRED = ("name", "components", "id", "processing_levels")
DEFAULTS: dict[str, Any] = {
    "description": None,
    "accepts": [],
    "produces": [],
    "pipeline_type": "generic-process",
    "collections_levels": [],
}


class PipelineCreateFailure(CatalogUpdateFailure):
    """The pipeline was not created."""


class PipelineUpdateFailure(CatalogUpdateFailure):
    """The pipeline was not updated."""


class PipelineStore(LinkedStore):
    """The pipelines, unique by what they consist of."""

    collection = "pipelines"
    uuid_type = "pipeline"
    identifiers = ("uuid", "id")
    links = ("child_of", "derived_from")
    indexed = (CREATED,)

    def get_typeduuid(self, payload: Mapping[str, Any]) -> str:
        """Return the UUID of a pipeline document, which depends on its id and components."""
        components = serialize_components(payload.get("components", []))
        identifier = payload.get("id", "pipeline.id")
        return super().get_typeduuid(f"{identifier}:{components}")

    def add_update_document(
        self,
        document: Mapping[str, Any],
        uuid: str | None = None,
        token: str | None = None,
        strategy: str = strategies.MERGE,
    ) -> Document:
        """Add a pipeline, or change the one with the same UUID.

        Args:
            document: `name`, `id`, `components` and `processing_levels`, perhaps more.
            uuid: the pipeline to change, by default the one that `document` describes.
            token: needed for a change: the pipeline's own token or an administrative one.
            strategy: `strategies.MERGE` or `strategies.REPLACE`.

        Returns:
            The stored document and its `_update_token`. Where the document is there already
            just as given, it is returned as it is, with the token only if one was shown.

        Raises:
            PipelineCreateFailure: a field is missing, or another pipeline has this `id`.
            PipelineUpdateFailure: there is no pipeline with this `uuid`.
            InvalidToken: the token does not allow the change.
        """
        fields = {name: value for name, value in document.items() if not name.startswith("_")}
        target = uuid or fields.get("uuid") or self.get_typeduuid(fields)
        stored = self.coll.find_one({"uuid": target})
        if stored is None:
            if uuid is not None:
                message = f"No pipeline exists with UUID {uuid}"
                raise PipelineUpdateFailure(message)
            return self._add(fields)
        return self._update(stored, fields, token, strategy)

    def _add(self, fields: dict[str, Any]) -> Document:
        _check_required(fields, PipelineCreateFailure)
        documents.check(fields, "pipeline")
        self.ensure_indexes()
        fields["uuid"] = self.get_typeduuid(fields)
        stored = self.managed(documents.encode({**DEFAULTS, **fields}))
        try:
            self.coll.insert_one(stored)
        except DuplicateKeyError as error:
            raise PipelineCreateFailure(_taken(fields)) from error
        self.updates.insert_one(self.audit(stored, "create"))
        return self.with_token(stored)

    def _update(
        self, stored: Document, fields: dict[str, Any], token: str | None, strategy: str
    ) -> Document:
        documents.check(fields, "pipeline")
        given = documents.encode({**fields, "uuid": stored["uuid"]})
        for _ in self.attempts(f"pipeline {stored['uuid']}"):
            kept = stored
            if strategy == strategies.REPLACE:
                own = {name: value for name, value in stored.items() if name.startswith("_")}
                kept = {**DEFAULTS, **{link: [] for link in self.links}, **own}
            document = {**kept, **given}
            _check_required(document, PipelineUpdateFailure)
            if token is None and _content(document) == _content(stored):
                return self.public(stored)
            self.validate_token(stored, token)
            document["_properties"] = {**stored["_properties"], **next_properties(stored)}
            try:
                if self.coll.replace_one(unchanged(stored), document).matched_count:
                    self.updates.insert_one(self.audit(document, "update"))
                    return self.with_token(document)
            except DuplicateKeyError as error:
                raise PipelineUpdateFailure(_taken(fields)) from error
            stored = self.coll.find_one({"uuid": stored["uuid"]}) or stored
        raise AssertionError  # pragma: no cover - `attempts` ends by raising


def _check_required(fields: Mapping[str, Any], failure: type[CatalogUpdateFailure]) -> None:
    missing = [name for name in REQUIRED if name not in fields]
    if missing:
        message = f"pipeline: {', '.join(map(repr, missing))} missing"
        raise failure(message)


def _content(document: Mapping[str, Any]) -> str:
    """Return what its owner has given of a document, as a text in which 1 and true differ."""
    return documents.canonical(
        {name: value for name, value in document.items() if not name.startswith("_")}
    )


def _taken(fields: Mapping[str, Any]) -> str:
    return f"another pipeline has the id {fields.get('id')!r}: choose a new one, or update that"


def serialize_components(components: list[Mapping[str, Any]]) -> str:
    """Return the JSON text that stands for a pipeline's components in its UUID."""
    reduced = []
    for component in components:
        for required, keys in COMPONENTS:
            if all(key in component for key in required):
                reduced.append({key: component[key] for key in keys if key in component})
                break
    return json.dumps(reduced, sort_keys=True, separators=(",", ":"))
