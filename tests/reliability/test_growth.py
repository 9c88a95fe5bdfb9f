"""Row 15: a job of many events and a database of many jobs cost what small ones cost."""

from __future__ import annotations

import os
import secrets
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.mongo import Document
from local.database import LocalDatabase, Server
from tests.conftest import TIMEOUT
from tests.datacatalog.jobs import fill_buckets
from tests.reliability.checker import MARK, Outcome, Record, problems
from tests.reliability.filling import add_copies, fill_job
from tests.reliability.running import read_back, running_jobs
from tests.reliability.soak import many, note, p99

EVENTS = many(600, 100_000)
JOBS = many(1_000, 100_000)
SAMPLES = many(60, 2_000)
FEW = 200
PAGE = 50
BUCKETS = 2_000
MOST_RATIO = many(3.0, 2.0)
"""Of the times with much and with little in the database: what grows goes far beyond it."""
ROOM = 0.005
"""Seconds by which a single call may differ for reasons of the machine."""

pytestmark = pytest.mark.alone
Times = dict[str, list[float]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that is killed in the end: to drop so much takes longer than to write it."""
    own = LocalDatabase(tmp_path_factory.mktemp("growth")).start()
    yield own
    mongo.connect({"authn": own.uri, "timeout": TIMEOUT}).client.close()
    os.kill(own.pid, signal.SIGKILL)


@pytest.fixture
def mongodb(server: Server) -> dict[str, Any]:
    """The settings of a database that only this test uses."""
    name = f"test_{secrets.token_hex(6)}"
    return {"authn": server.uri, "database": name, "timeout": TIMEOUT}


def timed(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def grown(before: Times, after: Times) -> dict[str, str]:
    """Return what takes longer than before: its median, or in a long run its 99th percentile."""
    measures = many((statistics.median,), (statistics.median, p99))
    return {
        what: f"{shown(before[what])}, then {shown(after[what])}"
        for what in before
        if any(each(after[what]) > MOST_RATIO * each(before[what]) + ROOM for each in measures)
    }


def shown(times: Sequence[float]) -> str:
    return f"{1000 * statistics.median(times):.1f} ms (p99 {1000 * p99(times):.1f})"


def compared(before: Times, after: Times) -> str:
    return "; ".join(f"{what} {shown(before[what])}, then {shown(after[what])}" for what in before)


def test_the_last_of_many_events_costs_what_the_first_cost(
    jobs: PipelineJobStore, pipeline: Document
) -> None:
    record = Record()
    job = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])
    uuid = job["uuid"]

    def events(numbers: Iterable[int]) -> Iterator[Document]:
        for number in numbers:
            call = record.sent(uuid, f"event {number}")
            yield {MARK: call.event}
            call.outcome = Outcome.ACKNOWLEDGED

    def measure(numbers: range) -> Times:
        found: Times = {"append": [], "read": [], "page": []}
        for number, data in zip(numbers, events(numbers), strict=False):
            found["append"].append(timed(lambda d=data: jobs.apply(job, "update", d)))  # type: ignore[misc]
            found["read"].append(timed(lambda: jobs.load(uuid)))
            skip = max(0, number - PAGE)
            found["page"].append(timed(lambda s=skip: jobs.history(uuid, PAGE, s)))  # type: ignore[misc]
        return found

    first = measure(range(SAMPLES))
    fill_job(jobs, job, events(range(SAMPLES, EVENTS - SAMPLES)))
    last = measure(range(EVENTS - SAMPLES, EVENTS))
    assert len(record.calls) == EVENTS
    assert problems(record, read_back(jobs.db)) == []
    assert grown(first, last) == {}
    measured = f"the first and the last {SAMPLES:,}: {compared(first, last)}"
    note(15, "events on one job", EVENTS, record=record, measured=measured)


def test_a_page_of_a_history_costs_nothing_of_what_else_there_is(
    jobs: PipelineJobStore, job: Document
) -> None:
    def fastest(skip: int) -> float:
        return min(timed(lambda: jobs.history(job["uuid"], 1, skip)) for _ in range(10))

    before = fastest(0)
    count = fill_buckets(jobs, job, [1] * BUCKETS)
    # a look at every bucket takes tens of milliseconds
    assert max(map(fastest, (0, 50, count - 1))) < MOST_RATIO * before + 2 * ROOM


def test_many_jobs_cost_what_few_cost(jobs: PipelineJobStore, pipeline: Document) -> None:
    search = JobSearch(jobs)
    job = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])

    def measure() -> Times:
        found: Times = {"append": [], "read": [], "list": []}
        for _ in range(SAMPLES):
            found["append"].append(timed(lambda: jobs.apply(job, "update", {})))
            found["read"].append(timed(lambda: jobs.load(job["uuid"])))
            found["list"].append(timed(lambda: search.jobs(limit=PAGE)))
        return found

    pattern = jobs.load(job["uuid"])
    add_copies(jobs, pattern, FEW)
    few = measure()
    add_copies(jobs, pattern, JOBS)
    lots = measure()
    assert jobs.coll.estimated_document_count() == 1 + FEW + JOBS
    assert grown(few, lots) == {}
    note(15, "jobs in the database", JOBS, measured=f"beside {FEW} and all: {compared(few, lots)}")
