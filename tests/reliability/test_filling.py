"""What is written in bulk is what the store writes."""

from __future__ import annotations

from typing import Any

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Db, Document
from tests.reliability.checker import MARK, Outcome, Record, problems
from tests.reliability.filling import add_copies, fill_job
from tests.reliability.running import read_back, running_jobs

EVENTS = 50
UNLIKE = ("_id", "_salt", "uuid", "job_id", "job_uuid")
"""What differs between any two jobs, apart from dates."""


def alike(value: Any) -> Any:
    """Return a value without what differs between two jobs to which the same was done."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in UNLIKE}
        return {name: "" if "date" in name else alike(each) for name, each in kept.items()}
    return [alike(each) for each in value] if isinstance(value, list) else value


def rows_of(db: Db, job: StoredJob) -> dict[str, Any]:
    """Return everything that is stored about a job."""
    (document,) = db["jobs"].find({"uuid": job["uuid"]})
    buckets = list(db["jobs_history"].find({"job_uuid": job["uuid"]}, sort=[("first", 1)]))
    audit = list(db["updates"].find({"uuid": job["uuid"]}, sort=[("revision", 1)]))
    # its data, and with that the digest of its creation, makes a job what it is
    del document["data"]
    for entry in (*document["history"], *(each for row in buckets for each in row["entries"])):
        if entry["name"] == "create":
            del entry["data"], entry["_digest"]
    return {"document": alike(document), "buckets": alike(buckets), "audit": alike(audit)}


def test_a_filled_job_is_stored_as_one_to_which_each_event_was_applied(
    jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    record = Record()
    one, other = (jobs.load(job["uuid"]) for job in running_jobs(jobs, pipeline, 2))
    data = [{MARK: f"event {number}"} for number in range(EVENTS)]
    for each in data:
        jobs.apply(one, "update", each)
    fill_job(jobs, other, data)
    assert rows_of(db, one) == rows_of(db, other)
    # and both go on alike
    for job in (one, other):
        jobs.apply(jobs.load(job["uuid"]), "update", {MARK: "the last"})
        for event in (*(each[MARK] for each in data), "the last"):
            record.sent(job["uuid"], event).outcome = Outcome.ACKNOWLEDGED
    assert problems(record, read_back(db)) == []


def test_a_copy_is_a_job_of_its_own(jobs: PipelineJobStore, pipeline: Document, db: Db) -> None:
    pattern = jobs.load(running_jobs(jobs, pipeline, 1)[0]["uuid"])
    add_copies(jobs, pattern, 3)
    found = [jobs.load(each["uuid"]) for each in db["jobs"].find({}, sort=[("updated", -1)])]
    assert found[0]["uuid"] == pattern["uuid"]
    assert len({jobs.get_token(job) for job in found}) == 4
    assert [alike(job) for job in found] == [alike(pattern)] * 4
    for job in found:
        token = jobs.get_token(job)
        assert jobs.handle({"uuid": job["uuid"], "name": "finish"}, token)["state"] == "FINISHED"
