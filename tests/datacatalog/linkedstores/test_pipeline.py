from __future__ import annotations

from typing import Any

import pytest

from datacatalog.documents import DocumentError
from datacatalog.linkedstores.basestore import CatalogUpdateFailure, strategies
from datacatalog.linkedstores.pipeline import (
    PipelineCreateFailure,
    PipelineStore,
    PipelineUpdateFailure,
    serialize_components,
)
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidToken
from tests.conftest import TACOBOT
from tests.datacatalog.conftest import public
from tests.datacatalog.vectors import cases, check

APP = {"id": "app-1.0", "inputs": {"b": 1, "a": 2}, "parameters": {}}
ACTOR = {"id": "eqMyqq4xB1Lqa", "image": "tacc/tacobot:1"}
AGAVE_JOB = {"appId": "app-1.0", "id": "6583653933928541720-242ac11b-0001-007"}
CONTAINER = {"image": "tacc/tacobot:1", "hostname": "kitchen.example.org"}
SERVICE = {"uri": "https://tacos.example.org"}


@pytest.fixture
def pipelines(mongodb: dict[str, Any]) -> PipelineStore:
    return PipelineStore(mongodb)


@cases("pipeline_uuid")
def test_a_pipeline_has_the_uuid_that_the_original_gave_it(
    vector: dict[str, Any], pipelines: PipelineStore
) -> None:
    check(vector, lambda: pipelines.get_typeduuid(vector["input"]))


@cases("pipeline_uuid")
def test_components_are_reduced_as_the_original_did(vector: dict[str, Any]) -> None:
    assert serialize_components(vector["input"]["components"]) == vector["serialized"]


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (APP, '[{"id":"app-1.0","inputs":{"a":2,"b":1},"parameters":{}}]'),
        (
            {**APP, "modules": [], "outputs": {}, "uuid": "u", "image": "x", "options": {}},
            '[{"id":"app-1.0","inputs":{"a":2,"b":1},"modules":[],"outputs":{},"parameters":{},"uuid":"u"}]',
        ),
        (ACTOR, '[{"id":"eqMyqq4xB1Lqa","image":"tacc/tacobot:1"}]'),
        (
            {**ACTOR, "options": {}, "uuid": "u", "inputs": {}},
            '[{"id":"eqMyqq4xB1Lqa","image":"tacc/tacobot:1","options":{},"uuid":"u"}]',
        ),
        (
            {**AGAVE_JOB, "uuid": "u", "name": "dropped", "hostname": "h"},
            '[{"appId":"app-1.0","id":"6583653933928541720-242ac11b-0001-007","uuid":"u"}]',
        ),
        (
            {**CONTAINER, "hash": "00", "options": {}, "uuid": "u", "uri": "dropped"},
            '[{"hash":"00","hostname":"kitchen.example.org","image":"tacc/tacobot:1","options":{},"uuid":"u"}]',
        ),
        (
            {**SERVICE, "identifier": "i", "options": {}, "uuid": "u", "image": "dropped"},
            '[{"identifier":"i","options":{},"uri":"https://tacos.example.org","uuid":"u"}]',
        ),
        ({"id": "alone"}, "[]"),
        ({}, "[]"),
    ],
)
def test_each_kind_of_component_is_reduced_to_its_keys(
    component: dict[str, Any], expected: str
) -> None:
    assert serialize_components([component]) == expected


@pytest.mark.parametrize("component", [APP, ACTOR, AGAVE_JOB, CONTAINER, SERVICE])
def test_a_pipeline_of_each_kind_of_component_can_be_added(
    component: dict[str, Any], pipelines: PipelineStore
) -> None:
    added = pipelines.add_update_document({**TACOBOT, "components": [component]})
    found = pipelines.find_one_by_uuid(added["uuid"])
    assert public(found)["components"] == [component]


def test_an_added_pipeline_is_found_by_uuid_and_id(pipelines: PipelineStore) -> None:
    added = pipelines.add_update_document(TACOBOT)
    assert public(added) == {
        **TACOBOT,
        "uuid": pipelines.get_typeduuid(TACOBOT),
        "accepts": [],
        "produces": [],
        "pipeline_type": "generic-process",
        "collections_levels": [],
        "child_of": [],
        "derived_from": [],
    }
    assert public(pipelines.find_one_by_id(id="tacobot")) == public(added)
    assert public(pipelines.find_one_by_id(uuid=added["uuid"])) == public(added)
    assert pipelines.find_one_by_id(id="burritobot") is None


def test_fields_beyond_the_usual_are_kept(pipelines: PipelineStore) -> None:
    extra = {"accepts": ["*"], "pipeline_type": "primary-etl", "note": {"$a.b": None}}
    pipelines.add_update_document({**TACOBOT, **extra})
    found = public(pipelines.find_one_by_id(id="tacobot"))
    assert {name: found[name] for name in extra} == extra


