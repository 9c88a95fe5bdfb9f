"""`reactor.py drain`: what is told by it, and what it says of the rest."""

from __future__ import annotations

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from manager.subscriptions import service
from tests.actor import Actor, event
from tests.manager.announcing import DOWN, announced, announcement, waiting
from tests.tenant import Tenant


def test_drain_delivers_everything_and_says_so(
    actor: Actor, job: Document, other: Document, tenant: Tenant
) -> None:
    tenant.plan(*DOWN)
    for each in (job, other):
        actor.send(event(each, "run"))
    announced(tenant)

    run = actor.run(arguments=("drain",))

    assert (run.code, len(run.lines)) == (0, 1)
    assert run.message == "INFO events told: 2, jobs with more to tell: 0"
    told = sorted(announced(tenant), key=lambda each: str(each["job_uuid"] != job["uuid"]))
    assert told == [announcement(job, "run", "RUNNING"), announcement(other, "run", "RUNNING")]
    assert waiting(actor) == []
    done = actor.main(arguments=("drain",))
    assert done.message == "INFO events told: 0, jobs with more to tell: 0"


def test_drain_delivers_what_a_removed_job_had_to_announce(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"))
    actor.send(
        {"uuid": job["uuid"], "action": "delete", "force": True, "token": job["_update_token"]}
    )
    announced(tenant)

    assert actor.main(arguments=("drain",)).code == 0
    assert announced(tenant) == [announcement(job, "run", "RUNNING")]
    assert waiting(actor) == []


def test_drain_fails_if_something_is_left(
    actor: Actor, job: Document, other: Document, tenant: Tenant
) -> None:
    tenant.plan(*DOWN)
    for each in (job, other):
        actor.send(event(each, "run"))
    announced(tenant)

    tenant.plan(*DOWN)
    run = actor.main(arguments=("drain",))

    assert run.code == 1
    assert run.message == "INFO events told: 1, jobs with more to tell: 1"
    assert waiting(actor) == ["run"]


def test_without_a_subscriber_drain_sends_nothing_and_drops_nothing(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    tenant.plan(*DOWN)
    actor.send(event(job, "run"))
    announced(tenant)

    run = actor.run(parameters={"_REACTOR_PIPELINES_EVENTS_MANAGER_ID": ""}, arguments=("drain",))

    assert tenant.requests == []
    assert waiting(actor) == ["run"]
    assert not any("Traceback" in line for line in run.lines)


def test_drain_does_not_say_that_all_is_delivered_while_another_does_it(
    actor: Actor,
    job: Document,
    tenant: Tenant,
    jobs: PipelineJobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "HANDOVER_SECONDS", 0.1)
    actor.send(event(job, "run"))
    jobs.apply(jobs.load(job["uuid"]), "update", {})
    assert jobs.untold.lease("another machine")
    run = actor.main(arguments=("drain",))
    assert (run.code, run.message) == (1, "INFO events told: 0, jobs with more to tell: 1")
