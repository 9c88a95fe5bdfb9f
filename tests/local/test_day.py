"""The day of `make up DEMO=1`: plausible, sound in every document, and never among jobs of others."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import pytest

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.replay import verify
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.linkedstores.statistics.reader import Statistics
from datacatalog.mongo import Document
from local import day, up
from pipelinejobs import failures


@pytest.fixture
def filled(jobs: PipelineJobStore) -> list[StoredJob]:
    """The jobs of the day, as they are stored."""
    assert day.fill(jobs, now()) == day.JOBS
    return [*jobs.coll.find()]


def test_the_day_has_what_a_person_wants_to_see_and_holds_what_the_store_promises(
    filled: list[StoredJob], jobs: PipelineJobStore
) -> None:
    assert len(filled) == 300
    problems = [text for job in filled for text in verify(jobs, job).problems]
    assert problems == []
    states = Counter(job["state"] for job in filled)
    for state, most in (("FAILED", 60), ("FINISHED", 200), ("RUNNING", 60), ("REJECTED", 30)):
        assert 0 < states[state] < most, states
    assert len({job["pipeline_uuid"] for job in filled}) == len(day.KINDS)
    assert max(verify(jobs, job).events for job in filled) > day._CHATTY_UPDATES
    assert any(job["child_of"] for job in filled)
    present = now()
    assert all(
        present - day.DAY * 1.01 <= job["_properties"]["created_date"] <= job["updated"] <= present
        for job in filled
    )
    quiet = present - datetime.timedelta(hours=6)
    assert len(JobSearch(jobs).quiet(["RUNNING"], quiet, 50)) >= 4
    assert jobs.rejected.count_documents({}) >= 5
    failed = [job for job in filled if job["state"] == "FAILED"]
    for job in failed:
        found = failures.of(job, reversed(jobs.public(job)["history"]))
        assert found is not None
        assert found.message
        assert found.trace
    counted = Statistics(jobs.db).ever().values()
    assert sum(each.created for each in counted) == len(filled)
    assert sum(each.events.total() for each in counted) > 2000
    # a sender can go on with what is running
    (running, *_) = (job for job in filled if job["state"] == "RUNNING")
    assert jobs.apply(jobs.load(running["uuid"]), "finish", {}).job["state"] == "FINISHED"


def test_a_database_with_jobs_stays_as_it_is_and_that_is_said(
    jobs: PipelineJobStore, job: Document, mongodb: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
    }
    assert up._demo(given) == []
    monkeypatch.setenv(up.DEMO, "1")
    (line,) = up._demo(given)
    assert "no jobs were made up, since the database has some" in line
    assert [each["uuid"] for each in jobs.coll.find()] == [job["uuid"]]
