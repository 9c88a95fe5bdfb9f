"""Row 14: subscribers that are slow, broken, gone or hostile, and a dispatcher that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.linkedstores.statistics.reader import Statistics, merged
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Db, Document
from tests.abaco.running import SECONDS, eventually
from tests.actor import Actor, event
from tests.conftest import ROOT
from tests.manager.receiving import Receiver, Told
from tests.reliability.checker import MARK, Outcome, Record, announcement_problems, leaks, problems
from tests.reliability.running import read_back, running_jobs
from tests.reliability.soak import many, note

SLOW_SECONDS = 0.3
ROUNDS = many(1, 10)
EVENTS = ("update", "update", "finish", "validate", "validated")
WAYS = ("well", "slow", "500", "429", "404", "hanging", "redirecting")
POINTS = (
    "Webhook.tell before",
    "Webhook.tell after",
    "Untold.leave_behind before",
    "Untold.leave_behind after",
    "Untold.advance before",
    "Untold.advance after",
    "Untold.note_told before",
    "Untold.caught_up before",
    "Untold.caught_up after",
    "Tally._add before",
    "Tally._add after",
)
"""Where a dispatcher is killed: before or after a step of it."""


class Subscriber(Receiver):
    """One that answers in its way until it has come to itself."""

    def __init__(self, way: str, elsewhere: str) -> None:
        super().__init__(self._answer)
        self.way = way
        self._elsewhere = elsewhere
        self.is_well = threading.Event()

    def _answer(self, _: Told) -> Any:
        if self.is_well.is_set() or self.way == "well":
            return 204
        if self.way == "redirecting":
            return 307, {"Location": f"{self._elsewhere}/latest/meta-data"}
        if self.way == "slow":
            self.is_well.wait(SLOW_SECONDS)
            return 204
        if self.way == "hanging":
            self.is_well.wait(SECONDS)
            return None
        return int(self.way), {"Retry-After": "1"} if self.way == "429" else {}

    @property
    def announced(self) -> list[Document]:
        """What it was told, as the checker wants it; that a job was created is left out."""
        bodies = [request.body for request in [*self.told]]
        return [
            {"job_uuid": b["job_uuid"], "event_name": b["event"], "job_state": b["state"]}
            for b in bodies
            if b["event"] != "create"
        ]


@contextmanager
def dispatcher(actor: Actor, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a dispatcher as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, *(command or ("-m", "pipelinejobs", "dispatch"))],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **actor.environ},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


def subscribe(actor: Actor, subscribers: list[Subscriber]) -> None:
    given = [
        {"name": f"of-{each.way}", "url": each.url, "allow_private": True} for each in subscribers
    ]
    actor.environ["_REACTOR_SUBSCRIPTIONS"] = json.dumps(given)
    actor.environ["_REACTOR_DELIVERIES_DISPATCHER"] = "true"


def retry_all(jobs: PipelineJobStore) -> None:
    subscriptions = Subscriptions(jobs.db)
    for name in subscriptions.kept():
        subscriptions.retry(name)


def test_each_event_is_told_in_order_and_who_fails_delays_nobody_else(
    actor: Actor, jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    record = Record()
    with Receiver() as elsewhere:
        subscribers = [Subscriber(way, elsewhere.url) for way in WAYS]
        subscribe(actor, subscribers)
        well = subscribers[0]
        for each in subscribers:
            each.__enter__()
        try:
            with dispatcher(actor):
                eventually(lambda: jobs.untold.holder() is not None)
                made = running_jobs(jobs, pipeline, 3 * ROUNDS)
                for number, name in enumerate(EVENTS, start=2):
                    for job in made:
                        call = record.sent(job["uuid"], f"{number} {name}")
                        assert actor.send(event(job, name, data={MARK: call.event})).error == ""
                        call.outcome = Outcome.ACKNOWLEDGED
                    eventually(lambda n=number: len(well.announced) == n * len(made))  # type: ignore[misc]
                for each in subscribers:
                    each.is_well.set()
                retry_all(jobs)
                eventually(lambda: jobs.untold.count() == 0)
        finally:
            for each in subscribers:
                each.__exit__()
        assert elsewhere.seen == []
    found = read_back(db)
    assert problems(record, found) == []
    told = {each.way: each.announced for each in subscribers}
    assert [*announcement_problems(found, told)] == []
    tokens = {f"the token of job {job['uuid']}": job["_update_token"] for job in made}
    texts = {f"{e.way} {n}": str(seen) for e in subscribers for n, seen in enumerate(e.seen)}
    assert [*leaks(tokens, texts)] == []
    count = len(WAYS) * len(EVENTS) * len(made)
    note(14, f"events told to subscribers of which {len(WAYS) - 1} fail", count, record=record)


@pytest.mark.long
def test_a_dispatcher_that_is_killed_anywhere_has_told_all_in_order(
    actor: Actor, jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    record = Record()
    subscribers = [Subscriber(way, "") for way in ("well", "404")]
    subscribe(actor, subscribers)
    for each in subscribers:
        each.__enter__()
    kills = 0
    try:
        made = running_jobs(jobs, pipeline, 2)
        for turn in range(ROUNDS):
            for point in POINTS:
                subscribers[1].is_well.clear()
                seen = len(subscribers[1].seen)
                with dispatcher(
                    actor, "-m", "tests.reliability.dying", point, str(turn + 1)
                ) as dying:
                    for number, job in enumerate([*made, *made]):
                        call = record.sent(job["uuid"], f"{turn} {point} {number}")
                        body = event(job, "update", data={MARK: call.event})
                        assert actor.send(body).error == ""
                        call.outcome = Outcome.ACKNOWLEDGED
                    eventually(
                        lambda d=dying, n=seen: (
                            d.poll() is not None  # type: ignore[misc]
                            or len(subscribers[1].seen) > n
                        )
                    )
                    subscribers[1].is_well.set()
                    retry_all(jobs)
                    # some steps may have nothing to do any more
                    eventually(lambda d=dying: d.poll() is not None or jobs.untold.count() == 0)  # type: ignore[misc]
                    kills += dying.poll() is not None
        with dispatcher(actor):
            retry_all(jobs)
            eventually(lambda: jobs.untold.count() == 0)
    finally:
        for each in subscribers:
            each.__exit__()
    found = read_back(db)
    assert kills >= len(POINTS) // 2
    assert problems(record, found) == []
    told = {each.way: each.announced for each in subscribers}
    assert [*announcement_problems(found, told)] == []
    # what was told was counted, each entry once
    histories = [
        list(jobs.histories.read(cast("StoredJob", each.document), 0, None)) for each in found
    ]
    happened = Counter(entry["name"] for entries in histories for entry in entries)
    assert merged(Statistics(db).ever().values()).events == happened
    note(14, "kills of a dispatcher", kills, record=record)
