"""Reports as platforms and people send them, which nobody wrote for this actor."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datacatalog.mongo import Document
from manager import actions
from manager.exceptions import InvalidMessage
from reactors.runtime import Reactor
from tests.actor import AGAVE_POST, ALOE_POST, NONCE, Actor, event, names, tapis, url, without
from tests.conftest import ROOT

TEXT = {"_abaco_Content_Type": "str"}
ALOE_FIELDS = ("appId", "status", "tenantId")


def kept(actor: Actor, job: Document) -> Any:
    """Return what the history keeps about the last event."""
    return actor.job(job["uuid"])["history"][-1]["data"]


# Statuses


@pytest.mark.parametrize("parameter", ["status", "state"])
def test_an_unknown_status_is_an_update_that_keeps_it(
    actor: Actor, job: Document, parameter: str
) -> None:
    reply = actor.send("", url(job, **{parameter: "SOMETHING_NEW"}))
    assert reply.result["last_event"] == "update"
    assert kept(actor, job)["status"] == "SOMETHING_NEW"
    assert "WARNING update event: the status 'SOMETHING_NEW' is not known" in reply.log

    actor.send({"cost": 1}, url(job, **{parameter: "SOMETHING_NEW"}))
    assert kept(actor, job) == {"cost": 1, "status": "SOMETHING_NEW"}


def test_an_unknown_status_in_a_post_is_told_in_the_log(actor: Actor, job: Document) -> None:
    reply = actor.send({**AGAVE_POST, "status": "SOMETHING_NEW"}, url(job))
    assert reply.result["last_event"] == "update"
    assert "the status 'SOMETHING_NEW' is not known" in reply.log


TEMPLATES = ["${JOB_STATUS}", "{{ status }}", "$JOB_STATUS", "%JOB_STATUS%", "<status>"]


@pytest.mark.parametrize("parameter", ["status", "state", "event", "name"])
def test_a_template_that_was_not_filled_in_is_refused_by_its_name(
    actor: Actor, job: Document, parameter: str
) -> None:
    before = actor.dump()
    for template in TEMPLATES:
        reply = actor.send("", url(job, **{parameter: template}))
        assert reply.error == (
            f"event: the URL parameter '{parameter}' is '{template}', "
            "a template that was not filled in"
        )
    assert actor.dump() == before


def test_a_template_beside_a_body_that_says_the_status_does_no_harm(
    actor: Actor, job: Document
) -> None:
    parameters = url(job, status="${JOB_STATUS}")
    assert actor.send(AGAVE_POST, parameters).result["last_event"] == "run"
    assert actor.send({"status": "FINISHED"}, parameters).result["last_event"] == "finish"


def test_a_template_in_place_of_the_uuid_is_named(actor: Actor) -> None:
    error = actor.send("", {"uuid": "${UUID}", "event": "run"}).error
    assert "the URL parameter 'uuid' is '${UUID}', a template" in error


# Body and URL


@pytest.mark.parametrize(
    ("body", "parameters", "last_event", "data"),
    [
        ({"status": "FAILED"}, {"status": "RUNNING"}, "fail", {"url_status": "RUNNING"}),
        ({"status": "failed", "id": 1}, {"state": "RUNNING"}, "fail", {"url_status": "RUNNING"}),
        ({"event": "fail"}, {"event": "run"}, "fail", {"event": "fail"}),
        ({"name": "Fail"}, {"status": "RUNNING"}, "fail", {"name": "Fail"}),
        ({"status": "half done"}, {"status": "RUNNING"}, "run", {"url_status": "RUNNING"}),
        ({"name": "tacos"}, {"event": "run"}, "run", {"name": "tacos"}),
        ({"status": "FAILED"}, {"event": "run"}, "run", {"status": "FAILED"}),
    ],
)
def test_where_body_and_url_disagree_the_body_counts_and_nothing_is_lost(
    actor: Actor,
    job: Document,
    body: dict[str, Any],
    parameters: dict[str, str],
    last_event: str,
    data: dict[str, Any],
) -> None:
    reply = actor.send(body, url(job, **parameters))
    assert reply.result["last_event"] == last_event
    assert kept(actor, job).items() >= {**body, **data}.items()


@pytest.mark.parametrize("parameters", [{"status": "FAILED", "job_id": "1-242ac11b-007"}, {}])
def test_of_a_post_whose_body_is_lost_the_history_says_so(
    actor: Actor, job: Document, parameters: dict[str, str]
) -> None:
    """Abaco passes on the value of a field `message` alone, which Agave's posts have."""
    reply = actor.send("FAILED", {**url(job), "status": "FAILED", **parameters, **TEXT})
    assert reply.result["state"] == "FAILED"
    found = kept(actor, job)
    assert (found["message"], found["status"]) == ("FAILED", "FAILED")
    assert found.get("job_id") == parameters.get("job_id")
    assert found["note"].endswith("its body is lost")


# Callbacks


