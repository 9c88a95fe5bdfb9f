from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing.exceptions import Unresolvable

from reactors import schema
from reactors.exceptions import SettingsError
from tests.conftest import ROOT
from tests.tenant import Tenant

JOB = "1071269f-b251-5a5f-bec1-6d7f77131f3f"
PIPELINE = "106d3f7f-07dc-596f-82d2-3f9ba8a2ae3e"
SCHEMAS = sorted((ROOT / "schemas").glob("*.jsonschema"))
EVENTS = (
    *("run", "update", "resource", "fail", "finish", "index", "indexed"),
    *("validate", "validated", "reject", "finalize", "retire", "reset", "ready"),
)

EVENT = {"uuid": JOB, "name": "run"}
DELETE = {"uuid": JOB, "action": "delete"}
CREATE = {"pipeline_uuid": PIPELINE, "archive_path": "/products/v2/tacos", "data": {"tacos": 3}}
AGAVE = {
    "appId": "tacos-1.0",
    "executionSystem": "hpc-tacc-stampede2",
    "owner": "somebody",
    "archivePath": "/products/v2/tacos",
    "archiveSystem": "data-sd2e-community",
    "status": "FINISHED",
    "inputs": {"salsa": ["agave://data/salsa"]},
    "parameters": None,
    "_links": {"self": {"href": "https://api.sd2e.org/jobs/v2/1"}},
}
ALOE = {
    **{name: value for name, value in AGAVE.items() if isinstance(value, str)},
    "tenantId": "sd2e",
    "tenantQueue": "aloe.jobq.sd2e.submit",
}
TAPIS = {
    "eventUuid": "0b1c0a5e-8a44-4d3f-a4b6-3f1e0a6b7c8d",
    "event": {"type": "jobs.JOB_NEW_STATUS.FINISHED", "data": '{"jobName": "tacos"}'},
}
CLOUD = {
    "specversion": "1.0",
    "id": "0b1c0a5e-8a44-4d3f-a4b6-3f1e0a6b7c8d",
    "source": "https://tapis.io/v3/jobs",
    "type": "jobs.JOB_NEW_STATUS.FINISHED",
}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# References


def test_a_reference_to_a_file_beside_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "parts/number.json", {"$ref": "../limits.json#/definitions/small"})
    write(tmp_path, "limits.json", {"definitions": {"small": {"type": "integer", "maximum": 9}}})
    path = write(tmp_path, "main.json", {"properties": {"a": {"$ref": "parts/number.json"}}})
    validator = schema.load(path)
    assert validator.is_valid({"a": 9})
    assert not validator.is_valid({"a": 10})
    assert not validator.is_valid({"a": "9"})


def test_a_reference_within_the_file_is_followed(tmp_path: Path) -> None:
    content = {
        "properties": {"a": {"$ref": "#/definitions/t"}},
        "definitions": {"t": {"type": "null"}},
    }
    validator = schema.load(write(tmp_path, "a schema.json", content))
    assert validator.is_valid({"a": None})
    assert not validator.is_valid({"a": 1})


def test_a_schema_that_refers_to_itself_is_followed(tmp_path: Path) -> None:
    tree = {"type": "object", "additionalProperties": {"$ref": "tree.json"}}
    validator = schema.load(write(tmp_path, "tree.json", tree))
    assert validator.is_valid({"a": {"b": {}}})
    assert not validator.is_valid({"a": {"b": 1}})


def test_no_reference_reaches_the_network(tmp_path: Path, tenant: Tenant) -> None:
    write(tmp_path, "a.json", {"type": "object"})
    for address in (f"{tenant.url}/a.json", f"{tenant.url}{tmp_path}/a.json"):
        validator = schema.load(write(tmp_path, "main.json", {"$ref": address}))
        with pytest.raises(Unresolvable):
            validator.is_valid({})
    assert tenant.requests == []


def test_an_identifier_of_the_network_is_not_asked_for(tmp_path: Path, tenant: Tenant) -> None:
    write(tmp_path, "b.json", {"type": "object"})
    content = {"$id": f"{tenant.url}/schemas/main.json", "properties": {"a": {"$ref": "b.json"}}}
    validator = schema.load(write(tmp_path, "main.json", content))
    assert validator.is_valid({"a": {}})
    assert not validator.is_valid({"a": 1})
    missing = {**content, "properties": {"a": {"$ref": "c.json"}}}
    with pytest.raises(Unresolvable):
        schema.load(write(tmp_path, "main.json", missing)).is_valid({"a": 1})
    assert tenant.requests == []


@pytest.mark.parametrize(
    "reference",
    ["job.json", "../schemas/job.json", "https://schema.catalog.sd2e.org/schemas/job.json"],
)
def test_a_schema_of_the_original_catalog_is_resolved_beside(
    tmp_path: Path, reference: str
) -> None:
    at = "https://schema.catalog.sd2e.org/schemas"
    write(tmp_path, "job.json", {"$id": f"{at}/job.json", "properties": {"n": {"$ref": "n.json"}}})
    write(tmp_path, "n.json", {"$id": f"{at}/n.json", "type": "integer"})
    main = {
        "$id": f"{at}/message.json",
        "type": "object",
        "properties": {"job": {"$ref": reference}},
    }
    validator = schema.load(write(tmp_path, "message.json", main))
    assert validator.is_valid({"job": {"n": 1}})
    assert not validator.is_valid({"job": {"n": "1"}})


