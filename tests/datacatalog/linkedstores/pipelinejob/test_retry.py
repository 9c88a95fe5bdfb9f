from __future__ import annotations

from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import (
    EventConflict,
    EventRefused,
    PipelineJobStore,
    UnknownJob,
    UnknownRejection,
)
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Send


def refuse(jobs: PipelineJobStore, job: Document, name: str, **options: Any) -> str:
    """Send an event that comes too early; return its id among those that were refused."""
    with pytest.raises(EventRefused):
        jobs.apply(jobs.load(job["uuid"]), name, {"$n": name}, **options)
    return str(JobSearch(jobs).rejected(job_uuid=job["uuid"]).rows[0]["id"])


def test_an_event_that_came_too_early_is_applied_once_and_as_it_was(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    early = refuse(jobs, job, "finish", key="event:1", sent={"a": 1}, execution_id="E1")
    send("run")
    applied = jobs.retry(early)
    assert (applied.job["state"], applied.duplicate) == ("FINISHED", False)
    (_, _, entry) = jobs.history(job["uuid"])
    assert (entry["name"], entry["data"]) == ("finish", {"$n": "finish"})
    # delivered again by its sender, it is known; under the same key, another event is not
    again = jobs.apply(applied.job, "finish", {"other": 1}, key="event:1", sent={"a": 1})
    assert again.duplicate
    with pytest.raises(EventConflict):
        jobs.apply(applied.job, "finish", {}, key="event:1", sent={"a": 2})
    assert len(jobs.history(job["uuid"])) == 3


def test_what_was_applied_is_no_longer_listed_and_cannot_be_retried(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    early = refuse(jobs, job, "finish")
    send("run")
    jobs.retry(early)
    search = JobSearch(jobs)
    assert search.rejected().rows == []
    (row,) = search.rejected(settled=True).rows
    assert row["applied"] is not None
    with pytest.raises(UnknownRejection, match="was applied since"):
        jobs.retry(early)


def test_what_is_refused_again_stays_with_the_date_on_which_it_came(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    early = refuse(jobs, job, "validated")
    (before,) = JobSearch(jobs).rejected().rows
    send("run")
    with pytest.raises(EventRefused):
        jobs.retry(early)
    (after,) = JobSearch(jobs).rejected().rows
    assert after["date"] == before["date"]
    assert (before["state"], after["state"]) == ("CREATED", "RUNNING")


def test_a_retry_whose_end_was_not_written_is_completed_by_the_next(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    early = refuse(jobs, job, "finish")
    send("run")
    jobs.retry(early)
    db["rejected_events"].update_one({}, {"$unset": {"applied": ""}})
    assert jobs.retry(early).duplicate
    assert JobSearch(jobs).rejected().rows == []


def test_a_retry_is_announced(jobs: PipelineJobStore, job: Document, send: Send) -> None:
    early = refuse(jobs, job, "finish")
    send("run")
    jobs.retry(early)
    (head,) = jobs.untold.fresh(9)
    assert [entry["name"] for entry in jobs.untold.entries(head, 1, 9)] == ["run", "finish"]


def test_an_unknown_event_and_a_hidden_job_are_refused(
    jobs: PipelineJobStore, job: Document
) -> None:
    with pytest.raises(UnknownRejection, match="with the id nothing"):
        jobs.retry("nothing")
    early = refuse(jobs, job, "finish")
    jobs.delete(job["uuid"], job["_update_token"])
    with pytest.raises(UnknownJob):
        jobs.retry(early)
