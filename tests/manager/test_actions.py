from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from datacatalog import documents
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.mongo import Document
from tests.actor import (
    ALOE_POST,
    NONCE,
    TRUSTED,
    Actor,
    Reply,
    at_once,
    create,
    delete,
    event,
    names,
    url,
)
from tests.tenant import Tenant

SAME = {"_abaco_execution_id": "execution-1"}
INDEXER = {"_REACTOR_PIPELINES_JOB_INDEXER_ID": "jobs-indexer"}


# Exactly once


@pytest.mark.parametrize("way", ["event", "callback", "url"])
def test_a_second_delivery_is_answered_as_the_first(actor: Actor, job: Document, way: str) -> None:
    def send() -> Reply:
        if way == "event":
            return actor.send(event(job, "run", data={"a": 1}), SAME)
        if way == "callback":
            return actor.send(ALOE_POST, {**url(job), **SAME})
        return actor.send({"a": 1}, {**url(job, name="run"), **SAME})

    first = send()
    before = actor.dump()
    second = send()

    assert second.error == ""
    assert second.result == first.result
    assert actor.dump() == before
    assert names(actor, job) == ["create", "run"]


def test_a_second_delivery_is_answered_as_the_first_when_the_job_has_moved_on(
    actor: Actor, job: Document
) -> None:
    first = actor.send(event(job, "run"), SAME)
    actor.bring(job, "finish", "retire")
    before = actor.dump()

    assert actor.send(event(job, "run"), SAME).result == first.result
    assert actor.dump() == before


def test_an_entry_names_the_execution_that_brought_it_also_after_a_retry(
    actor: Actor, job: Document, jobs: PipelineJobStore
) -> None:
    actor.send(event(job, "finish"), SAME)
    actor.send(event(job, "run"), {"event_id": "one", "_abaco_execution_id": "execution-2"})
    actor.send(event(job, "run"), {"event_id": "one", "_abaco_execution_id": "execution-3"})
    search = JobSearch(jobs)
    jobs.retry(str(search.rejected(job_uuid=job["uuid"]).rows[0]["id"]))

    found = [(each["name"], each["execution"]) for each in search.entries(jobs.load(job["uuid"]))]
    assert found == [("create", None), ("run", "execution-2"), ("finish", "execution-1")]


def test_an_event_id_counts_more_than_the_execution(actor: Actor, job: Document) -> None:
    body = event(job, "update", data={"a": 1})

    replies = [
        actor.send(body, {"event_id": "one", "_abaco_execution_id": "a"}),
        actor.send(body, {"event_id": "one", "_abaco_execution_id": "b"}),
        actor.send(body, {"event_id": "two", "_abaco_execution_id": "b"}),
        actor.send(body, {"_abaco_execution_id": "one"}),
        actor.send(body, {"_abaco_execution_id": "one"}),
    ]

    assert [reply.result["revision"] for reply in replies] == [1, 1, 2, 3, 3]
    assert names(actor, job) == ["create", "update", "update", "update"]


def test_without_any_id_each_message_is_an_event(actor: Actor, job: Document) -> None:
    for _ in range(2):
        assert actor.send(event(job, "update"), {"_abaco_execution_id": ""}).error == ""

    assert names(actor, job) == ["create", "update", "update"]


def test_jobs_do_not_share_their_ids(actor: Actor, job: Document, jobs: PipelineJobStore) -> None:
    fields = {name: job[name] for name in ("pipeline_uuid", "archive_path")}
    other = jobs.create({**fields, "data": {"other": True}})

    for each in (job, other):
        assert actor.send(event(each, "run"), {**SAME, "event_id": "1"}).result["revision"] == 1