@pytest.mark.parametrize(
    ("home", "reference"),
    [
        ("https://schema.catalog.sd2e.org/schemas/message.json", "pipelinejob_uuid.json"),
        ("https://example.org/a.json", "https://schema.catalog.sd2e.org/schemas/job_uuid.json"),
        ("https://sd2e.github.io/python-datacatalog/schemas/message.json", "job_uuid.json"),
    ],
)
def test_a_schema_of_the_catalog_that_is_not_beside_is_the_one_that_comes_with_it(
    tmp_path: Path, home: str, reference: str
) -> None:
    main = {"$id": home, "properties": {"uuid": {"$ref": reference}}}
    file = write(tmp_path, "message.json", main)
    assert schema.load(file).is_valid({"uuid": JOB})
    assert not schema.load(file).is_valid({"uuid": PIPELINE})
    write(tmp_path, reference.rpartition("/")[2], {"const": "mine"})
    assert schema.load(file).is_valid({"uuid": "mine"})


def test_a_schema_that_the_catalog_does_not_have_is_named(tmp_path: Path) -> None:
    at = "https://schema.catalog.sd2e.org/schemas"
    main = {"$id": f"{at}/main.json", "$ref": "salsa.json"}
    with pytest.raises(Unresolvable, match=r"salsa\.json"):
        schema.load(write(tmp_path, "main.json", main)).is_valid({})


@pytest.mark.parametrize(
    "kind", ["relative", "absolute", "link", "encoded", "sibling", "localhost"]
)
def test_no_reference_leaves_the_folder(tmp_path: Path, kind: str) -> None:
    outside = write(tmp_path, "outside.json", {"type": "object"})
    write(tmp_path, "in-and-out/a.json", {"type": "object"})
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.json").symlink_to(outside)
    address = {
        "relative": "../outside.json",
        "absolute": outside.as_uri(),
        "link": "link.json",
        "encoded": "%2e%2e/outside.json",
        "sibling": "../in-and-out/a.json",
        "localhost": outside.as_uri().replace("file://", "file://localhost"),
    }[kind]
    validator = schema.load(write(folder, "main.json", {"$ref": address}))
    with pytest.raises(Unresolvable):
        validator.is_valid({})


def test_a_reference_to_a_missing_file_names_it(tmp_path: Path) -> None:
    validator = schema.load(write(tmp_path, "main.json", {"$ref": "missing.json"}))
    with pytest.raises(Unresolvable, match=r"missing\.json"):
        validator.is_valid({})


# Files that cannot be used


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.jsonschema: there is no such schema"):
        schema.load(tmp_path / "none.jsonschema")


def test_a_file_that_is_no_json_is_named_with_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, "main.json", '{\n "type": object\n}')
    with pytest.raises(SettingsError, match=r"main\.json, line 2: not valid JSON"):
        schema.load(path)


def test_a_file_that_is_no_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"main\.json: a schema must be a JSON object"):
        schema.load(write(tmp_path, "main.json", [1]))


# The schemas of this project


