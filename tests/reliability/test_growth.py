"""Row 15: a job of many events and a database of many jobs cost what small ones cost."""

from __future__ import annotations

import copy
import datetime
import itertools
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.mongo import Db, Document
from tests.reliability.checker import MARK, Outcome, Record, problems
from tests.reliability.running import read_back, running_jobs
from tests.reliability.soak import many, note

EVENTS = many(600, 100_000)
JOBS = many(1_000, 100_000)
SAMPLES = many(20, 1_000)
MOST_RATIO = many(3.0, 2.0)
"""Of the times with much and with little in the database: what grows goes far beyond it."""
ROOM = 0.005
"""Seconds by which a single call may differ for reasons of the machine."""


_moments = (
    datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=number)
    for number in itertools.count(1)
)
"""When the copies of a job were made, each a minute before the one before."""


def timed(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def is_flat(small: Sequence[float], large: Sequence[float]) -> bool:
    """Tell whether the median, and in a long run the 99th percentile, have hardly grown."""
    measures = many((statistics.median,), (statistics.median, p99))
    return all(each(large) < MOST_RATIO * each(small) + ROOM for each in measures)


def shown(times: Sequence[float]) -> str:
    return f"{1000 * statistics.median(times):.1f} ms (p99 {1000 * p99(times):.1f})"


def test_the_last_of_many_events_costs_what_the_first_cost(
    jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    record = Record()
    job = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])
    appends: list[float] = []
    reads: list[float] = []
    for number in range(EVENTS):
        call = record.sent(job["uuid"], f"event {number}")
        data = {MARK: call.event}
        appends.append(timed(lambda d=data: jobs.apply(job, "update", d)))  # type: ignore[misc]
        call.outcome = Outcome.ACKNOWLEDGED
        if number % (EVENTS // SAMPLES) == 0:
            reads.append(timed(lambda: jobs.load(job["uuid"])))
    assert problems(record, read_back(db)) == []
    half = SAMPLES // 2
    assert is_flat(appends[: EVENTS // 10], appends[-EVENTS // 10 :])
    assert is_flat(reads[:half], reads[-half:])
    first, last = shown(appends[: EVENTS // 10]), shown(appends[-EVENTS // 10 :])
    measured = f"the first tenth took {first} each, the last tenth {last}"
    note(15, "events on one job", EVENTS, record=record, measured=measured)


def test_many_jobs_cost_what_few_cost(jobs: PipelineJobStore, pipeline: Document, db: Db) -> None:
    search = JobSearch(jobs)
    job = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])

    def measure() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {"append": [], "read": [], "list": []}
        for _ in range(SAMPLES):
            found["append"].append(timed(lambda: jobs.apply(job, "update", {})))
            found["read"].append(timed(lambda: jobs.load(job["uuid"])))
            found["list"].append(timed(lambda: search.jobs(limit=50)))
        return found

    copies(db, job["uuid"], 200)
    few = measure()
    copies(db, job["uuid"], JOBS)
    lots = measure()
    assert {what: is_flat(few[what], lots[what]) for what in few} == dict.fromkeys(few, True)
    measured = "; ".join(f"{what} {shown(few[what])}, then {shown(lots[what])}" for what in few)
    note(15, "jobs in the database", JOBS, measured=measured)


def copies(db: Db, job_uuid: str, count: int) -> None:
    """Add jobs that are like another one."""
    pattern = db["jobs"].find_one({"uuid": job_uuid})
    assert pattern is not None
    for begin in range(0, count, 1_000):
        rows = [copy.deepcopy(pattern) for _ in range(min(1_000, count - begin))]
        for row in rows:
            row["uuid"] = f"107{uuid.uuid4()}"[:36]
            row["_id"] = row["uuid"] if isinstance(row["_id"], str) else type(row["_id"])()
            row["_salt"] = row["uuid"]
            created = next(_moments)
            row["updated"] = row["_properties"]["created_date"] = created
        db["jobs"].insert_many(rows)