@pytest.mark.parametrize("key", [SAME, {"event_id": "one"}], ids=["execution", "event_id"])
@pytest.mark.parametrize(
    ("name", "data"), [("update", {"a": 2}), ("update", {}), ("resource", {"a": 1})]
)
def test_another_event_with_the_same_id_is_refused(
    actor: Actor, job: Document, key: dict[str, str], name: str, data: dict[str, int]
) -> None:
    actor.send(event(job, "update", data={"a": 1}), key)
    before = actor.dump()

    reply = actor.send(event(job, name, data=data), key)

    assert reply.kind == "conflict"
    assert reply.error == (
        f"{name} event: its event_id or execution id already stands for another event (update) "
        "of this job: give each event an id of its own"
    )
    assert actor.dump() == before


def test_the_order_of_keys_makes_no_other_event(actor: Actor, job: Document) -> None:
    first = actor.send('{"a": 1, "b": {"c": 2, "d": 3}}', {**url(job, name="run"), **SAME})
    again = actor.send("{'b': {'d': 3, 'c': 2}, 'a': 1}", {**url(job, name="run"), **SAME})

    assert again.result == first.result


def test_events_at_the_same_moment_are_all_applied(actor: Actor, job: Document) -> None:
    replies = at_once(8, lambda number: actor.send(event(job, "update", data={"n": number})))

    assert sorted(reply.result["revision"] for reply in replies) == [*range(1, 9)]
    stored = actor.job(job["uuid"])
    assert sorted(entry["data"]["n"] for entry in stored["history"][1:]) == [*range(8)]
    assert stored["_properties"]["revision"] == 8


# Refused by the state machine

REFUSED = [
    # the events that lead to a state, one that it refuses, the ones that it allows
    ([], "finish", "CREATED", "run, update, resource, fail, reset"),
    (["run"], "index", "RUNNING", "run, update, resource, fail, finish, reset"),
    (["fail"], "run", "FAILED", "retire, reset"),
    (["run", "finish"], "run", "FINISHED", "finish, index, indexed, validate, retire, reset"),
    (
        ["run", "finish", "index"],
        "finish",
        "INDEXING",
        "update, fail, index, indexed, reset",
    ),
    (
        ["run", "finish", "validate"],
        "resource",
        "VALIDATING",
        "update, fail, validated, reject, retire, reset",
    ),
    (
        ["run", "finish", "validate", "validated"],
        "reject",
        "VALIDATED",
        "validate, validated, finalize, retire, reset",
    ),
    (["run", "finish", "validate", "reject"], "validated", "REJECTED", "retire, reset"),
    (
        ["run", "finish", "validate", "validated", "finalize"],
        "validate",
        "FINALIZED",
        "retire, reset",
    ),
]


@pytest.mark.parametrize(
    ("events", "late", "state", "allowed"), REFUSED, ids=[row[2] for row in REFUSED]
)
def test_what_the_state_refuses_is_kept_and_changes_nothing(
    actor: Actor, job: Document, events: list[str], late: str, state: str, allowed: str
) -> None:
    actor.bring(job, *events)
    before = actor.dump()
    data = {"a.b": {"$c": "ü"}, "late": True}
    start = datetime.datetime.now(datetime.timezone.utc)

    reply = actor.send(event(job, late, data=data), SAME)

    reason = f"{late} event: not allowed in state {state}, which allows only {allowed}"
    assert (reply.error, reply.kind, reply.result) == (reason, "not_allowed", {})
    after = actor.dump()
    (row,) = after.pop("rejected_events")
    assert before.pop("rejected_events") == []
    assert after == before
    moment = row["date"].replace(tzinfo=datetime.timezone.utc)
    assert abs(moment - start) < datetime.timedelta(seconds=10)
    kept = {
        "uuid": job["uuid"],
        "event": {"name": late, "data": data},
        "state": state,
        "reason": reason,
        "execution_id": "execution-1",
    }
    assert {name: documents.decode(row[name]) for name in kept} == kept


