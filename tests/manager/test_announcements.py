from __future__ import annotations

import datetime
import io
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

import reactor
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.untold import Untold
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Document
from manager import announcements
from reactors.runtime import Reactor
from tests.actor import ACTOR_ID, ALOE_POST, NONCE, Actor, event, url
from tests.conftest import ROOT
from tests.loopback import TOKEN
from tests.manager.announcing import (
    A_SECOND,
    DOWN,
    announced,
    announcement,
    time_passes,
    waiting,
)
from tests.tenant import Answer, Tenant

ENTER = {"_REACTOR_STATE_ENTER": "true"}
NO_EXIT = {"_REACTOR_STATE_EXIT": "false"}
PATH = "/actors/v2/events-manager/messages"


# What is announced


def test_an_applied_event_is_announced_with_the_new_state(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    assert actor.send(event(job, "RUN", data={"a": 1})).error == ""

    (request,) = tenant.requests
    assert (request.method, request.path) == ("POST", PATH)
    assert request.body == {"message": announcement(job, "run", "RUNNING")}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.query["x_src_actor_id"] == ACTOR_ID
    assert waiting(actor) == []


@pytest.mark.parametrize("way", ["url", "callback"])
def test_it_does_not_matter_how_the_event_came(
    actor: Actor, job: Document, tenant: Tenant, way: str
) -> None:
    if way == "url":
        actor.send({"a": 1}, url(job, status="RUNNING"))
    else:
        actor.send(ALOE_POST, url(job))

    assert announced(tenant) == [announcement(job, "run", "RUNNING")]


def test_with_state_enter_the_old_state_is_announced_before(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    actor.send(event(job, "run"), {**ENTER, **NO_EXIT})
    assert announced(tenant) == [announcement(job, "run", "CREATED", "create")]

    actor.send(event(job, "finish"), ENTER)
    assert announced(tenant) == [
        announcement(job, "finish", "RUNNING", "run"),
        announcement(job, "finish", "FINISHED"),
    ]


def test_with_state_enter_what_is_not_applied_is_not_announced(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    same = {"_abaco_execution_id": "execution-1"}
    actor.send(event(job, "run"), {**ENTER, **same})
    actor.send(event(job, "finish"), ENTER)
    announced(tenant)

    assert actor.send(event(job, "run"), {**ENTER, **same}).error == ""
    assert actor.send(event(job, "run"), ENTER).kind == "not_allowed"
    too_much = event(job, "finish", data={"v": "x" * 1024 * 1024})
    assert actor.send(too_much, ENTER).kind == "invalid_message"
    assert announced(tenant) == []


def test_a_subscriber_that_is_down_before_the_change_does_not_stop_it(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    tenant.plan(*DOWN)

    assert actor.send(event(job, "run"), ENTER).error == ""
    assert actor.job(job["uuid"])["state"] == "RUNNING"


def test_what_could_not_be_announced_before_the_change_is_announced_after_it(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"), ENTER)
    assert waiting(actor) == ["run"]
    announced(tenant)

    assert actor.main(parameters=ENTER, arguments=("drain",)).code == 0

    assert announced(tenant) == [
        announcement(job, "run", "CREATED", "create"),
        announcement(job, "run", "RUNNING"),
    ]
    assert waiting(actor) == []


@pytest.mark.parametrize(
    "off",
    [
        {"_REACTOR_PIPELINES_EVENTS_MANAGER_ID": "", **ENTER},
        NO_EXIT,
    ],
    ids=["no subscriber", "neither enter nor exit"],
)
def test_announcing_can_be_switched_off(
    actor: Actor, job: Document, tenant: Tenant, off: dict[str, str]
) -> None:
    assert actor.send(event(job, "run"), off).error == ""

    assert tenant.requests == []
    assert waiting(actor) == []


def test_only_applied_events_are_announced(
    actor: Actor, job: Document, tenant: Tenant, pipeline: Document
) -> None:
    indexer = {"_REACTOR_PIPELINES_JOB_INDEXER_ID": "jobs-indexer"}
    same = {"_abaco_execution_id": "execution-1"}
    actor.send(event(job, "run"), same)
    announced(tenant)

    replies = [
        actor.send(event(job, "run"), same),
        actor.send(event(job, "validated")),
        actor.send({**event(job, "finish"), "token": "0" * 16}),
        actor.send({**event(job, "finish"), "data": []}),
        actor.send(event(job, "index"), indexer),
    ]

    assert [reply.kind for reply in replies] == [
        "",
        "not_allowed",
        "not_authorized",
        "invalid_message",
        "",
    ]
    assert [request.path for request in tenant.messages] == ["/actors/v2/jobs-indexer/messages"]


def test_events_are_announced_by_nonce_where_there_is_no_access_token(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    nonce = {
        "_REACTOR_PIPELINES_EVENTS_MANAGER_NONCE": "SD2E_eventsN0nce",
        "_abaco_access_token": "",
    }
    actor.send(event(job, "run"), nonce)

    assert [request.query["x-nonce"] for request in tenant.messages] == ["SD2E_eventsN0nce"]
    assert "authorization" not in tenant.messages[0].headers


def test_no_announcement_contains_a_token(
    actor: Actor, job: Document, tenant: Tenant, admin_token: str
) -> None:
    settings = {
        **ENTER,
        "x-nonce": NONCE,
        "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE,
        "session": "spicy-badger",
    }
    shown = {"token": job["_update_token"], "note": job["_update_token"]}
    actor.send(event(job, "run", data=shown), settings)
    actor.send(shown, {**settings, **url(job, name="update"), "event": "update"})
    actor.send({**ALOE_POST, "status": "FAILED"}, {**settings, **url(job)})
    actor.send({"uuid": job["uuid"], "name": "reset", "token": admin_token}, settings)

    assert len(tenant.messages) == 8
    for request in tenant.messages:
        seen = str((request.path, request.query, request.body))
        for secret in (job["_update_token"], admin_token, NONCE, TOKEN):
            assert secret not in seen


# What could not be delivered


def test_an_execution_does_not_try_twice_what_has_just_failed(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    tenant.plan(500)

    assert actor.send(event(job, "run")).error == ""
    assert actor.send(event(job, "update")).error == ""

    assert announced(tenant) == [announcement(job, "run", "RUNNING")]
    assert waiting(actor) == ["run", "update"]


def test_a_subscriber_that_never_answers_costs_an_execution_a_second(
    actor: Actor, job: Document, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcements, "BUDGET_SECONDS", A_SECOND)
    tenant.plan(*[Answer(delay=60)] * 2)
    began = time.monotonic()
    assert actor.send(event(job, "run")).result["state"] == "RUNNING"
    assert actor.send(event(job, "update")).result["state"] == "RUNNING"
    assert time.monotonic() - began < 30
    assert len(tenant.requests) == 1
    assert waiting(actor) == ["run", "update"]


def test_a_redirect_is_not_a_delivery(actor: Actor, job: Document, tenant: Tenant) -> None:
    tenant.plan(301)
    actor.send(event(job, "run"))
    assert len(tenant.requests) == 1
    assert waiting(actor) == ["run"]


@pytest.mark.parametrize("problem", ["status", "away", "no token"])
def test_an_event_succeeds_also_if_nobody_can_be_told(
    actor: Actor, job: Document, tenant: Tenant, problem: str
) -> None:
    tenant.plan(*DOWN)
    away = {"_abaco_api_server": "http://127.0.0.1:1"} if problem == "away" else {}
    no_token = {"_abaco_access_token": ""} if problem == "no token" else {}

    run = actor.main(event(job, "run"), {**away, **no_token})

    assert run.code == 0
    assert run.answer == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    assert len(run.lines) == 2
    assert "WARNING events_manager: not told: " in run.lines[1]
    assert waiting(actor) == ["run"]


def test_the_next_message_of_the_job_delivers_in_order_once_it_is_due(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    tenant.plan(*DOWN)
    for name in ("run", "update", "finish"):
        actor.send(event(job, name))
    assert announced(tenant) == [announcement(job, "run", "RUNNING")]
    assert waiting(actor) == ["run", "update", "finish"]

    time_passes(jobs)
    actor.send(event(job, "validate"))

    assert announced(tenant) == [
        announcement(job, "run", "RUNNING"),
        announcement(job, "update", "RUNNING"),
        announcement(job, "finish", "FINISHED"),
        announcement(job, "validate", "VALIDATING"),
    ]
    assert waiting(actor) == []


def test_an_execution_waits_until_it_is_known_who_is_behind(
    actor: Actor,
    job: Document,
    tenant: Tenant,
    jobs: PipelineJobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant.plan(*DOWN)
    for name in ("run", "update"):
        actor.send(event(job, name))
    announced(tenant)
    pending = Untold.pending
    errors = [AutoReconnect("the connection was lost")]

    def slow(*arguments: Any) -> Any:
        time.sleep(0.2)
        if errors:
            raise errors.pop()
        return pending(*arguments)

    monkeypatch.setattr(Untold, "pending", slow)
    time_passes(jobs)
    actor.send(event(job, "finish"))

    assert [each["event_name"] for each in announced(tenant)] == ["run", "update", "finish"]
    assert waiting(actor) == []


def test_what_fails_in_the_middle_is_not_overtaken(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    tenant.plan(*DOWN)
    for name in ("run", "update"):
        actor.send(event(job, name))
    announced(tenant)

    time_passes(jobs)
    tenant.plan(200, *DOWN)
    actor.send(event(job, "finish"))
    assert [each["event_name"] for each in announced(tenant)] == ["run", "update"]
    assert waiting(actor) == ["update", "finish"]

    time_passes(jobs)
    actor.send(event(job, "validate"))
    assert [each["event_name"] for each in announced(tenant)] == ["update", "finish", "validate"]


def test_the_next_message_of_another_job_delivers_once_it_is_due(
    actor: Actor,
    job: Document,
    other: Document,
    tenant: Tenant,
    jobs: PipelineJobStore,
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"))
    announced(tenant)

    time_passes(jobs)
    actor.send(event(other, "update"))
    assert sorted(announced(tenant), key=lambda each: str(each["event_name"])) == [
        announcement(job, "run", "RUNNING"),
        announcement(other, "update", "CREATED"),
    ]
    assert waiting(actor) == []


def test_a_second_delivery_of_the_event_delivers_its_announcement(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    same = {"_abaco_execution_id": "execution-1"}
    tenant.plan(*DOWN)
    first = actor.send(event(job, "run"), same)
    announced(tenant)
    time_passes(jobs)

    assert actor.send(event(job, "run"), same).result == first.result
    assert announced(tenant) == [announcement(job, "run", "RUNNING")]


def test_each_failure_puts_the_next_attempt_off_longer(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    def failure() -> float:
        """Return the seconds until the next attempt after one more failure."""
        tenant.plan(*DOWN)
        asked = len(tenant.requests)
        # on a busy machine, an execution may have no time left to ask
        while len(tenant.requests) == asked:
            time_passes(jobs)
            actor.send(event(job, "update"))
        (found,) = jobs.untold.behind.find()
        now = datetime.datetime.now(datetime.timezone.utc)
        return float((found["behind"]["events_manager"]["due"] - now).total_seconds())

    delays = [failure() for _ in range(5)]
    assert actor.main(arguments=("drain",)).code == 0
    assert waiting(actor) == []
    after_success = failure()

    assert 0 < delays[0] < 1
    assert delays[4] > 6
    assert after_success < 1


def test_what_was_put_off_before_the_clock_was_set_back_is_due(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"))
    announced(tenant)
    time_passes(jobs)
    in_years = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1000)
    jobs.untold.behind.update_one({}, {"$set": {"behind.events_manager.due": in_years}})
    actor.send(event(job, "update"))
    assert [each["event_name"] for each in announced(tenant)] == ["run", "update"]


def test_who_subscribed_before_the_clock_was_set_back_is_told(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    actor.send(event(job, "run"))
    announced(tenant)
    in_years = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1000)
    subscriptions = Subscriptions(jobs.db)
    subscriptions.coll.update_one({"_id": "events_manager"}, {"$set": {"since": in_years}})
    for _ in range(2):
        actor.send(event(job, "update"))
    assert [each["event_name"] for each in announced(tenant)][-1:] == ["update"]


def test_what_a_killed_execution_left_is_delivered_by_the_next(
    actor: Actor, job: Document, other: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    jobs.apply(jobs.load(job["uuid"]), "run", {})
    # the execution ended here, before it told anybody
    actor.send(event(other, "run"))

    assert announcement(job, "run", "RUNNING") in announced(tenant)


def test_a_lease_that_a_killed_execution_holds_runs_out(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    jobs.apply(jobs.load(job["uuid"]), "run", {})
    assert jobs.untold.lease("another machine")
    actor.send(event(job, "update"))
    assert announced(tenant) == []

    long_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=5)
    jobs.db["leases"].update_many({}, {"$set": {"until": long_ago}})
    actor.send(event(job, "update"))
    names = [each["event_name"] for each in announced(tenant)]
    assert names == ["run", "update", "update"]


def test_a_lease_of_a_process_that_has_died_is_free(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    assert jobs.untold.lease(f"{socket.gethostname()}:{died.pid}:0")
    actor.send(event(job, "run"))
    assert announced(tenant) == [announcement(job, "run", "RUNNING")]


def test_what_a_removed_job_had_to_announce_is_delivered(
    actor: Actor, job: Document, other: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    tenant.plan(*DOWN)
    for name in ("run", "finish"):
        actor.send(event(job, name))
    announced(tenant)
    actor.send(
        {"uuid": job["uuid"], "action": "delete", "force": True, "token": job["_update_token"]}
    )
    assert [stored["uuid"] for stored in actor.dump()["jobs"]] == [other["uuid"]]
    announced(tenant)
    time_passes(jobs)

    actor.send(event(other, "run"))

    told = [each for each in announced(tenant) if each["job_uuid"] == job["uuid"]]
    assert told == [
        announcement(job, "run", "RUNNING"),
        announcement(job, "finish", "FINISHED"),
    ]
    assert waiting(actor) == []


def test_what_a_hidden_job_had_to_announce_is_delivered(
    actor: Actor, job: Document, other: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"))
    actor.send({"uuid": job["uuid"], "action": "delete", "token": job["_update_token"]})
    time_passes(jobs)

    actor.send(event(other, "run"))

    assert announcement(job, "run", "RUNNING") in announced(tenant)
    assert waiting(actor) == []


def test_events_at_the_same_moment_are_all_announced(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    threads = [
        threading.Thread(target=actor.send, args=(event(job, "update", data={"n": number}),))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert waiting(actor) == []
    assert announced(tenant) == [announcement(job, "update", "CREATED")] * 6


def test_what_a_dispatcher_tells_no_execution_does(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    actor.send(event(job, "run"), {"_REACTOR_DELIVERIES_DISPATCHER": "true"})
    assert tenant.requests == []
    actor.send(event(job, "update"))
    assert [each["event_name"] for each in announced(tenant)] == ["run", "update"]


def test_what_a_removed_job_had_to_announce_goes_before_its_successor(
    actor: Actor, job: Document, tenant: Tenant, jobs: PipelineJobStore
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"))
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    announced(tenant)
    again = jobs.create({name: job[name] for name in ("pipeline_uuid", "archive_path", "data")})
    time_passes(jobs)
    actor.send(event(again, "resource"))
    names = [each["event_name"] for each in announced(tenant)]
    assert names == ["run", "resource"]


def test_the_caller_is_answered_before_the_announcement(
    actor: Actor, job: Document, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, answered = tenant.answer, []

    def look_at_the_caller(request: Any) -> Any:
        answered.append(actor.answer())
        return answer(request)

    monkeypatch.setattr(tenant, "answer", look_at_the_caller)
    rx = Reactor(actor.message(event(job, "run")), folders=[ROOT], log_stream=io.StringIO())
    reactor.process(rx)
    assert [each and each["state"] for each in answered] == ["RUNNING"]