def test_fields_may_have_any_name(pipelines: PipelineStore) -> None:
    extra = {"$note": 1, "100%": 2, "": 3, "a.b": 4}
    added = pipelines.add_update_document({**TACOBOT, **extra})
    pipelines.add_update_document({**TACOBOT, "a.b": 5}, token=added["_update_token"])
    found = public(pipelines.find_one_by_id(id="tacobot"))
    assert {name: found.get(name) for name in extra} == {**extra, "a.b": 5}


def test_a_caller_cannot_set_what_the_catalog_keeps(pipelines: PipelineStore) -> None:
    forged = {"_admin": {"owner": "me"}, "_salt": "known", "_visible": False, "_update_token": "x"}
    added = pipelines.add_update_document({**TACOBOT, **forged})
    assert added["_admin"]["owner"] == "sd2eadm"
    assert added["_salt"] != "known"
    assert added["_update_token"] != "x"
    assert pipelines.find_one_by_id(id="tacobot") is not None


def test_the_same_pipeline_again_is_returned_unchanged(
    pipelines: PipelineStore, pipeline: Document, db: Db
) -> None:
    before = list(db["pipelines"].find({}))
    again = pipelines.add_update_document(TACOBOT)
    assert again == pipeline
    assert list(db["pipelines"].find({})) == before


@pytest.mark.parametrize("missing", ["name", "components", "id", "processing_levels"])
def test_a_missing_field_is_named(missing: str, pipelines: PipelineStore, db: Db) -> None:
    incomplete = {name: value for name, value in TACOBOT.items() if name != missing}
    with pytest.raises(PipelineCreateFailure) as refused:
        pipelines.add_update_document(incomplete)
    assert f"'{missing}' missing" in str(refused.value)
    assert isinstance(refused.value, CatalogUpdateFailure)
    assert db["pipelines"].count_documents({}) == 0


def test_what_cannot_be_stored_is_refused(pipelines: PipelineStore, pipeline: Document) -> None:
    endless = {**TACOBOT, "description": float("nan")}
    with pytest.raises((DocumentError, PipelineCreateFailure), match="is nan"):
        pipelines.add_update_document({**endless, "id": "burritobot"})
    with pytest.raises((DocumentError, PipelineUpdateFailure), match="is nan"):
        pipelines.add_update_document(endless, token=pipeline["_update_token"])


@pytest.mark.parametrize("components", ["x", [1], {"id": "x"}, None])
def test_components_are_objects(components: Any, pipelines: PipelineStore) -> None:
    with pytest.raises(PipelineCreateFailure, match=r"^components of a pipeline is .*: give a"):
        pipelines.add_update_document({**TACOBOT, "components": components})


@pytest.mark.parametrize("levels", [["raw"], ["1", "9"], [1], "raw", None, [["1"]]])
def test_processing_levels_are_some_of_those_that_exist(
    levels: Any, pipelines: PipelineStore, pipeline: Document
) -> None:
    wanted = r"^processing_levels of a pipeline has .*: give a list of strings, of 0, 1, 2, 3, User"
    with pytest.raises(PipelineCreateFailure, match=wanted):
        pipelines.add_update_document({**TACOBOT, "id": "other", "processing_levels": levels})
    every = ["0", "3", "User", "Reference", "Unknown"]
    changed = {**TACOBOT, "processing_levels": every}
    kept = pipelines.add_update_document(changed, token=pipeline["_update_token"])
    assert kept["processing_levels"] == every


def test_an_id_names_one_pipeline_only(
    pipelines: PipelineStore, pipeline: Document, db: Db
) -> None:
    with pytest.raises(PipelineCreateFailure) as refused:
        pipelines.add_update_document({**TACOBOT, "components": [ACTOR]})
    assert "another pipeline has the id 'tacobot'" in str(refused.value)
    assert db["pipelines"].count_documents({}) == 1


def test_an_update_cannot_take_the_id_of_another_pipeline(
    pipelines: PipelineStore, pipeline: Document
) -> None:
    other = pipelines.add_update_document({**TACOBOT, "id": "burritobot"})
    with pytest.raises(PipelineUpdateFailure):
        pipelines.add_update_document(
            {"id": "tacobot"}, uuid=other["uuid"], token=other["_update_token"]
        )
    assert public(pipelines.find_one_by_id(id="burritobot")) == public(other)