@pytest.mark.parametrize("way", ["event", "url", "url body", "callback"])
def test_a_refused_event_is_kept_without_its_token(actor: Actor, job: Document, way: str) -> None:
    actor.bring(job, "fail")
    body, parameters = {
        "event": (event(job, "run", data={"cost": 3}), {}),
        "url": ({"cost": 3}, url(job, name="run")),
        "url body": (
            {"cost": 3, "token": job["_update_token"]},
            {"uuid": job["uuid"], "status": "RUNNING"},
        ),
        "callback": ({**ALOE_POST, "cost": 3}, url(job)),
    }[way]

    assert actor.send(body, parameters).kind == "not_allowed"

    (row,) = actor.dump()["rejected_events"]
    assert row["event"]["name"] == "run"
    assert row["event"]["data"]["cost"] == 3
    assert "token" not in str(row)
    assert job["_update_token"] not in str(row)


def test_at_the_end_of_a_job_only_a_reset_is_allowed(actor: Actor, job: Document) -> None:
    actor.bring(job, "fail", "retire")

    reply = actor.send(event(job, "update"))

    assert reply.error.startswith(
        "update event: not allowed in state RETIRED, which allows only reset"
    )


def test_an_event_that_was_refused_twice_is_kept_once(actor: Actor, job: Document) -> None:
    for _ in range(2):
        assert actor.send(event(job, "finish"), SAME).kind == "not_allowed"
    assert actor.send(event(job, "finish")).kind == "not_allowed"

    assert len(actor.dump()["rejected_events"]) == 2


def test_a_refused_event_can_be_sent_again_in_another_state(actor: Actor, job: Document) -> None:
    assert actor.send(event(job, "finish"), SAME).kind == "not_allowed"
    actor.bring(job, "run")

    assert actor.send(event(job, "finish"), SAME).result["state"] == "FINISHED"


# Index and indexed


def test_without_an_indexer_index_and_indexed_are_applied(actor: Actor, job: Document) -> None:
    actor.bring(job, "run", "finish")

    states = [actor.send(event(job, name)).result["state"] for name in ("index", "indexed")]

    assert states == ["INDEXING", "FINISHED"]
    assert names(actor, job) == ["create", "run", "finish", "index", "indexed"]


@pytest.mark.parametrize("name", ["index", "indexed"])
@pytest.mark.parametrize("way", ["event", "url", "trusted"])
def test_with_an_indexer_they_are_forwarded_and_not_applied(
    actor: Actor, job: Document, name: str, way: str
) -> None:
    actor.bring(job, "run", "finish")
    before = actor.dump()
    body, parameters = {
        "event": (event(job, name.upper(), data={"a": 1}), {}),
        "url": ({"a": 1}, url(job, name=name)),
        "trusted": ({"uuid": job["uuid"], "name": name}, TRUSTED),
    }[way]

    with Tenant(is_known=True) as tenant:
        reply = actor.send(body, {**parameters, **INDEXER, **tenant.environ})

        assert [(sent.path, sent.body) for sent in tenant.requests] == [
            (
                "/actors/v2/jobs-indexer/messages",
                {"message": {"name": name, "uuid": job["uuid"], "token": job["_update_token"]}},
            )
        ]
    assert reply.result == {
        "uuid": job["uuid"],
        "state": "FINISHED",
        "last_event": "finish",
        "revision": 2,
    }
    assert job["_update_token"] not in reply.log
    assert actor.dump() == before


def test_without_an_access_token_they_are_forwarded_by_nonce(actor: Actor, job: Document) -> None:
    nonce = {"_REACTOR_PIPELINES_JOB_INDEXER_NONCE": "SD2E_1ndexerN0nce"}

    with Tenant(is_known=True) as tenant:
        parameters = {**INDEXER, **nonce, "_abaco_api_server": tenant.url}
        reply = actor.send(event(job, "index"), parameters)

        assert [sent.query["x-nonce"] for sent in tenant.messages] == ["SD2E_1ndexerN0nce"]
        assert "authorization" not in tenant.messages[0].headers
    assert reply.error == ""