@pytest.mark.parametrize(
    "path", [ROOT / "message.jsonschema", *SCHEMAS], ids=lambda path: str(path.stem)
)
def test_a_schema_of_ours_is_valid_draft_7_and_documented(path: Path) -> None:
    content = schema.read(path)
    Draft7Validator.check_schema(content)
    assert content["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert content["title"]
    assert content["description"].endswith(".")


def test_message_jsonschema_is_any_of_the_kinds_in_their_order_and_of_any_object() -> None:
    content = schema.read(ROOT / "message.jsonschema")
    *kinds, last = content["anyOf"]
    titles = [schema.read(ROOT / kind["$ref"])["title"] for kind in kinds]
    assert titles == [
        "PipelineJobEvent",
        "PipelineJobDeleteAction",
        "PipelineJobCreateAction",
        "AloeJobsPost",
        "AgaveJobsPost",
        "CloudEvent",
        "TapisJobsNotification",
        "OpenLineageRunEvent",
    ]
    assert {ROOT / kind["$ref"] for kind in kinds} == set(SCHEMAS)
    assert last["type"] == "object"
    assert last["title"]
    assert last["description"]


ACCEPTED: dict[str, list[dict[str, Any]]] = {
    "event": [
        *({"uuid": JOB, "name": name} for name in EVENTS),
        {**EVENT, "data": {}},
        {**EVENT, "data": {"a.b": [None], "$where": "1"}, "token": "0123456789abcdef"},
    ],
    "delete": [
        DELETE,
        {**DELETE, "force": True, "token": "0123456789abcdef"},
        {**DELETE, "force": False},
    ],
    "create": [
        CREATE,
        {**CREATE, "session": "brave-fox", "__options": {"any": 1}},
        {**CREATE, "data": {}},
    ],
    "aloejobs": [
        ALOE,
        {**ALOE, "id": "1-007", "inputs": [], "_links": {}, "retries": 0, "localId": None, "x": 1},
    ],
    "agavejobs": [AGAVE, {**AGAVE, "inputs": 1, "parameters": [], "_links": "x", "more": {}}],
    "tapisjobs": [
        TAPIS,
        {**TAPIS, "deliveryTarget": {"deliveryMethod": "WEBHOOK"}, "tenant": "sd2e", "more": 1},
        {**TAPIS, "event": {**CLOUD, "data": {}, "time": "2026-11-23T10:00:00Z"}},
        {**TAPIS, "event": {"type": "jobs.JOB_USER_EVENT.any thing.at all"}},
        CLOUD,
        {**CLOUD, "data": {"jobName": "tacos"}, "seriesSeqCount": 2, "subject": "x"},
        {**CLOUD, "data": "{}", "event": 5, "eventUuid": None},
    ],
}
REFUSED: dict[str, list[Any]] = {
    "event": [
        {},
        [],
        "run",
        None,
        *(without(EVENT, name) for name in EVENT),
        {**EVENT, "name": "create"},
        {**EVENT, "name": "explode"},
        {**EVENT, "name": None},
        {**EVENT, "uuid": PIPELINE},
        {**EVENT, "uuid": "107"},
        {**EVENT, "uuid": JOB + "\n"},
        {**EVENT, "uuid": f"x{JOB}"},
        {**EVENT, "data": "text"},
        {**EVENT, "token": 5},
        {**EVENT, "action": "delete"},
        {**EVENT, "state": "RUNNING"},
    ],
    "delete": [
        {},
        *(without(DELETE, name) for name in DELETE),
        {**DELETE, "action": "undelete"},
        {**DELETE, "force": "true"},
        {**DELETE, "force": None},
        {**DELETE, "uuid": PIPELINE},
        {**DELETE, "name": "run"},
    ],
    "create": [
        {},
        *(without(CREATE, name) for name in CREATE),
        {**CREATE, "pipeline_uuid": JOB},
        {**CREATE, "archive_path": ""},
        {**CREATE, "archive_path": None},
        {**CREATE, "data": [1]},
        {**CREATE, "session": 5},
        {**CREATE, "uuid": JOB},
    ],
    "aloejobs": [
        *(without(ALOE, name) for name in ("appId", "status", "tenantId")),
        {**ALOE, "status": None},
        {**ALOE, "status": 3},
    ],
    "agavejobs": [
        *(without(AGAVE, name) for name in ("appId", "status")),
        *({**AGAVE, name: 5} for name in ("appId", "status")),
    ],
    "tapisjobs": [
        {},
        *(without(TAPIS, name) for name in TAPIS),
        *(without(CLOUD, name) for name in CLOUD),
        *({**TAPIS, "eventUuid": value} for value in ("", " ", None, 5, "x" * 257)),
        {**TAPIS, "event": {}},
        {**TAPIS, "event": "FINISHED"},
        {**TAPIS, "event": [TAPIS]},
        *({**CLOUD, "type": value} for value in ("", "jobs", "jobs.x", "jobs..x", "x.y.z", 5)),
        {**CLOUD, "data": []},
        {**CLOUD, "specversion": "0.3"},
        {**TAPIS, "specversion": "1.0"},
    ],
}


@pytest.mark.parametrize(
    ("kind", "body"), [(kind, body) for kind, bodies in ACCEPTED.items() for body in bodies]
)
def test_a_message_of_its_kind_is_accepted(kind: str, body: dict[str, Any]) -> None:
    schema.load(ROOT / "schemas" / f"{kind}.jsonschema").validate(body)
    schema.load(ROOT / "message.jsonschema").validate(body)


@pytest.mark.parametrize(
    ("kind", "body"), [(kind, body) for kind, bodies in REFUSED.items() for body in bodies]
)
def test_what_is_not_of_the_kind_is_refused(kind: str, body: Any) -> None:
    assert not schema.load(ROOT / "schemas" / f"{kind}.jsonschema").is_valid(body)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        (EVENT, ["event"]),
        (DELETE, ["delete"]),
        (CREATE, ["create"]),
        # the newer kind goes before the older one
        (ALOE, ["agavejobs", "aloejobs"]),
        (AGAVE, ["agavejobs"]),
        (TAPIS, ["tapisjobs"]),
        (CLOUD, ["tapisjobs"]),
        ({"any": "object"}, []),
    ],
)
def test_a_message_is_of_one_kind(body: dict[str, Any], kinds: list[str]) -> None:
    fitting = [path.stem for path in SCHEMAS if schema.load(path).is_valid(body)]
    assert fitting == kinds


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_message_jsonschema_refuses_what_is_no_object(body: Any) -> None:
    assert not schema.load(ROOT / "message.jsonschema").is_valid(body)
