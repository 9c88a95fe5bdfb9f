"""Rows 4, 5 and 12: the same event, rival events, and the uses of a nonce, at once and again."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.mongo import Db, Document
from local.database import Server
from tests.abaco.running import Client, RunningGateway
from tests.actor import at_once
from tests.conftest import TIMEOUT
from tests.reliability.checker import MARK, Outcome, Record, exclusion_problems, problems
from tests.reliability.running import (
    IMAGE,
    Sender,
    manager_gateway,
    read_back,
    running_jobs,
    settled,
)
from tests.reliability.soak import many, note

AT_ONCE = 50
LATER = many((1, 10, 30), (1, 10, 1000))
RIVALS, RACES = 16, many(10, 500)
USES = many(5, 50)


@pytest.fixture(scope="module")
def mongodb(server: Server) -> dict[str, Any]:
    """The settings of a database that only this module uses."""
    return {"authn": server.uri, "database": f"once_{secrets.token_hex(6)}", "timeout": TIMEOUT}


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, mongodb: dict[str, Any]
) -> Iterator[RunningGateway]:
    """The manager's gateway, of this module."""
    with manager_gateway(tmp_path_factory.mktemp("gateway"), mongodb) as started:
        yield started


@pytest.fixture
def admin(running: RunningGateway) -> Iterator[Client]:
    with running.admin() as client:
        yield client


@pytest.fixture
def actor(admin: Client) -> str:
    """The manager, with two workers."""
    made = admin.actor(IMAGE)
    admin.result("POST", f"/{made}/workers", json={"num": 2})
    return made


def test_an_event_that_comes_again_is_applied_once_and_answered_as_before(
    running: RunningGateway,
    admin: Client,
    actor: str,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record = Record()
    (job,) = running_jobs(jobs, pipeline, 1)
    sender = Sender(admin, actor, record)

    def deliver(_: int = 0) -> dict[str, Any]:
        call, answer = sender.send(job, event="the same", event_id="the same")
        assert call.outcome is Outcome.ACKNOWLEDGED
        found: dict[str, Any] = answer
        return found

    answers = at_once(AT_ONCE, deliver)
    others = 0
    for count in LATER:
        while others < count:
            others += 1
            event = record.sent(job["uuid"], f"other {others}")
            jobs.apply(jobs.load(job["uuid"]), "update", {MARK: event.event})
            event.outcome = Outcome.ACKNOWLEDGED
        answers.append(deliver())
    assert running.stop() == 0
    running.start()
    answers.append(deliver())
    expected = {"uuid": job["uuid"], "state": "RUNNING", "last_event": "update", "revision": 2}
    assert answers == [expected] * len(answers)
    assert problems(record, read_back(db, [job])) == []
    note(4, "deliveries of one event, 50 of them at once", len(answers), record=record)


def test_of_events_that_exclude_each_other_one_wins_and_the_others_are_kept(
    jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    record = Record()
    made = running_jobs(jobs, pipeline, RACES)
    rivals = {f"rival {number}": ("finish", "fail")[number % 2] for number in range(RIVALS)}
    together = threading.Barrier(RIVALS)

    def race(number: int) -> None:
        event = f"rival {number}"
        for job in made:
            call, read = record.sent(job["uuid"], event), jobs.load(job["uuid"])
            together.wait()
            try:
                jobs.apply(read, rivals[event], {MARK: event})
                call.outcome = Outcome.ACKNOWLEDGED
            except EventRefused:
                call.outcome = Outcome.REFUSED

    at_once(RIVALS, race)
    found = read_back(db, made)
    assert problems(record, found) == []
    assert [wrong for job in found for wrong in exclusion_problems(record, job, rivals)] == []
    won = {job.document["state"] for job in found}
    assert won <= {"FINISHED", "FAILED"}
    note(5, f"races of {RIVALS} rival events", len(found), record=record)


def test_a_nonce_is_accepted_as_often_as_it_may_be_used(
    admin: Client,
    running: RunningGateway,
    actor: str,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record, made = Record(), running_jobs(jobs, pipeline, 4)
    nonce = admin.result("POST", f"/{actor}/nonces", json={"maxUses": USES})["id"]
    with Client(running.url) as stranger:
        sender = Sender(stranger, actor, record)
        outcomes = [
            call.outcome
            for call, _ in at_once(
                10 * USES,
                lambda number: sender.send(made[number % 4], wait=False, **{"x-nonce": nonce}),
            )
        ]
    # a connection may close just as it is used again
    unanswered = outcomes.count(Outcome.UNKNOWN)
    assert USES - unanswered <= outcomes.count(Outcome.ACKNOWLEDGED) <= USES
    assert unanswered < USES / 10
    settled(admin, actor)
    assert problems(record, read_back(db, made)) == []
    note(12, f"posts at once by a nonce of {USES} uses", 10 * USES, record=record)


def test_a_nonce_that_is_revoked_meanwhile_is_not_accepted_any_more(
    admin: Client,
    running: RunningGateway,
    actor: str,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record, made = Record(), running_jobs(jobs, pipeline, 4)
    nonce = admin.result("POST", f"/{actor}/nonces")["id"]
    with Client(running.url) as stranger:
        sender = Sender(stranger, actor, record)

        def send_until_refused(number: int) -> int:
            for count in range(10_000):
                if number == 0 and count == USES:
                    admin.result("DELETE", f"/{actor}/nonces/{nonce}")
                call, _ = sender.send(made[number % 4], wait=False, **{"x-nonce": nonce})
                if call.outcome is Outcome.REFUSED:
                    return count
            pytest.fail("it is accepted for ever")

        accepted = at_once(8, send_until_refused)
    assert accepted[0] == USES
    assert sum(accepted) == record.count(Outcome.ACKNOWLEDGED)
    settled(admin, actor)
    assert problems(record, read_back(db, made)) == []
    note(12, "posts by a nonce that is revoked meanwhile", len(record.calls), record=record)
