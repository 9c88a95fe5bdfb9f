from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import Pool
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from tests.datacatalog import writers

PROCESSES = 4
Together = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], list[Any]]


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES, writers.prepare, (context.Barrier(PROCESSES),)) as pool:
        yield pool
        pool.close()
        pool.join()


@pytest.fixture
def together(processes: Pool) -> Together:
    """Call a function in all processes at the same moment, each with arguments of its own."""

    def call(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        begun = processes.starmap_async(function, arguments, chunksize=1)
        return begun.get(writers.PATIENCE_SECONDS)

    return call


def test_no_event_of_many_writers_is_lost(
    together: Together, mongodb: dict[str, Any], jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    token, each = job["_update_token"], 10
    outcomes = together(
        writers.send,
        [
            (writers.Task(mongodb, job["uuid"], token, ["run"] * each, writer),)
            for writer in range(PROCESSES)
        ],
    )
    assert outcomes == [["accepted"] * each] * PROCESSES
    history = jobs.history(job["uuid"])
    sent = Counter((writer, number) for writer in range(PROCESSES) for number in range(each))
    assert Counter((e["data"]["writer"], e["data"]["number"]) for e in history[1:]) == sent
    for writer in range(PROCESSES):
        own = [e["data"]["number"] for e in history[1:] if e["data"]["writer"] == writer]
        assert own == list(range(each))
    dates = [entry["date"] for entry in history]
    assert dates == sorted(dates)
    found = jobs.load(job["uuid"])
    assert found["_properties"]["revision"] == PROCESSES * each
    assert found["state"] == "RUNNING"
    assert db["rejected_events"].count_documents({}) == 0


def test_of_different_events_with_one_key_only_the_first_counts(
    together: Together, mongodb: dict[str, Any], jobs: PipelineJobStore, job: Document
) -> None:
    token = job["_update_token"]
    names = [["run"], ["fail"]] * (PROCESSES // 2)
    outcomes = together(
        writers.send,
        [
            (writers.Task(mongodb, job["uuid"], token, name, writer, "event-7"),)
            for writer, name in enumerate(names)
        ],
    )
    assert Counter(outcome for results in outcomes for outcome in results) == {
        "accepted": 2,
        "conflict": 2,
    }
    (entry,) = jobs.history(job["uuid"], skip=1)
    accepted = [
        name for name, outcome in zip(names, outcomes, strict=True) if "accepted" in outcome
    ]
    assert accepted == [[entry["name"]]] * 2


def test_a_job_created_many_times_at_once_is_one_job(
    together: Together, mongodb: dict[str, Any], jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/a", "data": {}}
    made = together(writers.create, [(mongodb, fields)] * PROCESSES)
    assert len({(job["uuid"], job["_update_token"]) for job in made}) == 1
    assert db["jobs"].count_documents({}) == 1
    assert db["updates"].count_documents({"uuid": made[0]["uuid"]}) == 1
    event = {"uuid": made[0]["uuid"], "name": "run"}
    assert jobs.handle(event, made[0]["_update_token"])["state"] == "RUNNING"


def test_only_one_of_many_has_the_lease(together: Together, mongodb: dict[str, Any]) -> None:
    claims = together(writers.lease, [(mongodb, str(number)) for number in range(PROCESSES)])
    assert sorted(claims) == [False] * (PROCESSES - 1) + [True]
