"""What jobs on Tapis v3 report."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from datacatalog.managers.pipelinejobs import ManagedPipelineJob
from datacatalog.mongo import Document
from tests.actor import (
    ACTOR_ID,
    AGAVE_POST,
    ALOE_POST,
    BY_NONCE,
    NONCE,
    Actor,
    Reply,
    at_once,
    cloud_event,
    names,
    tapis,
    url,
    without,
)
from tests.tenant import Tenant

FORMS = pytest.mark.parametrize("form", [lambda body: body, cloud_event], ids=["tapis", "cloud"])
AS_TEXT = pytest.mark.parametrize("as_text", [json.dumps, repr], ids=["json", "python"])
Form = Callable[[dict[str, Any]], dict[str, Any]]
STATUSES = {
    "run": ["RUNNING"],
    "finish": ["FINISHED"],
    "fail": ["FAILED", "CANCELLED"],
    "resource": [
        "PENDING",
        "PROCESSING_INPUTS",
        "STAGING_INPUTS",
        "STAGING_JOB",
        "SUBMITTING_JOB",
        "QUEUED",
        "ARCHIVING",
        "BLOCKED",
        "PAUSED",
        "SOMETHING_NEW",
    ],
    "update": [
        "JOB_INPUT_TRANSACTION_ID.1",
        "JOB_ARCHIVE_TRANSACTION_ID.1",
        "JOB_SUBSCRIPTION.added",
        "JOB_SHARE_EVENT.x",
        "JOB_ERROR_MESSAGE.FAILED",
        "JOB_USER_EVENT.FINISHED",
    ],
}


def kept(actor: Actor, job: Document) -> Any:
    """Return what the history keeps about the last event."""
    return actor.job(job["uuid"])["history"][-1]["data"]


# The event


@FORMS
@AS_TEXT
def test_data_that_is_null_is_none(
    actor: Actor, job: Document, form: Form, as_text: Callable[[Any], str]
) -> None:
    body = form(tapis("RUNNING", 7))
    (body if "specversion" in body else body["event"])["data"] = None
    assert actor.send(as_text(body), url(job)).result["state"] == "RUNNING"
    assert "value" not in kept(actor, job)


@FORMS
@AS_TEXT
def test_a_notification_is_applied_and_its_data_kept(
    actor: Actor, job: Document, form: Form, as_text: Callable[[Any], str]
) -> None:
    post = tapis("RUNNING", 7, oldJobStatus="QUEUED", more={"a.b": [None, "🌮"]})

    reply = actor.send(as_text(form(post)), url(job))

    assert reply.result == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    assert kept(actor, job) == {
        **json.loads(post["event"]["data"]),
        "type": "jobs.JOB_NEW_STATUS.RUNNING",
        "timestamp": "2026-11-23T10:00:07.123456Z",
        "seriesSeqCount": 7,
    }


def test_a_notification_may_have_an_event_as_cloudevents_has_it(
    actor: Actor, job: Document
) -> None:
    post = tapis()

    actor.send({**post, "event": cloud_event(post)}, url(job))

    expected = json.loads(post["event"]["data"])
    assert kept(actor, job).items() >= {**expected, "timestamp": post["event"]["timestamp"]}.items()


@pytest.mark.parametrize("name", STATUSES)
def test_each_status_and_category_is_its_event(actor: Actor, job: Document, name: str) -> None:
    for number, event_type in enumerate(STATUSES[name]):
        for post in (tapis(event_type, number), cloud_event(tapis(event_type, number + 20))):
            actor.jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": {"state": "RUNNING"}})
            reply = actor.send(post, url(job))
            assert (event_type, reply.result.get("last_event")) == (event_type, name), reply.error


def test_the_life_of_a_job_on_tapis(actor: Actor, job: Document) -> None:
    life = ["PENDING", "QUEUED", "JOB_USER_EVENT.x", "RUNNING", "ARCHIVING", "FINISHED"]

    for number, event_type in enumerate(life, start=1):
        actor.send(tapis(event_type, number), {**url(job), **BY_NONCE})

    stored = actor.job(job["uuid"])
    assert stored["state"] == "FINISHED"
    assert names(actor, job)[1:] == ["resource", "resource", "update", "run", "resource", "finish"]
    assert [entry["data"]["seriesSeqCount"] for entry in stored["history"][1:]] == [*range(1, 7)]


def test_the_platform_is_not_asked_for_more(actor: Actor, job: Document) -> None:
    with Tenant() as tenant:
        actor.environ |= tenant.environ
        assert actor.send(tapis("FAILED"), url(job)).error == ""
        assert tenant.requests == []


# Its data

DATA: list[tuple[Any, dict[str, Any]]] = [
    ('{"jobName": "tacos", "n": [1, {}]}', {"jobName": "tacos", "n": [1, {}]}),
    ({"jobName": "tacos"}, {"jobName": "tacos"}),
    ("{}", {}),
    ("", {}),
    (" \n", {}),
    ("[1, 2]", {"value": [1, 2]}),
    ("0", {"value": 0}),
    ("null", {"value": None}),
    ("it is no JSON: {", {"value": "it is no JSON: {"}),
    ('{"token": "0123456789abcdef", "a": 1}', {"a": 1}),
    ('{"type": "forged", "seriesSeqCount": 99}', {}),
]


def test_data_of_any_form_is_kept(actor: Actor, job: Document) -> None:
    for number, (data, expected) in enumerate(DATA):
        post = tapis("QUEUED", number)
        post["event"]["data"] = data
        assert actor.send(post, url(job)).error == ""
        found = kept(actor, job)
        for name in ("type", "timestamp", "seriesSeqCount"):
            assert found.pop(name) == post["event"][name]
        assert found == expected


@FORMS
def test_an_event_may_be_without_data(actor: Actor, job: Document, form: Form) -> None:
    post = form(tapis())
    (post if "data" in post else post["event"]).pop("data")

    assert actor.send(post, url(job)).result["last_event"] == "run"
    assert set(kept(actor, job)) == {"type", "timestamp", "seriesSeqCount"}


UNREADABLE = [
    "NaN",
    '{"loss": NaN}',
    "{1, 2}",
    "12345678901234567890123",
    '{"a": 12345678901234567890123}',
    '{"a": 1, "a": 2}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    "9" * 5000,
    "[" * 100_000,
    '{"a":' * 900 + "1" + "}" * 900,
    "{'a': None}",
]


def test_data_that_cannot_be_read_is_kept_as_the_text_and_the_event_counts(
    actor: Actor, job: Document
) -> None:
    actor.bring(job, "run")
    for number, data in enumerate(UNREADABLE):
        post = tapis("FINISHED", 2 * number + 1)
        post["event"]["data"] = data
        assert actor.send(post, url(job)).result["state"] == "FINISHED"
        assert kept(actor, job)["value"] == data

        plain = cloud_event(tapis("FINISHED", 2 * number + 2))
        plain["data"] = data
        assert actor.send(plain, url(job)).error == ""
        assert kept(actor, job)["value"] == data


def test_a_token_in_data_that_cannot_be_read_is_not_kept(actor: Actor, job: Document) -> None:
    post = tapis("RUNNING")
    post["event"]["data"] = f'{{"token": "{job["_update_token"]}", "loss": NaN}}'

    assert actor.send(post, url(job)).error == ""
    assert kept(actor, job)["value"] == '{"token": "(a token)", "loss": NaN}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'{"jobName": "tacos"}', {"jobName": "tacos"}),
        (b"it is done", {"value": "it is done"}),
        (b"\xff\xfe\xfd", {"data_base64": "//79"}),
    ],
)
def test_data_in_base64_is_data(
    actor: Actor, job: Document, given: bytes, expected: dict[str, Any]
) -> None:
    post = cloud_event(tapis())
    del post["data"]
    post["data_base64"] = base64.b64encode(given).decode()

    assert actor.send(post, url(job)).error == ""
    assert kept(actor, job).items() >= expected.items()


@FORMS
def test_what_an_event_says_beyond_what_is_understood_is_kept(
    actor: Actor, job: Document, form: Form
) -> None:
    post = tapis()
    post["event"]["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert actor.send(form(post), url(job)).error == ""
    assert kept(actor, job)["traceparent"] == post["event"]["traceparent"]


def test_data_over_a_mebibyte_is_refused(actor: Actor, job: Document) -> None:
    reply = actor.send(tapis("QUEUED", text="x" * 1024 * 1024), url(job))

    assert reply.error.startswith("resource event: 'data' has 1,048,")


# What is not kept


@pytest.mark.parametrize("event_type", ["RUNNING", "FINISHED"])
def test_where_it_was_delivered_to_is_neither_stored_nor_logged(
    actor: Actor, job: Document, event_type: str
) -> None:
    post = tapis(event_type)
    address = post["deliveryTarget"]["deliveryAddress"]
    token = job["_update_token"]
    post["deliveryTarget"]["deliveryAddress"] = address.replace("SECRET", token)

    run = actor.main(post, {**url(job), **BY_NONCE, "_REACTOR_DEBUG": "true"})

    everything = json.dumps(actor.dump(), default=str)
    assert "deliveryTarget" not in everything
    for secret in (NONCE, token, "x-nonce"):
        assert secret not in everything
        assert secret not in " ".join(run.lines)
    # the event was applied, or refused and kept
    assert run.code == (0 if event_type == "RUNNING" else 1)


# Who may


def test_it_needs_the_jobs_token(actor: Actor, job: Document) -> None:
    before = actor.dump()

    replies = [
        actor.send(tapis(), {"uuid": job["uuid"]}),
        actor.send(tapis(), url(job, token="0" * 16)),
        actor.send({**tapis(), "token": job["_update_token"]}, {"uuid": job["uuid"]}),
    ]

    assert [reply.kind for reply in replies] == ["not_authorized"] * 3
    assert actor.dump() == before


# Exactly once


def again(actor: Actor, job: Document, post: dict[str, Any], **parameters: str) -> Reply:
    """Deliver a notification as Tapis does it another time."""
    later = {**post, "uuid": "5c9fcbd8-0a25-46a5-90e5-bb1ecb5bbf76", "created": "later"}
    if isinstance(later.get("event"), dict):
        later["event"] = {**later["event"], "received": "later"}
    return actor.send(later, url(job, **parameters))


def test_a_second_delivery_changes_nothing_and_is_answered_alike(
    actor: Actor, job: Document
) -> None:
    first = actor.send(tapis("RUNNING"), url(job))
    actor.send(tapis("QUEUED", 2), url(job))

    assert again(actor, job, tapis("RUNNING")).result == first.result
    assert again(actor, job, tapis("RUNNING"), _abaco_execution_id="e").result == first.result
    assert names(actor, job) == ["create", "run", "resource"]


def test_both_forms_are_of_one_event(actor: Actor, job: Document) -> None:
    first = actor.send(tapis(), url(job))

    assert actor.send(cloud_event(tapis()), url(job)).result == first.result
    assert names(actor, job) == ["create", "run"]


def test_the_events_uuid_wins_over_the_one_of_the_url(actor: Actor, job: Document) -> None:
    """The URL is the same for all events of a job."""
    for number in (1, 2):
        assert actor.send(tapis("QUEUED", number), url(job, event_id="of the job")).error == ""

    assert names(actor, job) == ["create", "resource", "resource"]


def test_events_that_say_the_same_are_told_apart(actor: Actor, job: Document) -> None:
    for number in (1, 2, 3):
        actor.send(tapis("BLOCKED", number), url(job, _abaco_execution_id="the same"))

    assert names(actor, job) == ["create", *["resource"] * 3]


def test_another_event_with_the_same_uuid_is_refused(actor: Actor, job: Document) -> None:
    actor.send(tapis("QUEUED"), url(job))
    forged = {**tapis("FAILED"), "eventUuid": tapis("QUEUED")["eventUuid"]}

    conflict = actor.send(forged, url(job))
    assert conflict.kind == "conflict"
    assert "its source with its eventUuid or id already stands for another" in conflict.error
    assert names(actor, job) == ["create", "resource"]


def test_events_of_two_sources_may_have_the_same_id(actor: Actor, job: Document) -> None:
    for source in ("https://one.example.org", "https://two.example.org"):
        post = {**cloud_event(tapis("QUEUED")), "source": source}
        assert actor.send(post, url(job)).error == ""
        assert actor.send(post, url(job)).error == ""

    assert names(actor, job) == ["create", "resource", "resource"]


def test_many_deliveries_at_once_are_one_event(actor: Actor, job: Document) -> None:
    replies = at_once(8, lambda _: again(actor, job, tapis()))

    assert {reply.error for reply in replies} == {""}
    assert names(actor, job) == ["create", "run"]


def test_a_finish_that_overtakes_its_run_is_kept_and_applied_by_a_later_delivery(
    actor: Actor, job: Document
) -> None:
    early = actor.send(tapis("FINISHED", 2), url(job))

    assert early.kind == "not_allowed"
    assert names(actor, job) == ["create"]
    (rejected,) = actor.dump()["rejected_events"]
    assert rejected["event"]["name"] == "finish"
    assert rejected["event"]["data"]["seriesSeqCount"] == 2

    actor.send(tapis("RUNNING", 1), url(job))
    assert again(actor, job, tapis("FINISHED", 2)).result["state"] == "FINISHED"
    assert again(actor, job, tapis("FINISHED", 2)).error == ""
    assert names(actor, job) == ["create", "run", "finish"]


# Its place


def test_it_goes_before_the_url_event(actor: Actor, job: Document) -> None:
    for post in (tapis(), cloud_event(tapis())):
        reply = actor.send(post, url(job, name="fail", status="FAILED"))
        assert reply.result["last_event"] == "run"


def test_the_older_callbacks_go_before_it(actor: Actor, job: Document) -> None:
    for older in (ALOE_POST, AGAVE_POST):
        reply = actor.send({**tapis("FAILED"), **older}, url(job))
        assert reply.result["last_event"] == "run"


def test_events_of_other_services_are_data_of_a_url_event(actor: Actor, job: Document) -> None:
    body = {**cloud_event(tapis()), "type": "files.FILES_TRANSFER.COMPLETED"}

    assert actor.send(body, url(job)).kind == "invalid_message"
    assert actor.send(body, url(job, event="update")).result["last_event"] == "update"
    assert kept(actor, job) == body


# What is wrong with it


def changed(body: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a notification whose event has other members; None leaves one out."""
    event = {**body["event"], **members}
    return {
        **body,
        "event": {name: value for name, value in event.items() if value is not None},
    }


