"""Row 15: a job of many events and a database of many jobs cost what small ones cost."""

from __future__ import annotations

import itertools
import os
import random
import secrets
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from datacatalog import mongo
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, history
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Db, Document
from local.database import LocalDatabase, Server
from tests.conftest import TACOBOT, TIMEOUT
from tests.datacatalog.conftest import Scales
from tests.datacatalog.jobs import fill_buckets
from tests.reliability.checker import MARK, Outcome, Record, problems
from tests.reliability.filling import add_copies, fill_job
from tests.reliability.running import read_back, running_jobs
from tests.reliability.soak import is_long, many, note, p99

EVENTS = many(600, 100_000)
JOBS = many(1_000, 100_000)
SAMPLES = many(history.MOVED_ENTRIES, 1_000)
NEW = 80 + SAMPLES
FEW = 200
PAGE = 50
BUCKETS = 500
LIGHT = 8_000
"""Bytes of a page of one entry."""
DIGITS = 400
"""Bytes by which numbers of four digits may be longer than those of two, wherever they are."""
MAX_RATIO = 2.0
"""In a long run, of the times with much and with little: what grows goes far beyond it."""
ROOM = 0.005
"""Seconds by which a single call may differ for reasons of the machine."""

pytestmark = pytest.mark.alone
Deeds = dict[str, Callable[[], Any]]
Times = dict[str, list[float]]


class Cost(NamedTuple):
    """The most that something costs."""

    commands: int
    looked_at: int
    sent: int
    received: int

    def exceeds(self, other: Cost) -> bool:
        """Tell whether it is more than another one, beyond the digits of larger numbers."""
        most = Cost(*other[:2], *(size + DIGITS for size in other[2:]))
        return any(mine > allowed for mine, allowed in zip(self, most, strict=True))


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


def costs(deeds: Deeds, scales: Scales, db: Db) -> dict[str, Cost]:
    """Return what each costs, at most; of an event, that is when older entries move."""
    found: dict[str, list[Cost]] = {what: [] for what in deeds}
    for _ in range(history.MOVED_ENTRIES):
        for what, do in deeds.items():
            scales.forget()
            do()
            commands, (sent, received) = len(scales.commands), scales.weigh()
            found[what].append(Cost(commands, scales.looked_at(db), sent, received))
    return {what: Cost(*map(max, zip(*each, strict=True))) for what, each in found.items()}


def compare(little: Deeds, much: Deeds) -> tuple[Times, Times]:
    """Return how long each takes; in turn, so that whatever else the machine does slows both alike.

    Which is first changes: what the server does after so many commands would else always meet the same.
    """
    times: tuple[Times, Times] = ({what: [] for what in little}, {what: [] for what in much})
    turns = [(little, times[0]), (much, times[1])]
    order = random.Random(SAMPLES)  # noqa: S311 - no secret
    for _ in range(SAMPLES):
        order.shuffle(turns)
        for deeds, found in turns:
            for what, do in deeds.items():
                found[what].append(timed(do))
    return times


def grown(little: Times, much: Times) -> dict[str, str]:
    """Return what takes longer with much: its median, or its 99th percentile."""
    measures = (statistics.median, p99)
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
    jobs: PipelineJobStore, weighed: PipelineJobStore, scales: Scales, pipeline: Document
) -> None:
    record, store = Record(), jobs if is_long() else weighed
    new, old = (jobs.load(job["uuid"]) for job in running_jobs(jobs, pipeline, 2))

    def events(job: StoredJob, count: int) -> Iterator[Document]:
        for number in range(count):
            call = record.sent(job["uuid"], f"event {number}")
            yield {MARK: call.event}
            call.outcome = Outcome.ACKNOWLEDGED

    def deeds(job: StoredJob, data: Iterator[Document]) -> Deeds:
        uuid = job["uuid"]
        return {
            "append": lambda: store.apply(job, "update", next(data)),
            "read": lambda: store.load(uuid),
            "the newest of its history": lambda: store.history(
                uuid, PAGE, max(0, job["_properties"]["revision"] - PAGE)
            ),
        }

    few, many_more = events(new, NEW), events(old, EVENTS)
    fill_job(jobs, new, itertools.islice(few, NEW - SAMPLES))
    fill_job(jobs, old, itertools.islice(many_more, EVENTS - SAMPLES))
    if is_long():
        times = compare(deeds(new, few), deeds(old, many_more))
        assert grown(*times) == {}
        told = measured(*times, "a new job")
    else:
        told = ""
        little = costs(deeds(new, few), scales, jobs.db)
        much = costs(deeds(old, many_more), scales, jobs.db)
        assert {what: much[what] for what in much if much[what].exceeds(little[what])} == {}
    assert [next(left, None) for left in (few, many_more)] == [None, None]
    assert problems(record, read_back(jobs.db)) == []
    note(15, "events on one job", EVENTS, record=record, measured=told)


def test_a_page_of_a_history_costs_nothing_of_what_else_there_is(
    weighed: PipelineJobStore, scales: Scales, job: Document
) -> None:
    count = fill_buckets(weighed, job, [1] * BUCKETS)
    for skip in (0, 50, count - 1):
        scales.forget()
        (entry,) = weighed.history(job["uuid"], 1, skip)
        assert entry["data"] == {"number": skip}
        # the job, where the page begins, and what is on it
        assert len(scales.commands) <= 3
        assert scales.looked_at(weighed.db) <= history.MAX_ENTRIES + 3
        assert scales.weigh().received < LIGHT


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
