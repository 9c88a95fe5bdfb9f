"""What anybody reports about the run that is a job in the form of OpenLineage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from datacatalog.mongo import Document
from manager import openlineage, schemas
from tests.actor import (
    BY_NONCE,
    RUN,
    UNKNOWN_JOB,
    Actor,
    event,
    names,
    run_event,
    url,
    without,
)

AS_TEXT = pytest.mark.parametrize("as_text", [json.dumps, repr], ids=["json", "python"])
TITLE = "OpenLineageRunEvent"


def kept(actor: Actor, job: Document) -> Any:
    """Return what the history keeps about the last event."""
    return actor.job(job["uuid"])["history"][-1]["data"]


def in_namespace(namespace: str, event_type: str = "START") -> dict[str, Any]:
    """Return an event whose job is in a namespace, without a facet that names one."""
    return run_event(None, event_type, job={"namespace": namespace, "name": "tacos"})


# The event


@AS_TEXT
def test_an_event_is_applied_and_all_of_it_kept_but_the_facet(
    actor: Actor, job: Document, as_text: Callable[[Any], str]
) -> None:
    reply = actor.send(as_text(run_event(job)))

    assert reply.result == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    assert kept(actor, job) == run_event(None)


@pytest.mark.parametrize(
    ("event_type", "name"),
    [
        ("START", "run"),
        ("RUNNING", "update"),
        ("OTHER", "update"),
        ("COMPLETE", "finish"),
        ("FAIL", "fail"),
        ("ABORT", "fail"),
    ],
)
def test_each_type_is_its_event(actor: Actor, job: Document, event_type: str, name: str) -> None:
    actor.bring(job, "run")

    assert actor.send(run_event(job, event_type)).result["last_event"] == name


def test_the_types_of_the_schema_are_those_of_the_mapping() -> None:
    schema = schemas.schema_of(schemas.LINEAGE)["properties"]
    assert schema["eventType"]["enum"] == list(openlineage.EVENTS)
    assert openlineage.FACET in schema["run"]["properties"]["facets"]["properties"]


def test_a_run_may_be_without_other_facets(actor: Actor, job: Document) -> None:
    facet = {"pipelinejobs_job": {"uuid": job["uuid"].upper(), "token": job["_update_token"]}}

    assert actor.send(run_event(None, run={"runId": RUN, "facets": facet})).error == ""
    assert kept(actor, job)["run"] == {"runId": RUN}
    bare = run_event(None, "RUNNING", run={"runId": RUN})
    assert actor.send(bare, url(job)).error == ""


# Which job it is about


def test_the_job_may_be_named_by_the_namespace(actor: Actor, job: Document) -> None:
    token = {"token": job["_update_token"]}
    for number, (setting, before) in enumerate(
        (
            (None, "pipelinejobs"),
            ("lab", "lab"),
            ("https://lab.example.org/jobs/", "https://lab.example.org/jobs"),
        )
    ):
        settings = {} if setting is None else {"_REACTOR_OPENLINEAGE_NAMESPACE": setting}
        body = in_namespace(f"{before}/{job['uuid']}", "START")
        body["eventTime"] = str(number)
        assert actor.send(body, {**token, **settings}).error == ""

    assert names(actor, job) == ["create", "run", "run", "run"]


@pytest.mark.parametrize(
    ("namespace", "setting"),
    [
        ("pipelinejobs/tacos", "pipelinejobs"),
        ("pipelinejobs", "pipelinejobs"),
        ("kitchen/UUID", "pipelinejobs"),
        ("pipelinejobs/UUID", "lab"),
        ("/UUID", ""),
        ("UUID", ""),
    ],
)
def test_another_namespace_names_no_job(
    actor: Actor, job: Document, namespace: str, setting: str
) -> None:
    body = in_namespace(namespace.replace("UUID", job["uuid"]))
    settings = {"_REACTOR_OPENLINEAGE_NAMESPACE": setting, "token": job["_update_token"]}

    reply = actor.send(body, settings)

    assert (reply.kind, reply.error) == (
        "invalid_message",
        f"run event ({TITLE}): the URL parameter 'uuid' is missing: add the job's uuid",
    )


def test_the_facet_wins_over_the_namespace_and_that_over_the_url(
    actor: Actor, job: Document, pipeline: Document
) -> None:
    other = actor.jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"other": 1}}
    )
    namespace = {"namespace": f"pipelinejobs/{other['uuid']}", "name": "tacos"}

    by_facet = actor.send(run_event(job, job=namespace), url(other))
    by_namespace = actor.send(
        in_namespace(f"pipelinejobs/{job['uuid']}", "RUNNING"),
        {**url(other), "token": job["_update_token"]},
    )
    by_url = actor.send(run_event(None, "COMPLETE"), url(job))

    assert [reply.result.get("uuid") for reply in (by_facet, by_namespace, by_url)] == (
        [job["uuid"]] * 3
    )


# Who may


def test_it_is_refused_as_any_event_is(actor: Actor, job: Document) -> None:
    before = actor.dump()
    wrong = {**job, "_update_token": "0" * 16}
    unknown = {**job, "uuid": UNKNOWN_JOB}
    bare = run_event(
        None, run={"runId": RUN, "facets": {"pipelinejobs_job": {"uuid": job["uuid"]}}}
    )

    for body, plain in (
        (run_event(wrong), event(wrong, "run")),
        (run_event(unknown), event(unknown, "run")),
    ):
        refused, expected = (actor.send(each, BY_NONCE) for each in (body, plain))
        assert (refused.kind, refused.error) == (expected.kind, expected.error)
        assert refused.kind == "not_authorized"
    assert actor.send(bare, BY_NONCE).kind == "not_authorized"

    assert actor.dump() == before


def test_the_token_may_be_in_the_url_and_is_never_kept_or_logged(
    actor: Actor, job: Document
) -> None:
    token, verbose = job["_update_token"], {"_REACTOR_DEBUG": "true"}
    bare = {"runId": RUN, "facets": {"pipelinejobs_job": {"uuid": job["uuid"]}}}

    runs = [
        actor.main(run_event(None, run=bare, token=token), {**verbose, "token": token}),
        actor.main(run_event(job, "RUNNING"), {**verbose, "token": "0" * 16}),
        actor.main(run_event(job, "START", eventTime="later"), verbose),
        actor.main(run_event({**job, "uuid": token}), verbose),
    ]

    assert [run.code for run in runs] == [0, 0, 0, 1]
    assert token not in str([run.lines for run in runs])
    assert token not in json.dumps(actor.dump(), default=str)


# Exactly once


def test_a_second_delivery_changes_nothing_and_is_answered_alike(
    actor: Actor, job: Document
) -> None:
    first = actor.send(run_event(job))
    actor.send(run_event(job, "RUNNING"))

    assert actor.send(run_event(job), url(job, event_id="of the URL")).result == first.result
    assert names(actor, job) == ["create", "run", "update"]


def test_run_type_and_time_tell_events_apart(actor: Actor, job: Document) -> None:
    actor.bring(job, "run")
    another = run_event(job, "RUNNING")
    another["run"] = {**another["run"], "runId": "another"}
    for body in (
        run_event(job, "RUNNING"),
        run_event(job, "RUNNING", eventTime="2026-11-23T10:00:01Z"),
        run_event(job, "OTHER"),
        another,
    ):
        assert actor.send(body).error == ""

    assert names(actor, job) == ["create", "run", *["update"] * 4]


def test_another_event_of_the_same_run_type_and_time_is_refused(
    actor: Actor, job: Document
) -> None:
    actor.send(run_event(job))

    conflict = actor.send(run_event(job, outputs=[{"namespace": "x", "name": "y"}]))
    assert conflict.kind == "conflict"
    assert "its runId with its eventType and eventTime already stands for" in conflict.error


def test_a_complete_that_overtakes_its_start_is_kept_and_applied_by_a_later_delivery(
    actor: Actor, job: Document
) -> None:
    assert actor.send(run_event(job, "COMPLETE")).kind == "not_allowed"
    actor.send(run_event(job))

    assert actor.send(run_event(job, "COMPLETE")).result["state"] == "FINISHED"
    (rejected,) = actor.dump()["rejected_events"]
    assert "pipelinejobs_job" not in json.dumps(rejected["event"])


# What is wrong with it


def changed(**members: Any) -> dict[str, Any]:
    """Return an event whose facet has these members."""
    return run_event(None, run={"runId": RUN, "facets": {"pipelinejobs_job": members}})


EVENT = run_event(None)
MALFORMED: list[tuple[dict[str, Any], str]] = [
    (without(EVENT, "eventTime"), "'eventTime' is missing"),
    (without(EVENT, "run"), "'run' is missing"),
    (without(EVENT, "eventType", "job"), "'eventType', 'job' are missing"),
    (
        {**EVENT, "eventType": "DONE"},
        "'eventType' is 'DONE', expected: one of START, RUNNING, COMPLETE, ABORT, FAIL, OTHER",
    ),
    ({**EVENT, "run": {}}, "'run.runId' is missing"),
    ({**EVENT, "run": RUN}, "'run' is a string, expected: object"),
    ({**EVENT, "job": {"name": "tacos"}}, "'job.namespace' is missing"),
    (changed(), "'run.facets.pipelinejobs_job.uuid' is missing"),
    (
        changed(uuid="tacos"),
        "'run.facets.pipelinejobs_job.uuid' is 'tacos', expected: the uuid of a job (107...)",
    ),
    (
        changed(uuid=UNKNOWN_JOB, token=5),
        "'run.facets.pipelinejobs_job.token' is a number, expected: string",
    ),
]


def test_what_is_wrong_is_said_in_one_line(actor: Actor, job: Document) -> None:
    before = actor.dump()

    for body, problem in MALFORMED:
        reply = actor.send(body, {"uuid": job["uuid"]})
        assert (reply.kind, reply.error) == ("invalid_message", f"{TITLE}: {problem}")
    assert actor.dump() == before


def test_an_event_of_a_data_set_is_data_of_a_url_event(actor: Actor, job: Document) -> None:
    body = {"eventTime": "2026-11-23T10:00:00Z", "dataset": {"namespace": "x", "name": "y"}}

    assert actor.send(body, url(job, event="update")).result["last_event"] == "update"
    assert kept(actor, job) == body
