"""What anybody reports about a job in the form of CloudEvents."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from datacatalog.mongo import Document
from manager import schemas
from tests.actor import (
    BY_NONCE,
    TRUSTED,
    UNKNOWN_JOB,
    Actor,
    at_once,
    cloud_event,
    event,
    job_event,
    names,
    tapis,
    url,
    without,
)

AS_TEXT = pytest.mark.parametrize("as_text", [json.dumps, repr], ids=["json", "python"])


def kept(actor: Actor, job: Document) -> Any:
    """Return what the history keeps about the last event."""
    return actor.job(job["uuid"])["history"][-1]["data"]


# The event


@AS_TEXT
def test_a_document_is_applied_and_its_data_and_attributes_kept(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    reply = actor.send(as_text(job_event(job, "run", traceparent="00-1-2-01")))

    assert reply.result == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    assert kept(actor, job) == {
        "salsa": "verde",
        "cloudevent": {
            "id": "run-1",
            "source": "https://pipelines.example.org/tacos",
            "type": "org.example.tacos.run",
            "time": "2026-11-23T10:00:00Z",
            "traceparent": "00-1-2-01",
        },
    }


def test_the_end_of_the_type_names_the_event_in_any_case(actor: Actor, job: Document) -> None:
    for number, name in enumerate(("run", "update", "UPDATE", "org.example.Finish")):
        body = job_event(job, id=str(number), type=name, subject=job["uuid"].upper())
        assert actor.send(body).error == ""

    assert names(actor, job) == ["create", "run", "update", "update", "finish"]


def test_the_schema_knows_every_event() -> None:
    pattern = schemas.schema_of(schemas.CLOUD)["properties"]["type"]["pattern"]
    assert f"({'|'.join(MESSAGE_EVENTS)})" in pattern.replace("(\\S*\\.)?", "")


DATA: list[tuple[Any, dict[str, Any]]] = [
    ({"a.b": [None, "🌮"]}, {"a.b": [None, "🌮"]}),
    ({}, {}),
    (None, {}),
    ([1, 2], {"value": [1, 2]}),
    ("it is done", {"value": "it is done"}),
    (0, {"value": 0}),
    ({"token": "0123456789abcdef", "a": 1}, {"a": 1}),
]


def test_data_of_any_form_is_kept(actor: Actor, job: Document) -> None:
    for number, (data, expected) in enumerate(DATA):
        body = job_event(job, "resource", id=str(number), data=data)
        assert actor.send(body).error == ""
        found = kept(actor, job)
        assert found.pop("cloudevent")["id"] == str(number)
        assert found == expected


def test_a_document_may_be_without_data_or_with_bytes(actor: Actor, job: Document) -> None:
    assert actor.send(without(job_event(job), "data", "time")).error == ""
    assert set(kept(actor, job)) == {"cloudevent"}
    body = without(job_event(job, "update", data_base64="c2Fsc2E="), "data")
    assert actor.send(body).error == ""
    assert kept(actor, job)["value"] == "salsa"
    content = json.dumps({"token": job["_update_token"], "cost": 1}).encode()
    for number, (given, expected) in enumerate(
        ((content, {"cost": 1}), (b"\xff\x00", {"data_base64": "/wA="}))
    ):
        more = {"data_base64": base64.b64encode(given).decode(), "id": str(number)}
        body = without(job_event(job, "update", **more), "data", *(["token"] if not number else []))
        assert actor.send(body).error == ""
        assert without(kept(actor, job), "cloudevent") == expected


@pytest.mark.parametrize("given", ["c2Fsc2E", "sal sa==", "é", 5, ["c2Fsc2E="]])
def test_what_is_not_base64_is_refused_by_name(actor: Actor, job: Document, given: Any) -> None:
    body = without(job_event(job, data_base64=given), "data")
    refused = actor.send(body)
    assert refused.kind == "invalid_message"
    assert f"'data_base64' is {given!r}, which is not base64" in refused.error
    assert names(actor, job) == ["create"]


# Who may


def test_the_token_may_be_an_extension_in_the_data_or_in_the_url(
    actor: Actor, job: Document
) -> None:
    token = job["_update_token"]
    bare = without(job_event(job, "resource"), "token")
    given: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({**bare, "id": "1", "token": token}, {}),
        ({**bare, "id": "2", "data": {"token": token, "a": 1}}, {"token": "0" * 16}),
        ({**bare, "id": "3"}, {"token": token}),
        ({**bare, "id": "4", "token": token, "data": {"token": "0" * 16}}, {}),
        ({**bare, "id": "5"}, TRUSTED),
    ]

    for body, parameters in given:
        assert actor.send(body, parameters).error == ""

    assert names(actor, job) == ["create", *["resource"] * 5]
    assert token not in json.dumps(actor.dump(), default=str)


def test_it_is_refused_as_any_event_is(actor: Actor, job: Document) -> None:
    before = actor.dump()
    bare = without(job_event(job, "run"), "token")
    wrong = {"token": "0" * 16}

    for body, plain in (
        ({**bare, **wrong}, {**event(job, "run"), **wrong}),
        ({**bare, "data": wrong}, {**event(job, "run"), **wrong}),
        (bare, without(event(job, "run"), "token")),
        ({**bare, "data": {"token": 5}}, without(event(job, "run"), "token")),
        (
            {**job_event(job), "subject": UNKNOWN_JOB},
            {**event(job, "run"), "uuid": UNKNOWN_JOB},
        ),
        (job_event(job, "reset"), event(job, "reset")),
    ):
        refused, expected = (actor.send(each, BY_NONCE) for each in (body, plain))
        assert (refused.kind, refused.error) == (expected.kind, expected.error)
        assert refused.kind == "not_authorized"

    assert actor.dump() == before


def test_what_the_state_does_not_allow_is_refused_and_kept_without_the_token(
    actor: Actor, job: Document
) -> None:
    reply = actor.send(job_event(job, "finish"))

    assert (reply.kind, reply.error) == (
        "not_allowed",
        actor.send(event(job, "finish")).error,
    )
    kept = [row["event"]["data"].get("salsa") for row in actor.dump()["rejected_events"]]
    assert sorted(kept, key=str) == [None, "verde"]
    assert job["_update_token"] not in json.dumps(actor.dump(), default=str)


def test_no_token_is_in_the_log(actor: Actor, job: Document) -> None:
    token = job["_update_token"]
    verbose = {"_REACTOR_DEBUG": "true"}
    bare = without(job_event(job), "token")
    for body in (
        job_event(job),
        {**bare, "data": {"token": token}},
        {**bare, "subject": token, "data": {"token": token}},
        job_event(job, type=token),
    ):
        assert token not in "\n".join(actor.main(body, verbose).lines)


# Exactly once


def test_a_second_delivery_changes_nothing_and_is_answered_alike(
    actor: Actor, job: Document
) -> None:
    first = actor.send(job_event(job, "run"))
    actor.send(job_event(job, "resource"))

    again = actor.send(job_event(job, "run"), url(job, event_id="of the URL"))

    assert again.result == first.result
    assert names(actor, job) == ["create", "run", "resource"]


def test_the_same_id_of_another_source_is_another_event(actor: Actor, job: Document) -> None:
    for source, number in (("a", "1"), ("b", "1"), ('a", "b', "1"), ("a", '1", "1')):
        assert actor.send(job_event(job, "resource", source=source, id=number)).error == ""

    assert names(actor, job) == ["create", *["resource"] * 4]


def test_another_event_with_the_same_id_is_refused(actor: Actor, job: Document) -> None:
    actor.send(job_event(job, "resource"))

    conflict = actor.send(job_event(job, "run", id="resource-1"))
    assert conflict.kind == "conflict"
    assert "its source with its id already stands for another event (resource)" in conflict.error
    assert actor.send(job_event(job, "resource", data={"another": 1})).kind == "conflict"
    assert names(actor, job) == ["create", "resource"]


def test_many_deliveries_at_once_are_one_event(actor: Actor, job: Document) -> None:
    replies = at_once(8, lambda _: actor.send(job_event(job)))

    assert {reply.error for reply in replies} == {""}
    assert names(actor, job) == ["create", "run"]


# Its place


def test_it_goes_before_the_url_event(actor: Actor, job: Document) -> None:
    assert actor.send(job_event(job), url(job, name="fail")).result["last_event"] == "run"


def test_the_subject_wins_over_the_uuid_of_the_url(
    actor: Actor, job: Document, pipeline: Document
) -> None:
    other = actor.jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"other": 1}}
    )

    assert actor.send(job_event(job), url(other)).result["uuid"] == job["uuid"]


def test_an_event_of_tapis_is_still_one(actor: Actor, job: Document) -> None:
    reply = actor.send(cloud_event(tapis("FINISHED")), {"uuid": job["uuid"]})

    assert "finish event: 'token' is missing" in reply.error


def test_a_job_whose_type_begins_as_those_of_tapis_is_the_subject(
    actor: Actor, job: Document
) -> None:
    assert actor.send(job_event(job, type="jobs.kitchen.run")).result["state"] == "RUNNING"


def test_events_of_other_services_are_data_of_a_url_event(actor: Actor, job: Document) -> None:
    body = without(job_event(job, type="com.example.bucket.created", subject="salsa.csv"), "token")

    assert actor.send(body, url(job, event="update")).result["last_event"] == "update"
    assert kept(actor, job) == body


# What is wrong with it

TYPE = "a name that ends in a dot and an event, such as org.example.job.finish"
EVENT = job_event({"uuid": UNKNOWN_JOB, "_update_token": "0" * 16})
MALFORMED: list[tuple[dict[str, Any], str]] = [
    (without(EVENT, "id"), "'id' is missing"),
    (without(EVENT, "source", "subject"), "'source', 'subject' are missing"),
    ({**EVENT, "specversion": "0.3"}, "'specversion' is '0.3', expected: one of 1.0"),
    ({**EVENT, "type": "org.example.eat"}, f"'type' is 'org.example.eat', expected: {TYPE}"),
    ({**EVENT, "type": "org.example.create"}, f"'type' is 'org.example.create', expected: {TYPE}"),
    ({**EVENT, "type": "rerun"}, f"'type' is 'rerun', expected: {TYPE}"),
    ({**EVENT, "type": "x.run\n"}, f"'type' is 'x.run\\n', expected: {TYPE}"),
    ({**EVENT, "type": 5}, "'type' is a number, expected: string"),
    ({**EVENT, "subject": "tacos"}, "'subject' is 'tacos', expected: the uuid of a job (107...)"),
    (
        {**EVENT, "id": " "},
        "'id' is ' ', expected: an id, the same on every delivery of this event",
    ),
    ({**EVENT, "token": 5}, "'token' is a number, expected: string"),
]


def test_what_is_wrong_is_said_in_one_line(actor: Actor, job: Document) -> None:
    before = actor.dump()

    for body, problem in MALFORMED:
        reply = actor.send(body)
        assert reply.kind == "invalid_message"
        assert reply.error.startswith(f"CloudEvent: {problem}")
        assert "\n" not in reply.error
    assert actor.dump() == before


def test_data_over_a_mebibyte_is_refused(actor: Actor, job: Document) -> None:
    reply = actor.send(job_event(job, data={"text": "x" * 1024 * 1024}))

    assert reply.error.startswith("run event: 'data' has 1,048,")


def test_several_events_in_one_document_are_refused(actor: Actor, job: Document) -> None:
    reply = actor.send([job_event(job)])

    assert reply.error == "the message is a batch of events: post them one by one"
