from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.replay import verify
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Send


@pytest.fixture
def stored(jobs: PipelineJobStore, job: Document, send: Send) -> StoredJob:
    """A job with 32 entries, of which 20 have moved to a bucket."""
    for number in range(30):
        send("run", {"number": number})
    send("finish")
    return jobs.load(job["uuid"])


def problems(jobs: PipelineJobStore, stored: Mapping[str, Any]) -> list[str]:
    return verify(jobs, jobs.load_deletable(stored["uuid"])).problems


def test_what_the_store_writes_is_right(jobs: PipelineJobStore, stored: StoredJob) -> None:
    assert verify(jobs, stored) == (stored["uuid"], 32, [])


def test_hiding_and_bringing_back_leave_no_gap(
    jobs: PipelineJobStore, stored: StoredJob, send: Send
) -> None:
    token = jobs.get_token(stored)
    jobs.delete(stored["uuid"], token)
    assert problems(jobs, stored) == []
    jobs.undelete(stored["uuid"], token)
    send("validate")
    jobs.delete(stored["uuid"], token)
    assert problems(jobs, stored) == []


WRONG: list[tuple[Document, str]] = [
    ({"$set": {"state": "FAILED"}}, "the job's state is FAILED, after its history it is FINISHED"),
    ({"$set": {"last_event": "run"}}, "the job's last_event is run, after its history it is finish"),
    ({"$set": {"history.1.name": "retire"}}, "entry 21 (retire) is not allowed in state RUNNING"),
    ({"$set": {"history.1.name": "create"}}, "entry 21 (create) is not allowed in state RUNNING"),
    ({"$set": {"history.1.name": "nap"}}, "entry 21 (nap) is not allowed in state RUNNING"),
    ({"$set": {"history.1._state": "FAILED"}}, "entry 21 (run) leads to RUNNING, and FAILED is written"),
    ({"$set": {"history.1._revision": 20}}, "entry 21 has revision 20, after 20"),
    ({"$set": {"_properties.revision": 30}}, "the job's revision is 30, and its history goes up to 31"),
    (
        {"$set": {"_properties.revision": 33}},
        "revision 32, 33 of 33 is neither in the history nor in the audit log",
    ),
    ({"$set": {"_history.moved": 21}}, "entries 20 to 20 are missing from jobs_history"),
    (
        {"$set": {"_history.moved": 19}},
        "entries 19 to 19 are in jobs_history, and not marked as moved",
    ),
    ({"$pop": {"history": 1}}, "the job's last_event is finish, after its history it is run"),
]  # fmt: skip


def test_what_is_wrong_with_the_document_is_named(
    jobs: PipelineJobStore, stored: StoredJob, db: Db
) -> None:
    for update, problem in WRONG:
        db["jobs"].update_one({"uuid": stored["uuid"]}, update)
        assert problem in problems(jobs, stored)
        db["jobs"].replace_one({"uuid": stored["uuid"]}, stored)
    assert problems(jobs, stored) == []


def test_an_entry_that_is_there_twice_or_too_late_is_named(
    jobs: PipelineJobStore, stored: StoredJob, db: Db
) -> None:
    first = stored["history"][0]
    early = first["date"] - datetime.timedelta(days=1)
    changes = {"history.2.uuid": first["uuid"], "history.3.date": early}
    db["jobs"].update_one({"uuid": stored["uuid"]}, {"$set": changes})
    assert problems(jobs, stored) == [
        "entry 23 (run) is dated before the entry before it",
        f"entry 22 (run) is there twice, with the uuid {first['uuid']}",
    ]


def test_a_lost_bucket_is_named(jobs: PipelineJobStore, stored: StoredJob, db: Db) -> None:
    bucket = {"job_id": stored["_id"]}
    db["jobs_history"].update_one(bucket, {"$pop": {"entries": 1}})
    assert "the bucket of entries 0 to 19 has 19 entries" in problems(jobs, stored)
    db["jobs_history"].update_one(bucket, {"$set": {"first": 5}})
    assert "entries 0 to 4 are missing from jobs_history" in problems(jobs, stored)
    db["jobs_history"].delete_one(bucket)
    assert "entries 0 to 19 are missing from jobs_history" in problems(jobs, stored)


def test_very_many_problems_are_counted(jobs: PipelineJobStore, stored: StoredJob, db: Db) -> None:
    db["jobs"].update_one({"uuid": stored["uuid"]}, {"$set": {"history": []}})
    assert "the history is empty" not in problems(jobs, stored)
    db["jobs_history"].update_many({}, {"$set": {"entries.$[].name": "nap"}})
    found = problems(jobs, stored)
    assert len(found) == 21
    assert found[-1].startswith("and ")


def test_a_job_that_changed_or_went_meanwhile_is_looked_at_again(
    jobs: PipelineJobStore, stored: StoredJob, send: Send
) -> None:
    for number in range(20):
        send("finish", {"number": number})
    # the entries that it had in its document have moved since
    old: StoredJob = {**stored, "history": stored["history"][5:]}
    assert verify(jobs, old) == (stored["uuid"], 52, [])
    jobs.delete(stored["uuid"], jobs.get_token(stored), force=True)
    assert verify(jobs, old).problems == []


def test_entries_that_were_written_without_a_count_are_taken_as_they_are(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    send("run")
    db["jobs"].update_one(
        {"uuid": job["uuid"]},
        {"$unset": {"history.$[]._revision": "", "history.$[]._state": ""}},
    )
    assert problems(jobs, job) == []
    send("finish")
    assert problems(jobs, job) == []


def test_buckets_of_other_jobs_and_the_order_in_which_they_lie_do_not_matter(
    jobs: PipelineJobStore, job: Document, send: Send, pipeline: Document, db: Db
) -> None:
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"other": 1}}
    other = jobs.create(fields)
    for number in range(50):
        send("run", {"number": number})
        jobs.handle({"uuid": other["uuid"], "name": "run"}, other["_update_token"])
    buckets = list(db["jobs_history"].find())
    assert len(buckets) == 4
    whole = jobs.history(job["uuid"])
    db["jobs_history"].drop()
    db["jobs_history"].insert_many(sorted(buckets, key=lambda each: each["first"], reverse=True))
    assert jobs.history(job["uuid"]) == whole
    for each in (job, other):
        assert verify(jobs, jobs.load(each["uuid"])) == (each["uuid"], 51, [])