@pytest.mark.parametrize("post", [ALOE_POST, AGAVE_POST], ids=["aloe", "agave"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_a_callback_needs_no_more_than_what_tells_it_apart(
    actor: Actor, job: Document, post: dict[str, Any], how: str
) -> None:
    for name in sorted(post.keys() - set(ALOE_FIELDS)):
        sent = without(post, name) if how == "missing" else {**post, name: None}
        reply = actor.send({**sent, "status": "PENDING"}, url(job))
        assert (name, reply.error, reply.result.get("last_event")) == (name, "", "resource")


def test_a_post_with_a_message_of_its_own_is_a_callback(actor: Actor, job: Document) -> None:
    post = {**AGAVE_POST, "status": "FAILED", "message": "FAILED"}
    assert actor.send(repr(post), url(job)).result["state"] == "FAILED"
    assert kept(actor, job)["message"] == "FAILED"


UNREADABLE: list[dict[str, Any]] = [
    {**ALOE_POST, "status": None},
    without(AGAVE_POST, "status"),
    {**AGAVE_POST, "status": 5, "token": "0123456789abcdef"},
    {"eventUuid": "x", "event": {"type": 5}, "deliveryTarget": {"deliveryAddress": "secret"}},
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_callback_that_cannot_be_read_is_kept_with_its_body(
    actor: Actor, job: Document, body: dict[str, Any]
) -> None:
    reply = actor.send(body, url(job))
    assert reply.kind == "invalid_message"
    (row,) = actor.dump()["rejected_events"]
    assert row["uuid"] == job["uuid"]
    assert row["reason"] == reply.error
    assert row["event"]["data"] == without(body, "token", "deliveryTarget")

    # an operator says what it was
    rx = Reactor(actor.message(), folders=[ROOT])
    with pytest.raises(InvalidMessage, match="name the event yourself"):
        actions.retry(rx, row["_id"], actor.jobs)
    assert actions.retry(rx, row["_id"], actor.jobs, "fail").result["state"] == "FAILED"
    assert kept(actor, job) == row["event"]["data"]


def test_a_callback_that_cannot_be_read_and_has_no_right_token_is_not_kept(
    actor: Actor, job: Document
) -> None:
    before = actor.dump()
    for parameters in ({}, {"uuid": job["uuid"]}, url(job, token="0" * 16), {"token": "0" * 16}):
        assert actor.send(UNREADABLE[0], parameters).kind == "invalid_message"
    assert actor.dump() == before


def repeats(job: Document) -> str:
    """Return the URL that a platform was given, as it may stand in what it posts."""
    return f"https://example.org/actors/v2/manager/messages?x-nonce={NONCE}&uuid={job['uuid']}&token={job['_update_token']}"


@pytest.mark.parametrize(
    ("body", "parameters", "error"),
    [
        ({**AGAVE_POST, "subscriptions": [{"url": "?"}]}, {}, ""),
        ({"callback": {"urls": ["?"]}}, {"event": "run"}, ""),
        ("posted to ?", {"event": "run"}, ""),
        ({**AGAVE_POST, "status": None, "callback": {"url": "?"}}, {}, "status"),
    ],
    ids=["callback", "any object", "a string", "unreadable"],
)
def test_of_a_url_that_a_report_repeats_neither_token_nor_nonce_is_kept(
    actor: Actor, job: Document, body: Any, parameters: dict[str, str], error: str
) -> None:
    sent = json.loads(json.dumps(body).replace("?", repeats(job)))
    reply = actor.send(sent, url(job, **parameters, **{"x-nonce": NONCE}))
    assert error in reply.error
    found = json.dumps(actor.dump(), default=str)
    assert NONCE not in found
    assert f"token={job['_update_token']}" not in found
    assert f"x-nonce=(a nonce)&uuid={job['uuid']}&token=(a token)" in found


# Text


TEXTS = ["None", "null", "'quoted'", "(1, 2)", "1.", "1.10", "[1, 2]", "{1, 2}", "{'loss': nan}"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_kept_byte_for_byte(actor: Actor, job: Document, text: str) -> None:
    assert actor.send(text, {**url(job, event="update"), **TEXT}).error == ""
    assert kept(actor, job) == {"value": text}


@pytest.mark.parametrize(
    "body",
    ['{"loss": NaN}', '{"n": 1, "n": 2}', '{"n": 1e999}', '{"n":' * 100 + "1" + "}" * 100],
)
def test_a_body_that_cannot_be_read_does_not_lose_the_event_of_its_url(
    actor: Actor, job: Document, body: str
) -> None:
    for declared in ("str", "application/json"):
        reply = actor.send(body, {**url(job, event="run"), "_abaco_Content_Type": declared})
        assert reply.result["state"] == "RUNNING"
        assert kept(actor, job) == {"value": body}


@pytest.mark.parametrize("number", [2**63, -(10**30)])
def test_numbers_beyond_64_bits_do_not_lose_an_event(
    actor: Actor, job: Document, number: int
) -> None:
    for body, parameters in (
        ({"n": number}, url(job, event="run")),
        ({**ALOE_POST, "n": number}, url(job)),
        (tapis("RUNNING", 3, n=number), url(job)),
    ):
        assert actor.send(body, parameters).error == ""
        assert str(number) in kept(actor, job)["value"]


def test_a_message_of_another_actor_is_read_as_abaco_writes_it(actor: Actor, job: Document) -> None:
    """The SDK sends an object as the argument `message`, of which Abaco makes a string: its repr."""
    body = event(job, "run", data={"cost": None})
    assert actor.send(repr(body), TEXT).result["state"] == "RUNNING"


@pytest.mark.parametrize("declared", ["str", "application/json"])
def test_a_byte_order_mark_is_dropped(actor: Actor, job: Document, declared: str) -> None:
    content = {"_abaco_Content_Type": declared}
    body = "\ufeff" + json.dumps(event(job, "run"))
    assert actor.send(body, content).result["state"] == "RUNNING"
    actor.send("\ufeffhalf", {**url(job, event="update"), **content})
    assert kept(actor, job) == {"value": "half"}


# The lives of a job


def live(actor: Actor, job: Document, key: str = "host") -> list[Any]:
    """Run and finish a job as the script for containers does; return the revisions."""
    replies = [
        actor.send("{}", url(job, event=name, event_id=f"{key}-{name}"))
        for name in ("run", "finish")
    ]
    assert [reply.error for reply in replies] == ["", ""]
    return [reply.result["revision"] for reply in replies]


def begin_again(actor: Actor, job: Document, admin_token: str) -> None:
    """Reset a job, and make it ready."""
    for name in ("reset", "ready"):
        body = {"uuid": job["uuid"], "name": name, "token": admin_token}
        assert actor.send(body).error == ""


@pytest.mark.parametrize("between", [0, 30])
def test_a_key_counts_within_one_life_of_a_job(
    actor: Actor, job: Document, admin_token: str, between: int
) -> None:
    assert live(actor, job) == [1, 2]
    begin_again(actor, job, admin_token)
    assert live(actor, job) == [5, 6]
    for _ in range(between):
        actor.send("{}", url(job, event="finish"))
    # delivered again within their life
    assert live(actor, job) == [5, 6]
    begin_again(actor, job, admin_token)
    assert live(actor, job) == [between + 9, between + 10]
    assert actor.job(job["uuid"])["state"] == "FINISHED"


def test_a_late_delivery_from_an_earlier_life_is_refused_as_such(
    actor: Actor, job: Document, admin_token: str
) -> None:
    live(actor, job)
    begin_again(actor, job, admin_token)
    before = actor.dump()

    reply = actor.send("{}", url(job, event="finish", event_id="host-finish"))
    assert reply.kind == "conflict"
    assert (
        "finish event: a late delivery: it was applied before the job's reset of 2" in reply.error
    )
    assert actor.dump() == before


@pytest.mark.parametrize("moved", [0, 30])
def test_what_a_platform_delivers_again_after_a_reset_is_not_applied_again(
    actor: Actor, job: Document, admin_token: str, moved: int
) -> None:
    actor.send(tapis("RUNNING"), url(job))
    execution = {"_abaco_execution_id": "the same"}
    actor.send({"cost": 1}, {**url(job, event="update"), **execution})
    for _ in range(moved):
        actor.send("", url(job, event="update"))
    begin_again(actor, job, admin_token)
    before = names(actor, job)

    for reply in (
        actor.send(tapis("RUNNING"), url(job)),
        actor.send({"cost": 1}, {**url(job, event="update"), **execution}),
    ):
        assert reply.kind == "conflict"
        assert "a late delivery: it was applied before" in reply.error
    assert names(actor, job) == before


def test_what_happened_before_a_reset_and_comes_after_it_is_refused_and_kept(
    actor: Actor, job: Document, admin_token: str
) -> None:
    actor.bring(job, "run")
    begin_again(actor, job, admin_token)
    actor.bring(job, "run")

    late = tapis("FINISHED")
    late["event"]["timestamp"] = "2020-11-23T10:00:07.123456789+01:00"
    reply = actor.send(late, url(job))
    assert (reply.kind, "it happened before the job's reset" in reply.error) == ("conflict", True)
    assert [row["event"]["name"] for row in actor.dump()["rejected_events"]] == ["finish"]
    assert actor.job(job["uuid"])["state"] == "RUNNING"

    late["event"]["timestamp"] = "2120-11-23T10:00:07Z"
    late["eventUuid"] = "another"
    assert actor.send(late, url(job)).result["state"] == "FINISHED"


def test_a_reset_that_is_delivered_again_is_the_same_reset(
    actor: Actor, job: Document, admin_token: str
) -> None:
    body = {"uuid": job["uuid"], "name": "reset", "token": admin_token}
    for execution in ("one", "two"):
        environ = {"_abaco_execution_id": execution}
        first = actor.send(body, environ)
        assert actor.send(body, environ).result == first.result
    assert names(actor, job) == ["create", "reset", "reset"]
    assert actor.send(body, {"_abaco_execution_id": "one"}).kind == "conflict"
