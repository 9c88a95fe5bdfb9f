"""The forms in which webhooks are told, as their own libraries read them."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import uuid
from typing import Any

import jsonschema
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from openlineage.client.event_v2 import RunEvent

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from manager.schemas import MASK
from manager.subscriptions import formats
from tests.actor import Actor, event
from tests.conftest import ROOT
from tests.manager.receiving import Receiver, Told
from tests.manager.subscribing import define, send

NAMED = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {"namespace": {"type": "string"}, "name": {"type": "string", "minLength": 1}},
}
FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["_producer", "_schemaURL"],
        "properties": {"_producer": {"format": "uri"}, "_schemaURL": {"format": "uri"}},
    },
}
RUN_EVENT = {
    "type": "object",
    "required": ["eventType", "eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "pattern": "^https://openlineage.io/spec/.*RunEvent$"},
        "run": {"required": ["runId"], "properties": {"facets": FACETS}},
        "job": {**NAMED, "properties": {**NAMED["properties"], "facets": FACETS}},  # type: ignore[dict-item]
        "inputs": {"type": "array", "items": {**NAMED, "properties": {"facets": FACETS}}},
        "outputs": {"type": "array", "items": {**NAMED, "properties": {"facets": FACETS}}},
    },
}
"""What OpenLineage asks of a RunEvent, of the parts that are sent."""


class Lineage:
    """What a server such as Marquez makes of RunEvents: runs with their states and datasets."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}

    def take(self, told: Told) -> int:
        body = told.body
        try:
            jsonschema.validate(body, RUN_EVENT)
            uuid.UUID(body["run"]["runId"])
            assert datetime.datetime.fromisoformat(body["eventTime"]).tzinfo is not None
        except (jsonschema.ValidationError, ValueError):
            return 422
        run = self.runs.setdefault(body["run"]["runId"], {"states": [], "job": body["job"]["name"]})
        run["states"].append(body["eventType"])
        for side in ("inputs", "outputs"):
            run[side] = [(each["namespace"], each["name"]) for each in body[side]]
        run["facets"] = body["run"]["facets"]
        return 201


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-binary"])
def test_cloud_events_are_read_by_their_library(
    actor: Actor, job: Document, receiver: Receiver, form: str
) -> None:
    define(actor, {"name": "lab", "url": receiver.url, "format": form, "events": ["run"]})
    token = job["_update_token"]
    actor.send(event(job, "run", data={"tacos": "¡tres!", "note": token}))
    (told,) = receiver.told
    read = from_http_event(HTTPMessage(headers=told.headers, body=told.content))
    (entry,) = actor.jobs.history(job["uuid"], skip=1)
    assert read.get_id() == entry["uuid"] == told.headers["webhook-id"]
    assert read.get_type() == "pipelinejobs.run"
    assert read.get_subject() == job["uuid"]
    assert read.get_source() == "urn:pipelinejobs"
    assert read.get_time() == entry["date"]
    data: Any = read.get_data()
    assert data["state"] == "RUNNING"
    assert data["data"] == {"tacos": "¡tres!", "note": MASK}
    is_structured = told.headers["content-type"].startswith("application/cloudevents+json")
    assert is_structured is (form == "cloudevents")


def test_a_former_token_that_still_holds_is_hidden_too(
    actor: Actor, jobs: PipelineJobStore, job: Document, receiver: Receiver
) -> None:
    token = job["_update_token"]
    jobs.rotate_token(job["uuid"], token, grace=3600)
    assert jobs.is_own_token(jobs.load(job["uuid"]), token)
    define(actor, {"name": "lab", "url": receiver.url})
    present = jobs.get_token(jobs.load(job["uuid"]))
    actor.send(event({**job, "_update_token": present}, "run", data={"note": token}))
    assert [told.body["data"] for told in receiver.told if told.body["event"] == "run"] == [
        {"note": MASK}
    ]


def test_what_a_form_cannot_say_is_not_told_whatever_else_is_asked_for(
    actor: Actor, jobs: PipelineJobStore, pipeline: Document, receiver: Receiver
) -> None:
    wanted = {"url": receiver.url, "format": "openlineage", "pipelines": [pipeline["uuid"]]}
    define(actor, {"name": "lab", **wanted})
    made = jobs.create({"pipeline_uuid": pipeline["uuid"], "archive_path": "/a", "data": {}})
    actor.send(event(made, "run"))
    assert [told.body["eventType"] for told in receiver.told] == ["START"]


def test_a_run_is_told_to_openlineage_with_its_datasets(
    actor: Actor, jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    db["files"].insert_many(
        [
            {"uuid": "1", "name": "/uploads/a.csv", "storage_system": "data-sd2e-community"},
            {"uuid": "2", "name": "/uploads/b.csv", "storage_system": "data-sd2e-community"},
        ]
    )
    db["references"].insert_one({"uuid": "3", "name": "x", "uri": "https://example.org/genome"})
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/x"}
    parent = jobs.create({**fields, "data": {"parent": True}})
    links = {"child_of": [parent["uuid"]], "acted_on": ["1"], "acted_using": ["3"]}
    job = jobs.create({**fields, **links, "data": {}})
    db["files"].update_one({"uuid": "2"}, {"$set": {"child_of": [job["uuid"]]}})
    lineage = Lineage()
    with Receiver(lineage.take) as receiver:
        define(actor, {"name": "lab", "url": receiver.url, "format": "openlineage"})
        send(actor, job, "run", "run", "update", "finish", "validate", "retire")
        send(actor, parent, "run")
        actor.send(event(parent, "fail", data={"message": "out of salsa"}))
        assert len(receiver.seen) == len(receiver.told) == 8
    system = "agave://data-sd2e-community"
    run = lineage.runs[job["uuid"]]
    assert run["states"] == ["START", "RUNNING", "RUNNING", "COMPLETE", "OTHER", "ABORT"]
    assert run["job"] == "tacobot"
    assert run["inputs"] == [(system, "/uploads/a.csv"), ("https://example.org", "/genome")]
    assert run["outputs"] == [(system, "/uploads/b.csv")]
    assert run["facets"]["parent"]["run"]["runId"] == parent["uuid"]
    failed = lineage.runs[parent["uuid"]]
    assert failed["states"] == ["START", "FAIL"]
    assert failed["facets"]["errorMessage"]["message"] == "out of salsa"
    # its own library takes it, too
    body = json.loads(receiver.told[0].content)
    names = ("eventTime", "producer")
    RunEvent(run=body["run"], job=body["job"], **{name: body[name] for name in names})


def test_a_test_says_in_each_form_that_it_is_one() -> None:
    for form in formats.FORMATS:
        made = formats.make_test(form)
        assert made.id.startswith("test-")
        assert b"test" in made.body


def test_an_actor_does_not_import_what_forms_need() -> None:
    code = (
        "import sys, reactor; "
        "print([n for n in sys.modules if n.split('.')[0] in ('cloudevents', 'openlineage', 'http')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "cloudevents" not in done.stdout
    assert "openlineage" not in done.stdout
