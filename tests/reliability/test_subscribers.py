"""Row 14: subscribers that are slow, broken, gone or hostile, and an actor that is killed meanwhile."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from tests.abaco.running import SECONDS, eventually
from tests.actor import Actor, event
from tests.conftest import ROOT
from tests.loopback import Loopback, Reply, Request, envelope
from tests.reliability.checker import (
    MARK,
    Job,
    Outcome,
    Record,
    announcement_problems,
    leaks,
    problems,
)
from tests.reliability.running import read_back, running_jobs
from tests.reliability.soak import many, note
from tests.tenant import uses_agavepy

pytestmark = uses_agavepy

SLOW_SECONDS = 0.3
ROUNDS = many(1, 20)
EVENTS = ("update", "update", "finish", "validate", "validated")
WAYS = ("well", "slow", "500", "429", "404", "hanging up", "redirecting")


class Elsewhere(Loopback):
    """A private address, which nobody but an operator may reach."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def answer(self, request: Request) -> Reply:
        self.requests.append(request)
        return envelope(200, {})


class Subscribers(Loopback):
    """The platform, where what is announced of each job meets a way of its own.

    Attributes:
        ways: of the jobs; the others are answered well.
        told: the announcements that were answered well, oldest first.
        seen: all requests.
        holding: while it is set, requests wait; they are never answered.
    """

    def __init__(self, elsewhere: str) -> None:
        super().__init__()
        self.ways: dict[str, str] = {}
        self.told: list[dict[str, Any]] = []
        self.seen: list[Request] = []
        self.holding = threading.Event()
        self._elsewhere = elsewhere

    def answer(self, request: Request) -> Reply | None:
        self.seen.append(request)
        if self.holding.is_set():
            while self.holding.is_set():
                self.closing.wait(0.01)
            return None
        announcement = request.body["message"]
        way = self.ways.get(announcement["job_uuid"], "well")
        if way == "hanging up":
            return None
        if way == "redirecting":
            return Reply(307, headers=(("Location", f"{self._elsewhere}/latest/meta-data"),))
        if way.isdecimal():
            return Reply(int(way), headers=(("Retry-After", "1"),))
        if way == "slow":
            self.closing.wait(SLOW_SECONDS)
        self.told.append(announcement)
        return envelope(200, {"executionId": "1", "msg": ""})


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as server:
        yield server


@pytest.fixture
def subscribers(actor: Actor, elsewhere: Elsewhere) -> Iterator[Subscribers]:
    with Subscribers(elsewhere.url) as server:
        named = {"_REACTOR_PIPELINES_EVENTS_MANAGER_ID": "events-manager"}
        actor.environ |= {**named, **server.environ}
        yield server


def told_of(subscribers: Subscribers, job: Document) -> int:
    return sum(each["job_uuid"] == job["uuid"] for each in subscribers.told)


def announced(job: Job) -> Job:
    """Return a job without what was told to the store and not announced: that it runs."""
    history = [entry for entry in job.entries if entry["name"] != "run"]
    return Job({**job.document, "history": history})


def test_each_event_is_announced_in_order_and_who_fails_delays_nobody_else(
    actor: Actor,
    subscribers: Subscribers,
    elsewhere: Elsewhere,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record = Record()
    for turn in range(ROUNDS):
        made = running_jobs(jobs, pipeline, len(WAYS))
        subscribers.ways = {job["uuid"]: way for job, way in zip(made, WAYS, strict=True)}
        for number, name in enumerate(EVENTS, start=1):
            for job in reversed(made):
                call = record.sent(job["uuid"], f"{turn} {number} {name}")
                seen = len(subscribers.seen)
                assert actor.send(event(job, name, data={MARK: call.event})).error == ""
                call.outcome = Outcome.ACKNOWLEDGED
            # the last one is that of the job that is answered well, before what others wait for
            assert subscribers.seen[seen].body["message"]["job_uuid"] == made[0]["uuid"]
            assert told_of(subscribers, made[0]) == number
        subscribers.ways = {}
        assert actor.main(arguments=("drain",)).code == 0
    assert elsewhere.requests == []
    found = read_back(db)
    assert problems(record, found) == []
    told = {"the events manager": subscribers.told}
    assert [*announcement_problems(map(announced, found), told)] == []
    tokens = {f"the token of job {job['uuid']}": job["_update_token"] for job in made}
    texts = {f"announcement {n}": str(each) for n, each in enumerate(subscribers.seen)}
    assert [*leaks(tokens, texts)] == []
    count = len(WAYS) * len(EVENTS) * ROUNDS
    note(14, f"announcements that meet {len(WAYS) - 1} kinds of failure", count, record=record)


def test_what_a_killed_actor_had_not_announced_is_announced_by_the_next(
    actor: Actor,
    subscribers: Subscribers,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record = Record()
    job = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])
    job = jobs.with_token(job)
    for number in range(ROUNDS * 2):
        call = record.sent(job["uuid"], f"event {number}")
        message = actor.message(event(job, "update", data={MARK: call.event}))
        subscribers.holding.set()
        before = len(subscribers.seen)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "reactor.py")],
            env={"PATH": os.environ["PATH"], **message},
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda n=before: len(subscribers.seen) > n)  # type: ignore[misc]
        process.kill()
        process.wait(SECONDS)
        actor.answer()
        call.outcome = Outcome.ACKNOWLEDGED
        subscribers.holding.clear()
        long_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=5)
        db["jobs"].update_many({}, {"$set": {"_outbox_lease.until": long_ago}})
        assert actor.main(arguments=("drain",)).code == 0
    found = read_back(db)
    assert problems(record, found) == []
    told = {"the events manager": subscribers.told}
    assert [*announcement_problems(map(announced, found), told)] == []
    note(14, "kills of an actor while it announces", ROUNDS * 2, record=record)
