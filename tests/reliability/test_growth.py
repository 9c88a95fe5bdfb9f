"""Row 15: a job of many events and a database of many jobs cost what small ones cost."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from datacatalog import mongo
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Document
from local.database import LocalDatabase, Server
from tests.conftest import TACOBOT, TIMEOUT
from tests.datacatalog.jobs import fill_buckets
from tests.reliability.checker import MARK, Outcome, Record, problems
from tests.reliability.filling import add_copies, fill_job
from tests.reliability.running import read_back, running_jobs
from tests.reliability.soak import many, note, p99

EVENTS = many(600, 100_000)
JOBS = many(1_000, 100_000)
SAMPLES = many(60, 1_000)
FEW = 200
PAGE = 50
BUCKETS = 2_000
MAX_RATIO = many(3.0, 2.0)
"""Of the times with much and with little: what grows goes far beyond it."""
ROOM = 0.005
"""Seconds by which a single call may differ for reasons of the machine."""

pytestmark = pytest.mark.alone
Deeds = dict[str, Callable[[], Any]]
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


def compare(little: Deeds, much: Deeds) -> tuple[Times, Times]:
    """Return how long each takes; in turn, so that whatever else the machine does slows both alike."""
    times: tuple[Times, Times] = ({what: [] for what in little}, {what: [] for what in much})
    for _ in range(SAMPLES):
        for deeds, found in zip((little, much), times, strict=True):
            for what, do in deeds.items():
                found[what].append(timed(do))
    return times


def grown(little: Times, much: Times) -> dict[str, str]:
    """Return what takes longer with much: its median, or in a long run its 99th percentile."""
    measures = many((statistics.median,), (statistics.median, p99))
    return {
        what: text
        for what, text in shown(little, much).items()
        if any(each(much[what]) > MAX_RATIO * each(little[what]) + ROOM for each in measures)
    }


def shown(little: Times, much: Times) -> dict[str, str]:
    """Return medians and 99th percentiles with little and with much, in milliseconds."""

    def text(seconds: Sequence[float]) -> str:
        return f"{1000 * statistics.median(seconds):.1f} ms (p99 {1000 * p99(seconds):.1f})"

    return {what: f"{text(little[what])}, {text(much[what])}" for what in little}


def measured(little: Times, much: Times, of: str) -> str:
    found = "; ".join(f"{what} {text}" for what, text in shown(little, much).items())
    return f"beside {of}: {found}"


def test_an_event_on_a_job_of_many_costs_what_one_on_a_new_job_costs(
    jobs: PipelineJobStore, pipeline: Document
) -> None:
    record = Record()
    new, old = (jobs.load(job["uuid"]) for job in running_jobs(jobs, pipeline, 2))

    def events(job: StoredJob, count: int) -> Iterator[Document]:
        for number in range(count):
            call = record.sent(job["uuid"], f"event {number}")
            yield {MARK: call.event}
            call.outcome = Outcome.ACKNOWLEDGED

    def deeds(job: StoredJob, data: Iterator[Document]) -> Deeds:
        uuid = job["uuid"]
        return {
            "append": lambda: jobs.apply(job, "update", next(data)),
            "read": lambda: jobs.load(uuid),
            "the newest of its history": lambda: jobs.history(
                uuid, PAGE, max(0, job["_properties"]["revision"] - PAGE)
            ),
        }

    few, many_more = events(new, SAMPLES), events(old, EVENTS)
    fill_job(jobs, old, itertools.islice(many_more, EVENTS - SAMPLES))
    times = compare(deeds(new, few), deeds(old, many_more))
    assert [next(left, None) for left in (few, many_more)] == [None, None]
    assert problems(record, read_back(jobs.db)) == []
    assert grown(*times) == {}
    note(15, "events on one job", EVENTS, record=record, measured=measured(*times, "a new job"))


def test_a_page_of_a_history_costs_nothing_of_what_else_there_is(
    jobs: PipelineJobStore, job: Document
) -> None:
    def fastest(skip: int) -> float:
        return min(timed(lambda: jobs.history(job["uuid"], 1, skip)) for _ in range(10))

    before = fastest(0)
    count = fill_buckets(jobs, job, [1] * BUCKETS)
    # a look at every bucket takes tens of milliseconds
    assert max(map(fastest, (0, 50, count - 1))) < MAX_RATIO * before + 2 * ROOM


@pytest.mark.long
def test_many_jobs_cost_what_few_cost(mongodb: dict[str, Any]) -> None:
    def deeds(name: str, count: int) -> Deeds:
        settings = {**mongodb, "database": f"{mongodb['database']}_{name}"}
        jobs, pipelines = PipelineJobStore(settings), PipelineStore(settings)
        pipeline = pipelines.add_update_document(TACOBOT)
        job = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])
        add_copies(jobs, jobs.load(job["uuid"]), count)
        assert jobs.coll.estimated_document_count() == 1 + count
        search = JobSearch(jobs)
        return {
            "append": lambda: jobs.apply(job, "update", {}),
            "read": lambda: jobs.load(job["uuid"]),
            "list": lambda: search.jobs(limit=PAGE),
        }

    times = compare(deeds("few", FEW), deeds("many", JOBS))
    assert grown(*times) == {}
    note(15, "jobs in the database", JOBS, measured=measured(*times, f"{FEW} jobs"))