@pytest.mark.parametrize("token", [None, "", "0123456789abcdef"])
@pytest.mark.parametrize("strategy", [strategies.MERGE, strategies.REPLACE])
def test_an_update_without_the_right_token_is_refused(
    token: str | None, strategy: str, pipelines: PipelineStore, pipeline: Document
) -> None:
    pipelines.catalog = pipelines.catalog._replace(enforce_tokens=True)
    changed = {**TACOBOT, "name": "Tacobot 9001"}
    with pytest.raises(InvalidToken):
        pipelines.add_update_document(changed, token=token, strategy=strategy)
    assert public(pipelines.find_one_by_id(id="tacobot")) == public(pipeline)


def test_the_token_of_another_pipeline_is_refused(
    pipelines: PipelineStore, pipeline: Document
) -> None:
    other = pipelines.add_update_document({**TACOBOT, "id": "burritobot"})
    with pytest.raises(InvalidToken):
        pipelines.add_update_document({**TACOBOT, "name": "Mine"}, token=other["_update_token"])


def test_the_update_token_works_again_and_again(
    pipelines: PipelineStore, pipeline: Document
) -> None:
    token = pipeline["_update_token"]
    for name in ("Tacobot 9001", "Tacobot 9002"):
        changed = pipelines.add_update_document({**TACOBOT, "name": name}, token=token)
        assert changed["name"] == name
        assert changed["_update_token"] == token
    assert public(pipelines.find_one_by_id(id="tacobot"))["name"] == "Tacobot 9002"


def test_an_administrative_token_works_too(
    admin_token: str, pipelines: PipelineStore, pipeline: Document
) -> None:
    changed = pipelines.add_update_document({**TACOBOT, "name": "Ours"}, token=admin_token)
    assert changed["name"] == "Ours"
    assert changed["_update_token"] == pipeline["_update_token"]


def test_merging_keeps_the_fields_that_are_not_given(pipelines: PipelineStore) -> None:
    added = pipelines.add_update_document({**TACOBOT, "accepts": ["CSV"], "note": "old"})
    pipelines.add_update_document(
        {"name": "Tacobot 9001"}, uuid=added["uuid"], token=added["_update_token"]
    )
    found = public(pipelines.find_one_by_id(id="tacobot"))
    assert found == {**public(added), "name": "Tacobot 9001"}


def test_replacing_drops_the_fields_that_are_not_given(pipelines: PipelineStore) -> None:
    added = pipelines.add_update_document({**TACOBOT, "accepts": ["CSV"], "note": "old"})
    pipelines.add_update_document(
        {**TACOBOT, "name": "Tacobot 9001"},
        token=added["_update_token"],
        strategy=strategies.REPLACE,
    )
    found = public(pipelines.find_one_by_id(id="tacobot"))
    assert "note" not in found
    assert (found["name"], found["accepts"]) == ("Tacobot 9001", [])
    assert found["uuid"] == added["uuid"]


def test_replacing_nothing_but_a_dropped_field_needs_the_token_too(
    pipelines: PipelineStore,
) -> None:
    pipelines.add_update_document({**TACOBOT, "note": "old"})
    pipelines.catalog = pipelines.catalog._replace(enforce_tokens=True)
    with pytest.raises(InvalidToken):
        pipelines.add_update_document(TACOBOT, strategy=strategies.REPLACE)


def test_replacing_keeps_the_history_of_the_document(
    pipelines: PipelineStore, pipeline: Document, db: Db
) -> None:
    before = db["pipelines"].find_one({})
    token = pipeline["_update_token"]
    pipelines.add_update_document(TACOBOT, token=token, strategy=strategies.REPLACE)
    after = db["pipelines"].find_one({})
    assert before is not None
    assert after is not None
    assert {n: after[n] for n in ("_id", "_admin", "_salt", "_visible", "uuid")} == {
        n: before[n] for n in ("_id", "_admin", "_salt", "_visible", "uuid")
    }


def test_an_update_of_an_unknown_pipeline_is_refused(pipelines: PipelineStore, db: Db) -> None:
    uuid = "106deadb-dead-5ead-8ead-deaddeaddead"
    with pytest.raises(PipelineUpdateFailure) as refused:
        pipelines.add_update_document(TACOBOT, uuid=uuid)
    assert str(refused.value) == f"No pipeline exists with UUID {uuid}"
    assert db["pipelines"].count_documents({}) == 0


def test_additions_and_changes_are_in_the_audit_log(
    pipelines: PipelineStore, pipeline: Document, db: Db
) -> None:
    pipelines.add_update_document({**TACOBOT, "name": "Ours"}, token=pipeline["_update_token"])
    rows = list(db["updates"].find({}, sort=[("date", 1)]))
    assert [row["action"] for row in rows] == ["create", "update"]
    assert {row["uuid"] for row in rows} == {pipeline["uuid"]}
    assert all(row["_admin"] == pipeline["_admin"] for row in rows)
