from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from datacatalog.mongo import Document
from tests.actor import (
    AGAVE_POST,
    ALOE_POST,
    UNKNOWN_JOB,
    Actor,
    event,
    url,
    without,
)

AS_TEXT = pytest.mark.parametrize("as_text", [json.dumps, repr], ids=["json", "python"])
VALUES = {
    "nothing": None,
    "truth": True,
    "quotes": 'it\'s "so" and back\\slash',
    "lines": "one\ntwo\ttab\r",
    "unicode": "jalapeño 🌮 \u2028 \x00",
    "numbers": [0, -1, 2**63 - 1, -(2**63), 0.1, 1e300, -2.5e-7],
    "a.dotted.key": {"$set": {"state": "RETIRED"}, "$": 1, "": {}, "%24": "%", "a.$.b": []},
    "salsa\x00verde": 1,
    "$where": "sleep(1000)",
    "nested": [[], [[{"deep": [{"deeper": [None, {"deepest": "é"}]}]}]]],
    "ñ": "ключ",
}
STATUSES = {
    "run": ["RUNNING"],
    "finish": ["FINISHED"],
    "fail": ["FAILED", "STOPPED", "DELETED", "ARCHIVING_FAILED"],
    "update": ["KILLED", "HEARTBEAT", "UPDATED", "SOMETHING_NEW"],
    "resource": [
        "CREATED",
        "PERMISSION_GRANT",
        "PERMISSION_REVOKE",
        "PENDING",
        "STAGING_INPUTS",
        "CLEANING_UP",
        "ARCHIVING",
        "STAGING_JOB",
        "PAUSED",
        "QUEUED",
        "SUBMITTING",
        "STAGED",
        "PROCESSING_INPUTS",
        "ARCHIVING_FINISHED",
    ],
}


def exact(value: Any) -> str:
    """Return a string that tells 1 from 1.0 and from True."""
    return json.dumps(value, sort_keys=True)


# The kinds


