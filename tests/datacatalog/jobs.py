"""What the tests of the job store share."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document

PATH = "/products/v2/tacos"
LIFE = [
    ("run", "RUNNING"),
    ("resource", "RUNNING"),
    ("update", "RUNNING"),
    ("run", "RUNNING"),
    ("finish", "FINISHED"),
    ("index", "INDEXING"),
    ("update", "INDEXING"),
    ("indexed", "FINISHED"),
    ("validate", "VALIDATING"),
    ("update", "VALIDATING"),
    ("validated", "VALIDATED"),
    ("finalize", "FINALIZED"),
    ("retire", "RETIRED"),
]
WRONG_TOKENS = ["", "0123456789abcdef", "None"]


def stored(db: Db, job: Document) -> Document:
    """Return a job as it is in the database."""
    found = db["jobs"].find_one({"uuid": job["uuid"]})
    assert found is not None
    return found


def fields(pipeline: Document, **more: Any) -> dict[str, Any]:
    """Return what a job needs, and perhaps more."""
    return {"pipeline_uuid": pipeline["uuid"], "archive_path": PATH, "data": {}, **more}


def fill_buckets(jobs: PipelineJobStore, job: Document, sizes: Sequence[int]) -> int:
    """Let the history of a new job consist of buckets of some sizes; return how many entries it has."""
    stored, moved = jobs.load(job["uuid"]), 0
    (pattern,) = stored["history"]
    buckets = []
    for size in sizes:
        entries = [{**pattern, "data": {"number": moved + number}} for number in range(size)]
        about = {"_id": f"{stored['_id']}:{moved}", "job_id": stored["_id"]}
        buckets.append({**about, "first": moved, "last": moved + size - 1, "entries": entries})
        moved += size
    jobs.histories.buckets.insert_many(buckets)
    assert jobs.commit(stored, {"history": [], "_history.moved": moved})
    return moved


def audit(db: Db, job: Document) -> list[Document]:
    """Return the rows about a job in the audit log, oldest first."""
    return list(db["updates"].find({"uuid": job["uuid"]}, sort=[("date", 1), ("revision", 1)]))


def date_of(entry: Document) -> datetime.datetime:
    """Return the date of an entry, which BSON keeps in milliseconds."""
    date: datetime.datetime = entry["date"]
    assert date.microsecond % 1000 == 0
    assert date.utcoffset() == datetime.timedelta(0)
    return date
