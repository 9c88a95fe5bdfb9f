"""The JSON Schemas of the catalog, by the names under which the original publishes them.

They are made from what the stores, the state machine and the identifiers know, so that they say the
same. Schemas of actors refer to them: `{"$ref": "pipelinejob_uuid.json"}`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from datacatalog import filetypes
from datacatalog.identifiers import agave, typeduuid
from datacatalog.linkedstores import lookup
from datacatalog.linkedstores.basestore import DocumentStore
from datacatalog.linkedstores.pipeline import COMPONENTS
from datacatalog.linkedstores.pipelinejob import fsm
from datacatalog.linkedstores.pipelinejob.store import REQUIRED

if TYPE_CHECKING:
    from datacatalog.linkedstores.basestore import LinkedStore

Schema = dict[str, Any]
ADDRESS = "https://schema.catalog.sd2e.org/schemas/"
_UUID = "[0-9a-f]{5}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_MOMENT: Schema = {"type": "string", "format": "date-time"}


def document(name: str) -> Schema | None:
    """Return the schema that is published under a name such as `file.json`, or None."""
    return _documents().get(name)


def of_store(store: type[LinkedStore[Any]]) -> Schema:
    """Return the schema of what is given to a store."""
    return _documents()[f"{store.uuid_type}.json"]


@cache
def _documents() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for kind, prefix in typeduuid.PREFIXES.items():
        about = f"The typed UUID of one {kind.replace('_', ' ')}"
        found[f"{kind}_uuid"] = _string(about, pattern=f"^{prefix}{_UUID}")
    found["job_uuid"] = found["pipelinejob_uuid"]
    for kind, store in lookup.KINDS.items():
        given = _given(store)
        found[kind] = _object(f"What is given of one {store.noun}", **given)
        stored = {**given["properties"], **_KEPT}
        about = f"One {store.noun} as it is stored"
        found[f"{kind}_document"] = _object(about, required=given["required"], properties=stored)
    found |= _PLAIN | _names()
    return {
        f"{name}.json": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": f"{ADDRESS}{name}.json",
            "title": name,
            **schema,
        }
        for name, schema in found.items()
    }


def _given(store: type[LinkedStore[Any]]) -> Schema:
    links = {name: {"type": "array", "items": _ref("typed_uuid")} for name in store.links}
    texts = dict.fromkeys((*store.identifiers, *store.aliases), _TEXT)
    properties: Schema = {**texts, **links, "uuid": _ref(f"{store.uuid_type}_uuid")}
    required: tuple[str, ...] = REQUIRED
    if issubclass(store, DocumentStore):
        required = store.required
        properties |= dict.fromkeys(store.texts, _TEXT) | dict.fromkeys(store.moments, _MOMENT)
    return {
        "required": list(required),
        "properties": {**properties, **_FIELDS.get(store.uuid_type, {})},
    }


def _names() -> dict[str, Schema]:
    """Return the schemas of strings of which there are only some."""
    lists = {
        "pipelinejob_eventname": ("The name of an event", fsm.EVENTS),
        "pipelinejob_statename": ("The name of a state", fsm.STATES),
        "pipelinejob_state": ("The state of a job", fsm.STATES),
        "processing_level": ("How far data was processed", filetypes.LEVELS),
        "filetype_label": ("What kind of file it is", (*filetypes.LABELS, filetypes.UNKNOWN)),
        "collection_level": ("What the data of a job are collected by", _COLLECTIONS),
    }
    return {name: _string(about, enum=list(known)) for name, (about, known) in lists.items()}


def _ref(name: str) -> Schema:
    return {"$ref": f"{name}.json"}


def _string(about: str, **rules: Any) -> Schema:
    return {"description": about, "type": "string", **rules}


def _object(about: str, **rules: Any) -> Schema:
    return {"description": about, "type": "object", **rules}


_COLLECTIONS = ("challenge_problem", "experiment_design", "experiment", "sample", "measurement")
_LEVEL = _ref("processing_level")
_PATTERNS: Schema = {
    "patterns": _TEXTS,
    "generated_by": _TEXTS,
    "fixity": {"type": "boolean"},
}
_JOB: Schema = {
    "pipeline_uuid": _ref("pipeline_uuid"),
    "data": {"type": "object"},
    **dict.fromkeys(("archive_path", "archive_system"), _TEXT),
    **dict.fromkeys(("session", "agent", "task"), _TEXT_OR_NULL),
    "archive_patterns": {"type": "array", "items": _ref("archive_patterns")},
    "product_patterns": {"type": "array", "items": _ref("product_patterns")},
    "state": _ref("pipelinejob_state"),
    "last_event": _ref("pipelinejob_eventname"),
    "history": {"type": "array", "items": _ref("pipelinejob_event")},
}
_PIPELINE: Schema = {
    "name": _TEXT,
    "description": _TEXT_OR_NULL,
    "components": {
        "type": "array",
        "items": {"type": "object", "anyOf": [{"required": list(keys)} for keys, _ in COMPONENTS]},
    },
    "processing_levels": {"type": "array", "items": _LEVEL},
    "pipeline_type": _TEXT,
    **dict.fromkeys(("accepts", "produces", "collections_levels"), _TEXTS),
}
_FIELDS: dict[str, Schema] = {
    "pipelinejob": _JOB,
    "pipeline": _PIPELINE,
    "file": {"level": _LEVEL, "type": _ref("filetype_label")},
    "fixity": {
        **dict.fromkeys(("checksum", "fingerprint"), _TEXT),
        "size": {"type": "integer", "minimum": 0},
        "version": {"type": "integer", "minimum": 1},
        "type": _ref("filetype_label"),
    },
    "reference": {"name": _TEXT},
    "process": {"name": _TEXT},
    "sample": {"measurements": {"type": "array"}},
    "measurement": {"files": {"type": "array"}, "measurement_type": _TEXT},
}
"""Of stores: the fields whose values are of one type."""
_KEPT: Schema = {
    "_admin": {
        "type": "object",
        "properties": dict.fromkeys(("owner", "project", "tenant"), _TEXT),
    },
    "_properties": {
        "type": "object",
        "properties": {
            **dict.fromkeys(("created_date", "modified_date"), _MOMENT),
            "revision": {"type": "integer", "minimum": 0},
            "source": _TEXT,
        },
    },
    "_visible": {"type": "boolean"},
}
"""What every document has."""
_OTHER_TEXTS = {
    "challenge_problem_id": "The identifier of a challenge problem",
    "challenge_problem_url": "Where a challenge problem is described",
    "container_repo": "The image of a container, with its tag",
    "experiment_reference": "The identifier of an experiment design",
    "experiment_reference_url": "Where an experiment design is described",
    "experiment_url": "Where an experiment is described",
    "lab": "Who measures",
    "measurement_type": "How it is measured",
    "pipeline_type": "What a pipeline does, such as primary-etl",
}
_PLAIN: dict[str, Schema] = {
    "typed_uuid": _string("The typed UUID of anything", pattern=f"^1[0-9a-f]{{2}}{_UUID}"),
    **{name: _string(about, minLength=1) for name, about in _OTHER_TEXTS.items()},
    "identifier": _string("What one document is known by", minLength=1),
    "namespaced_identifier": _string(
        "An identifier such as sample.tacc.20001", pattern=r"^.+\..+$"
    ),
    "agave_files_uri": _string(
        "A file or directory on a storage system", pattern="^agave://[^/]+/"
    ),
    "agave_appid": _string("The id of an Agave app", pattern=f"^({agave.APP_ID.pattern})$"),
    "agave_job_uuid": _string("The id of an Agave job", pattern=f"^({agave.JOB_ID.pattern})$"),
    "abaco_actorid": _string("The id of an actor", pattern="^[A-Za-z0-9]+$"),
    "abaco_execid": _string("The id of an execution", pattern="^[A-Za-z0-9]+$"),
    "abaco_nonceid": _string("The id of a nonce", pattern="^[^_].*_[A-Za-z0-9]+$"),
    "agave_app": _object(
        "An Agave app in a pipeline",
        required=["id"],
        properties={"id": _ref("agave_appid"), "inputs": {}, "parameters": {}},
    ),
    "abaco_actor": _object(
        "An actor in a pipeline",
        required=["id"],
        properties={"id": _TEXT, "image": _TEXT, "options": {"type": "object"}},
    ),
    "archive_patterns": _object(
        "Which outputs of a job are indexed, and at which level",
        properties={**_PATTERNS, "level": _LEVEL},
    ),
    "product_patterns": _object(
        "Which outputs of a job are indexed, and what they come from",
        properties={**_PATTERNS, "derived_from": _TEXTS, "derived_using": _TEXTS},
    ),
    "pipelinejob_event": _object(
        "An entry in the history of a job",
        required=["uuid", "name"],
        properties={
            "uuid": _ref("pipelinejob_event_uuid"),
            "name": _ref("pipelinejob_eventname"),
            "date": _MOMENT,
            "data": {},
        },
    ),
}