TITLE = "TapisJobsNotification"
TYPE = "jobs.<category>.<detail>, such as jobs.JOB_NEW_STATUS.FINISHED"
PLAIN = cloud_event(tapis())
MALFORMED: list[tuple[dict[str, Any], str]] = [
    (without(tapis(), "event"), "'event' is missing"),
    (without(tapis(), "eventUuid"), "'eventUuid' is missing"),
    ({"deliveryTarget": {}}, "'eventUuid', 'event' are missing"),
    ({**tapis(), "eventUuid": None}, "'eventUuid' is null, expected: string"),
    (
        {**tapis(), "eventUuid": " "},
        "'eventUuid' is ' ', expected: the event's uuid, the same on every delivery",
    ),
    ({**tapis(), "event": "FINISHED"}, "'event' is a string, expected: object"),
    (changed(tapis(), type=None), "'event.type' is missing"),
    (changed(tapis(), type=5), "'event.type' is a number, expected: string"),
    (changed(tapis(), type="FINISHED"), f"'event.type' is 'FINISHED', expected: {TYPE}"),
    (changed(tapis(), type="jobs..x"), f"'event.type' is 'jobs..x', expected: {TYPE}"),
    (changed(tapis(), data=[1]), "'event.data' is an array, expected: string, object, null"),
    (without(PLAIN, "id"), "'id' is missing"),
    (without(PLAIN, "type", "source"), "'source', 'type' are missing"),
    ({**PLAIN, "specversion": "0.3"}, "'specversion' is '0.3', expected: one of 1.0"),
    ({**PLAIN, "type": "jobs.x"}, f"'type' is 'jobs.x', expected: {TYPE}"),
    ({**PLAIN, "data": 5}, "'data' is a number, expected: string, object, null"),
    (
        {**tapis(), "specversion": "1.0"},
        "'specversion' is '1.0', expected: nothing: only an event by itself has it",
    ),
]


