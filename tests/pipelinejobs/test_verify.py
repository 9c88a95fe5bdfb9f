from __future__ import annotations

import json
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from tests.pipelinejobs.running import Run


def test_a_sound_catalog_is_exit_code_0(
    cli: Run, job: Document, jobs: PipelineJobStore, pipeline: Document
) -> None:
    loaded = jobs.load(job["uuid"])
    for number in range(30):
        loaded = jobs.apply(loaded, "run", {"number": number}).job
    hidden = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/h", "data": {}}
    )
    jobs.delete(hidden["uuid"], hidden["_update_token"])
    done = cli("verify")
    assert done == (0, "jobs: 2, events: 32, jobs with problems: 0\n", "")
    assert json.loads(cli("verify", "-o", "json").out) == []


def test_what_is_off_is_listed_and_is_exit_code_1(
    cli: Run, job: Document, jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    other = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/o", "data": {}}
    )
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"state": "FINISHED"}})
    done = cli("verify", "-o", "json")
    assert done.code == 1
    assert done.rows == [
        {
            "uuid": job["uuid"],
            "problem": "the job's state is FINISHED, after its history it is CREATED",
        }
    ]
    assert done.err == "jobs: 2, events: 2, jobs with problems: 1\n"
    assert job["uuid"] in cli("verify").out
    assert cli("verify", other["uuid"]).code == 0
    assert cli("verify", other["uuid"], job["uuid"]).code == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"history": None},
        {"history": [{}]},
        {"history": [None]},
        {"history": "x"},
        {"_history": "x"},
        {"_history": {"moved": "x"}},
        {"_properties": "x"},
        {"_properties.revision": "x"},
    ],
    ids=str,
)
def test_a_damaged_job_is_reported_and_the_others_are_verified(
    cli: Run,
    job: Document,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
    damage: dict[str, Any],
) -> None:
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/o", "data": {}}
    other = jobs.create(fields)
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": damage})
    db["jobs"].update_one({"uuid": other["uuid"]}, {"$set": {"state": "FINISHED"}})
    done = cli("verify", "-o", "json")
    assert done.code == 1
    problems = {row["uuid"]: row["problem"] for row in done.rows}
    assert problems.keys() == {job["uuid"], other["uuid"]}
    assert problems[job["uuid"]].startswith("cannot be read: ")
    assert problems[other["uuid"]].startswith("the job's state is FINISHED")
    for command in ("show", "history", "graph"):
        shown = cli("jobs", command, job["uuid"])
        assert "unexpected" not in shown.err
        assert shown.code == 0 or shown.err.startswith(f"ERROR job {job['uuid']} cannot be read")