def test_only_index_and_indexed_are_forwarded(actor: Actor, job: Document) -> None:
    with Tenant(is_known=True) as tenant:
        reply = actor.send(event(job, "run"), {**INDEXER, **tenant.environ})

        assert tenant.requests == []
    assert reply.result["state"] == "RUNNING"


def test_nothing_is_forwarded_for_a_wrong_token(actor: Actor, job: Document) -> None:
    with Tenant(is_known=True) as tenant:
        body = {**event(job, "index"), "token": "0" * 16}
        reply = actor.send(body, {**INDEXER, **tenant.environ})

        assert tenant.requests == []
    assert reply.kind == "not_authorized"


@pytest.mark.parametrize("name", ["index", "indexed"])
def test_what_cannot_be_forwarded_fails_and_changes_nothing(
    actor: Actor, job: Document, name: str
) -> None:
    actor.bring(job, "run", "finish")
    before = actor.dump()

    with Tenant(is_known=True) as tenant:
        tenant.plan(404)
        run = actor.main(event(job, name), {**INDEXER, **tenant.environ})

    text = f"{name} event: the message to actor jobs-indexer was not delivered: HTTP status 404"
    assert (run.code, run.lines and len(run.lines)) == (1, 1)
    # the id was given by a variable, whose values are never logged
    assert run.message == f"ERROR {text.replace('jobs-indexer', '[redacted]')}"
    assert run.answer == {
        "error": text.replace("jobs-indexer", "[redacted]"),
        "kind": "unavailable",
    }
    assert actor.dump() == before


def test_without_any_credential_forwarding_fails_and_says_what_to_do(
    actor: Actor, job: Document
) -> None:
    before = actor.dump()

    reply = actor.send(event(job, "index"), INDEXER)

    assert reply.kind == "unavailable"
    assert reply.error.startswith(
        "index event: the message to actor jobs-indexer was not delivered: "
        "the platform gave no access token: "
    )
    assert actor.dump() == before


# What a synchronous caller is answered


def test_the_answers_have_exactly_these_keys(actor: Actor, pipeline: Document) -> None:
    created = actor.main(create(pipeline)).answer or {}
    job = {"uuid": created["uuid"], "_update_token": created["token"]}
    of_event = ["last_event", "revision", "state", "uuid"]

    assert sorted(created) == sorted([*of_event, "token", "callback"])
    assert actor.main(create(pipeline), {"_abaco_username": "other"}).answer == {
        "uuid": job["uuid"],
        "state": "CREATED",
        "last_event": "create",
        "revision": 0,
    }
    assert actor.main(event(job, "run")).answer == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    refused = actor.main(event(job, "index")).answer or {}
    assert sorted(refused) == ["error", "kind"]
    assert refused["kind"] == "not_allowed"
    assert actor.main(delete(job)).answer == {"uuid": job["uuid"], "deleted": "hidden"}
    assert actor.main(event(job, "run")).answer == {
        "error": f"run event: no job {job['uuid']} that this token may change: there is none, it is hidden, or its token is another one",
        "kind": "not_authorized",
    }
    assert actor.main(delete(job, force=True)).answer == {
        "uuid": job["uuid"],
        "deleted": "removed",
    }


def test_the_answer_tells_no_secret(actor: Actor, job: Document) -> None:
    token = job["_update_token"]
    run = actor.main({**event(job, "run"), "token": f"{token}-{NONCE}"}, {"x-nonce": NONCE})

    assert run.code == 1
    assert token not in str(run)
    assert NONCE not in str(run)


def test_without_a_caller_nothing_is_missing(actor: Actor, job: Document, tmp_path: Path) -> None:
    nobody = {"_abaco_results_socket": str(tmp_path / "nobody.sock")}
    (tmp_path / "file").touch()
    no_socket = {"_abaco_results_socket": str(tmp_path / "file")}

    assert [actor.main(event(job, "update"), where).code for where in (nobody, no_socket)] == [0, 0]