@AS_TEXT
def test_large_data_is_kept_as_it_was_sent_and_its_token_is_not(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    body = {"z": "y" * 600_000, "n": 1, "token": job["_update_token"]}
    reply = actor.send(as_text(body), {"uuid": job["uuid"], "event": "update"})

    assert reply.result["last_event"] == "update"
    assert actor.job(job["uuid"])["history"][-1]["data"] == {"z": "y" * 600_000, "n": 1}


def test_a_body_too_large_to_be_read_is_refused_and_not_kept_as_a_text(
    actor: Actor, job: Document
) -> None:
    body = {"z": "y" * 4_000_000, "token": job["_update_token"]}
    reply = actor.send(repr(body), url(job, event="update"))

    assert "at most 1,048,576 are kept" in reply.error
    assert len(actor.job(job["uuid"])["history"]) == 1


@AS_TEXT
def test_an_event_is_applied_and_its_data_kept(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    reply = actor.send(as_text(event(job, "run", data=VALUES)))

    assert reply.result == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    stored = actor.job(job["uuid"])
    assert (stored["state"], stored["last_event"]) == ("RUNNING", "run")
    assert [entry["name"] for entry in stored["history"]] == ["create", "run"]
    assert exact(stored["history"][1]["data"]) == exact(VALUES)


@AS_TEXT
def test_a_delete_action_hides_the_job(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    body = {
        "uuid": job["uuid"],
        "action": "delete",
        "force": False,
        "token": job["_update_token"],
    }

    assert actor.send(as_text(body)).result == {"uuid": job["uuid"], "deleted": "hidden"}
    assert actor.jobs.find_one_by_uuid(job["uuid"]) is None
    assert actor.jobs.coll.count_documents({"uuid": job["uuid"], "_visible": False}) == 1


@AS_TEXT
def test_a_create_action_makes_a_job(
    actor: Actor, pipeline: Document, as_text: Callable[[Any], str]
) -> None:
    body = {
        "pipeline_uuid": pipeline["uuid"],
        "archive_path": "/products/v2/salsa",
        "data": VALUES,
        "session": "spicy-badger",
        "__options": {"dry": None},
    }

    reply = actor.send(as_text(body))

    stored = actor.job(reply.result["uuid"])
    assert stored["archive_path"] == "/products/v2/salsa"
    assert stored["session"] == "spicy-badger"
    assert stored["state"] == "CREATED"
    assert exact(stored["data"]) == exact(stored["history"][0]["data"]) == exact(VALUES)
    assert not [name for name in stored if "options" in name]


@AS_TEXT
@pytest.mark.parametrize("post", [ALOE_POST, AGAVE_POST], ids=["aloe", "agave"])
def test_a_callback_is_applied_and_the_post_kept(
    actor: Actor, job: Document, post: dict[str, Any], as_text: Callable[[Any], str]
) -> None:
    sent = {**post, "retries": 3, "localId": None, "_links": {"self": "x"}, "more": VALUES}

    reply = actor.send(as_text(sent), url(job))

    assert reply.result["last_event"] == "run"
    stored = actor.job(job["uuid"])
    assert stored["state"] == "RUNNING"
    expected = without(sent, "_links", "retries", "localId")
    assert exact(stored["history"][1]["data"]) == exact(expected)


@AS_TEXT
def test_the_body_of_a_url_event_is_its_data(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    reply = actor.send(as_text(VALUES), url(job, name="run"))

    assert reply.result["state"] == "RUNNING"
    assert exact(actor.job(job["uuid"])["history"][1]["data"]) == exact(VALUES)


@AS_TEXT
def test_a_large_body_is_read_back_as_it_was(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    data = {f"taco.{number}": ["🌮" * 50, {"$n": number}] for number in range(400)}
    assert len(json.dumps(data, ensure_ascii=False).encode()) > 90_000

    actor.send(as_text(event(job, "run", data=data)))
    actor.send(as_text(data), url(job, event="update"))

    history = actor.job(job["uuid"])["history"]
    assert [entry["data"] == data for entry in history] == [False, True, True]


# Their order


@pytest.mark.parametrize(
    ("body", "done"),
    [
        ({"name": "run"}, {"state": "RUNNING"}),
        ({"action": "delete"}, {"deleted": "hidden"}),
        (ALOE_POST, {"state": "RUNNING"}),
        (AGAVE_POST, {"state": "RUNNING"}),
    ],
    ids=["event", "delete", "aloe", "agave"],
)
def test_every_other_kind_goes_before_the_url_event(
    actor: Actor, job: Document, body: dict[str, Any], done: dict[str, str]
) -> None:
    about = {} if "appId" in body else {"uuid": job["uuid"]}

    reply = actor.send({**body, **about}, url(job, name="fail"))

    assert reply.result.items() >= done.items()


def test_a_create_action_goes_before_the_url_event(
    actor: Actor, job: Document, pipeline: Document
) -> None:
    body = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"new": True}}

    reply = actor.send(body, {"uuid": job["uuid"], "name": "fail"})

    assert reply.result["last_event"] == "create"
    assert reply.result["uuid"] != job["uuid"]
    assert actor.job(job["uuid"])["state"] == "CREATED"


def test_a_post_that_fits_both_callbacks_is_the_newer_kind(actor: Actor) -> None:
    reply = actor.send({**AGAVE_POST, **ALOE_POST})

    assert "(AloeJobsPost)" in reply.error


# What wins


def test_the_uuid_in_the_body_wins(actor: Actor, job: Document) -> None:
    reply = actor.send(event(job, "run"), {"uuid": UNKNOWN_JOB})

    assert (reply.error, reply.result.get("uuid")) == ("", job["uuid"])


def test_the_name_in_the_body_wins(actor: Actor, job: Document) -> None:
    reply = actor.send(event(job, "run"), {"name": "fail", "event": "fail", "status": "FAILED"})

    assert reply.result["last_event"] == "run"


def test_the_right_token_in_the_body_wins(actor: Actor, job: Document) -> None:
    assert actor.send(event(job, "run"), {"token": "0" * 16}).result["state"] == "RUNNING"


@pytest.mark.parametrize("token", ["0" * 16, ""])
def test_the_wrong_token_in_the_body_wins(actor: Actor, job: Document, token: str) -> None:
    before = actor.dump()

    reply = actor.send({**event(job, "run"), "token": token}, url(job))

    assert reply.kind == "not_authorized"
    assert actor.dump() == before


def test_the_token_in_the_body_of_a_url_event_wins(actor: Actor, job: Document) -> None:
    body = {"cost": 3, "token": job["_update_token"]}

    reply = actor.send(body, url(job, name="run", token="0" * 16))

    assert reply.error == ""
    assert actor.job(job["uuid"])["history"][1]["data"] == {"cost": 3}


def test_a_wrong_token_in_the_body_of_a_url_event_is_refused(actor: Actor, job: Document) -> None:
    before = actor.dump()

    reply = actor.send({"cost": 3, "token": "0" * 16}, url(job, name="run"))

    assert reply.kind == "not_authorized"
    assert actor.dump() == before


@pytest.mark.parametrize("parameters", [{}, {"token": ""}], ids=["none", "empty"])
def test_a_url_event_may_have_its_token_in_the_body(
    actor: Actor, job: Document, parameters: dict[str, str]
) -> None:
    body = {"cost": 3, "token": job["_update_token"]}

    actor.send(body, {"uuid": job["uuid"], "name": "run", **parameters})

    assert actor.job(job["uuid"])["history"][1]["data"] == {"cost": 3}


@pytest.mark.parametrize("shown", ["url", "body", "both"])
def test_no_token_is_kept_in_the_history(
    actor: Actor, job: Document, admin_token: str, shown: str
) -> None:
    parameters = url(job, name="run") if shown != "body" else {"uuid": job["uuid"], "name": "run"}
    body = {"cost": 3, "token": admin_token} if shown != "url" else {"cost": 3}

    actor.send(body, parameters)

    assert actor.job(job["uuid"])["last_event"] == "run"
    everything = str(actor.dump())
    assert job["_update_token"] not in everything
    assert admin_token not in everything


@pytest.mark.parametrize("post", [ALOE_POST, AGAVE_POST], ids=["aloe", "agave"])
def test_the_status_of_a_post_wins(actor: Actor, job: Document, post: dict[str, Any]) -> None:
    parameters = url(job, status="FAILED", state="FAILED", name="fail", event="fail")

    assert actor.send(post, parameters).result["last_event"] == "run"


@pytest.mark.parametrize("given", ["name", "event"])
@pytest.mark.parametrize("other", ["status", "state"])
def test_a_name_goes_before_a_status(actor: Actor, job: Document, given: str, other: str) -> None:
    reply = actor.send("", url(job, **{given: "run", other: "FAILED"}))

    assert reply.result["last_event"] == "run"


def test_the_actors_own_state_says_nothing_about_a_job(actor: Actor, job: Document) -> None:
    state = {"_abaco_actor_state": json.dumps({"state": "FAILED", "status": "FAILED"})}
    before = actor.dump()

    refused = actor.send("", {**url(job), **state})
    assert refused.error.startswith("event: 'name' is missing")
    assert actor.dump() == before

    bare = {"_abaco_actor_state": "FAILED"}
    assert actor.send("", {**url(job), **bare}).error.startswith("event: 'name' is missing")
    assert actor.send("", {**url(job, state="RUNNING"), **bare}).result["state"] == "RUNNING"


# Names and statuses


def test_names_count_in_any_case(actor: Actor, job: Document) -> None:
    replies = [
        actor.send(event(job, "RuN")),
        actor.send("", url(job, name="UPDATE")),
        actor.send("", url(job, event="Resource")),
        actor.send("", url(job, status="finished")),
    ]

    assert [reply.result["last_event"] for reply in replies] == [
        "run",
        "update",
        "resource",
        "finish",
    ]
    stored = actor.job(job["uuid"])
    assert stored["state"] == "FINISHED"
    assert [entry["name"] for entry in stored["history"]] == [
        "create",
        "run",
        "update",
        "resource",
        "finish",
    ]


@pytest.mark.parametrize("name", STATUSES)
def test_each_platform_status_is_its_event(actor: Actor, job: Document, name: str) -> None:
    for status in STATUSES[name]:
        for body, parameters in (
            ("", url(job, status=status)),
            ("", url(job, state=status.lower())),
            ({**ALOE_POST, "status": status.lower()}, url(job)),
            ({**AGAVE_POST, "status": status.title()}, url(job)),
        ):
            actor.jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": {"state": "RUNNING"}})
            reply = actor.send(body, parameters)
            assert (status, reply.result.get("last_event")) == (status, name)


def test_each_event_has_its_name_in_body_and_url(actor: Actor, job: Document) -> None:
    # the token is wrong: the line says which event it would have been
    shown = {"uuid": job["uuid"], "token": "0" * 16}
    for name in MESSAGE_EVENTS:
        errors = [
            actor.send({**shown, "name": name}).error,
            actor.send("", {**shown, "name": name}).error,
            actor.send("", {**shown, "event": name}).error,
        ]
        assert [error.partition(": ")[0] for error in errors] == [f"{name} event"] * 3


def test_a_blank_name_is_no_name(actor: Actor, job: Document) -> None:
    assert actor.send("", url(job, name=" ", event="run")).result.get("last_event") == "run"
    before = actor.dump()

    for parameter in ("name", "event"):
        assert actor.send("", url(job, **{parameter: " "})).kind == "invalid_message"
    assert actor.dump() == before


# The body of a URL event

BODIES: list[tuple[str, dict[str, Any]]] = [
    ('{"cost": 3}', {"cost": 3}),
    ("{'cost': None}", {"cost": None}),
    ("spicy", {"value": "spicy"}),
    ("it's {not: JSON}", {"value": "it's {not: JSON}"}),
    ('[1, "two", null]', {"value": [1, "two", None]}),
    ("[True, None]", {"value": [True, None]}),
    ("[]", {"value": []}),
    ("5", {"value": 5}),
    ("0", {"value": 0}),
    ("1.5", {"value": 1.5}),
    ("false", {"value": False}),
    ('"quoted"', {"value": "quoted"}),
]


def test_any_body_of_a_url_event_is_kept(actor: Actor, job: Document) -> None:
    for body, _ in BODIES:
        actor.send(body, url(job, name="update"))
        actor.send(body, url(job, name="update", note="by hand"))

    kept = [entry["data"] for entry in actor.job(job["uuid"])["history"]]
    assert exact(kept[1::2]) == exact([data for _, data in BODIES])
    assert kept[2::2] == kept[1::2]


def test_without_a_body_the_note_is_kept(actor: Actor, job: Document) -> None:
    for body in ("", " \n", "{}", " { } ", "null", "None", "\ufeff"):
        actor.send(body, url(job, name="update", note="by hand"))
        actor.send(body, url(job, name="update"))
        actor.send(body, url(job, name="update", note=""))

    kept = [entry["data"] for entry in actor.job(job["uuid"])["history"]]
    nothing = {"note": "The message had no payload"}
    assert kept[1:] == [{"note": "by hand"}, nothing, nothing] * 7


# Too large


@pytest.mark.parametrize("way", ["event", "url", "text", "callback"])
def test_data_up_to_a_mebibyte_is_kept_and_no_more(actor: Actor, job: Document, way: str) -> None:
    def send(length: int) -> str:
        text = "x" * length
        if way == "event":
            return actor.send(event(job, "update", data={"v": text})).error
        if way == "url":
            return actor.send({"v": text}, url(job, name="update")).error
        if way == "text":
            return actor.send(text, url(job, name="update")).error
        return actor.send({**ALOE_POST, "v": text, "status": "HEARTBEAT"}, url(job)).error

    key = {"text": "value"}.get(way, "v")
    post = {**ALOE_POST, "status": "HEARTBEAT"} if way == "callback" else {}
    spare = 1024 * 1024 - len(json.dumps({**post, key: ""}, separators=(",", ":")))

    before = actor.dump()
    assert send(spare + 1) == (
        "update event: 'data' has 1,048,577 bytes, at most 1,048,576 are kept: "
        "send a reference to the content instead"
    )
    assert actor.dump() == before
    assert send(spare) == ""
    assert actor.job(job["uuid"])["last_event"] == "update"


def test_a_job_with_more_than_a_mebibyte_of_data_is_not_created(
    actor: Actor, pipeline: Document
) -> None:
    before = actor.dump()
    body = {
        "pipeline_uuid": pipeline["uuid"],
        "archive_path": "/x",
        "data": {"v": "x" * 1024 * 1024},
    }

    assert actor.send(body).error.startswith("create action: 'data' has 1,048,584 bytes")
    assert actor.dump() == before


# UUIDs as URNs


@pytest.mark.parametrize("form", ["urn:uuid:{}", "uri:urn:{}", "URN:UUID:{}"])
def test_a_job_may_be_named_by_a_urn_wherever_it_is_named(
    actor: Actor, job: Document, form: str
) -> None:
    urn, token = form.format(job["uuid"]), {"token": job["_update_token"]}
    cloud = {"specversion": "1.0", "id": "1", "source": "/x", "type": "x.update", "subject": urn}
    run = {"runId": str(uuid.uuid4()), "facets": {"pipelinejobs_job": {"uuid": urn, **token}}}
    lineage = {
        "eventType": "RUNNING",
        "eventTime": "2026-11-23T10:00:00Z",
        "run": run,
        "job": {"namespace": "x", "name": "y"},
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
    }
    for body, parameters in (
        ({"uuid": urn, "name": "run", **token}, {}),
        ({}, {"uuid": urn, "event": "update", **token}),
        (AGAVE_POST, {"uuid": urn, "status": "RUNNING", **token}),
        ({**cloud, **token}, {}),
        (lineage, {}),
        ({"uuid": urn, "action": "delete", **token}, {}),
    ):
        reply = actor.send(body, parameters)
        assert (reply.error, reply.result["uuid"]) == ("", job["uuid"])


def test_the_pipeline_and_parents_of_a_new_job_may_be_named_by_urns(
    actor: Actor, pipeline: Document
) -> None:
    parent = "102d3f7f-07dc-596f-82d2-3f9ba8a2ae3e"
    plain = {"archive_path": "/x", "data": {"urn": 1}}
    sent = {"pipeline_uuid": pipeline["uuid"], "child_of": [parent], **plain}
    urns = {
        "pipeline_uuid": f"urn:uuid:{pipeline['uuid']}",
        "child_of": [f"uri:urn:{parent}"],
        **plain,
    }
    first, again = (actor.send(body).result["uuid"] for body in (sent, urns))
    assert first == again