def test_what_is_wrong_is_said_in_one_line(actor: Actor, job: Document) -> None:
    for body, problem in MALFORMED:
        reply = actor.send(body, url(job))
        assert (reply.kind, reply.error) == ("invalid_message", f"{TITLE}: {problem}")

    rejected = [(row["uuid"], row["reason"]) for row in actor.dump()["rejected_events"]]
    expected = [(job["uuid"], f"{TITLE}: {problem}") for _, problem in MALFORMED]
    assert sorted(rejected) == sorted(expected)
    assert names(actor, job) == ["create"]


@pytest.mark.parametrize("uuid", ["", "nope"])
def test_the_job_has_to_be_in_the_url(actor: Actor, uuid: str) -> None:
    parameters = {"uuid": uuid} if uuid else {}

    for post in (tapis("FINISHED"), cloud_event(tapis("FINISHED"))):
        error = actor.send(post, parameters).error
        assert error.startswith(f"finish event ({TITLE}): the URL parameter 'uuid' is ")


def test_an_event_uuid_that_is_no_unicode_is_answered_with_one_line(
    actor: Actor, job: Document
) -> None:
    run = actor.main({**tapis(), "eventUuid": "x\ud800"}, url(job))

    assert (run.code, len(run.lines)) == (1, 1)
    assert run.message == (
        "ERROR run event: the event's uuid has characters that cannot be printed"
    )


# From the request to the job


def test_a_job_request_with_the_subscription_reports_to_its_job(
    actor: Actor, pipeline: Document, mongodb: dict[str, Any]
) -> None:
    pipelines = {"job_manager_id": ACTOR_ID, "job_manager_nonce": NONCE}
    job = ManagedPipelineJob(mongodb, pipelines, pipeline_uuid=pipeline["uuid"]).setup()
    (subscription,) = job.tapis_notifications()
    (target,) = subscription["deliveryTargets"]
    query = target["deliveryAddress"].partition("?")[2]
    parameters = dict(part.split("=", 1) for part in query.split("&"))
    assert parameters["x-nonce"] == NONCE

    for number, status in enumerate(("RUNNING", "FINISHED")):
        post = {**tapis(status, number), "deliveryTarget": target}
        assert actor.send(post, parameters).error == ""

    assert actor.job(str(job.uuid))["state"] == "FINISHED"
