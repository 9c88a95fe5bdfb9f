from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.linkedstores.pipelinejob.replay import verify
from datacatalog.linkedstores.transfer import COLLECTIONS, Item, Transfer
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Send

AWKWARD = {"$ref": 1, "a.b": [None, 1.5, 2**60, "é\u2028"], "date": "2026-11-24", "%24": {}}


@pytest.fixture
def filled(
    db: Db, jobs: PipelineJobStore, job: Document, pipeline: Document, send: Send
) -> list[Item]:
    """A catalog of every kind of document; what is dumped of it."""
    for number in range(30):
        send("run", {**AWKWARD, "number": number})
    with pytest.raises(EventRefused):
        send("validate")
    for number in range(4):
        fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/x"}
        made = jobs.create({**fields, "data": {"number": number}})
        if number == 0:
            jobs.delete(made["uuid"], made["_update_token"])
        if number == 1:
            jobs.apply(jobs.load(made["uuid"]), "run", {})
            jobs.delete(made["uuid"], made["_update_token"], force=True)
    db["jobs"].update_one({"data.number": 2}, {"$unset": {"_properties.created_date": ""}})
    db["samples"].insert_one({"sample_id": "sample.tacc.20001"})
    return list(Transfer(db).dump())


@pytest.fixture
def other(
    mongodb: dict[str, Any], mongo_client: pymongo.MongoClient[Document]
) -> Iterator[dict[str, Any]]:
    """The settings of another database."""
    name = f"test_{secrets.token_hex(6)}"
    yield {**mongodb, "database": name}
    mongo_client.drop_database(name)


def content(db: Db) -> dict[str, list[Document]]:
    names = [*COLLECTIONS, "jobs_history"]
    found = {name: sorted(db[name].find(), key=lambda row: str(row["_id"])) for name in names}
    return {name: rows for name, rows in found.items() if rows}


def test_all_comes_over_as_it_was(
    filled: list[Item], db: Db, other: dict[str, Any], job: Document,
    mongo_client: pymongo.MongoClient[Document],
) -> None:  # fmt: skip
    lines = [item.to_json() for item in filled]
    assert all("\n" not in line for line in lines)
    assert [Item.from_json(line) for line in lines] == filled
    target = Transfer(other)
    target.prepare()
    loaded = target.load([Item.from_json(line) for line in lines])
    copy = content(mongo_client[other["database"]])
    assert copy == content(db)
    assert set(copy) >= {"jobs", "jobs_history", "jobs_removed", "updates", "rejected_events"}
    buckets = len(copy["jobs_history"])
    assert (loaded.added, loaded.known, loaded.conflicts) == (len(lines) - buckets, 0, [])
    assert Transfer(db).count() == len(lines) - buckets
    copied = PipelineJobStore(other)
    assert copied.history(job["uuid"]) == PipelineJobStore(db).history(job["uuid"])
    token = job["_update_token"]
    assert copied.handle({"uuid": job["uuid"], "name": "finish"}, token)["state"] == "FINISHED"
    assert verify(copied, copied.load(job["uuid"])).problems == []


def test_the_buckets_of_a_job_come_before_it(filled: list[Item], job: Document) -> None:
    names = [item.collection for item in filled]
    place = next(n for n, item in enumerate(filled) if item.document.get("uuid") == job["uuid"])
    assert names[place - 1] == "jobs_history"
    assert names.count("jobs_history") == 1


def test_a_dump_goes_on_behind_what_is_written(filled: list[Item], db: Db) -> None:
    for place, item in enumerate(filled):
        if item.collection == "jobs_history":
            continue
        rest = list(Transfer(db).dump(item))
        if not Transfer.goes_on(item):
            first = [found.collection for found in filled].index(item.collection)
            # of jobs without a date, and of collections that have none, all come again
            assert rest == filled[first:]
        else:
            assert rest == filled[place + 1 :]


def test_what_is_loaded_again_changes_nothing_also_after_life_has_gone_on(
    filled: list[Item], db: Db, job: Document, send: Send
) -> None:
    loaded = Transfer(db).load(filled)
    assert (loaded.added, loaded.conflicts) == (0, [])
    for number in range(30):
        send("run", {"later": number})
    before = content(db)
    # in parts, as an import that is interrupted and begun again
    target = Transfer(db)
    for item in filled:
        assert target.load([item]).added == 0
    assert content(db) == before


def test_an_older_copy_of_a_job_that_lives_on_is_left_alone(
    jobs: PipelineJobStore, job: Document, db: Db, send: Send, other: dict[str, Any],
) -> None:  # fmt: skip
    early = list(Transfer(db).dump())
    target = Transfer(other)
    target.load(early)
    copied = PipelineJobStore(other)
    for number in range(30):
        send("run", {"here": number})
        there = {"uuid": job["uuid"], "name": "run", "data": {"there": number}}
        copied.handle(there, job["_update_token"])
    loaded = Transfer(other).load(list(Transfer(db).dump()))
    assert loaded.conflicts == []
    assert [entry["data"] for entry in copied.history(job["uuid"], skip=1)] == [
        {"there": number} for number in range(30)
    ]
    assert verify(copied, copied.load(job["uuid"])).problems == []


def test_a_job_of_the_same_uuid_but_another_origin_is_a_conflict(
    filled: list[Item], other: dict[str, Any], pipeline: Document, job: Document,
    mongo_client: pymongo.MongoClient[Document],
) -> None:  # fmt: skip
    target = Transfer(other)
    target.prepare()
    target.load([item for item in filled if item.collection == "pipelines"])
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/tacos"}
    there = PipelineJobStore(other).create({**fields, "data": {"tacos": 3}})
    assert there["uuid"] == job["uuid"]
    loaded = Transfer(other).load(filled)
    assert loaded.conflicts == [
        f"jobs: another document has the uuid {job['uuid']}, or its identifier"
    ]
    copied = PipelineJobStore(other)
    assert len(copied.history(job["uuid"])) == 1
    assert mongo_client[other["database"]]["jobs_history"].count_documents({}) == 0


@pytest.mark.parametrize(
    "line",
    [
        "", "x", "[]", "null", "{}", '{"collection": "jobs"}',
        '{"collection": "jobs", "document": {"uuid": "1"}}',
        '{"collection": "jobs", "document": [1]}',
        '{"collection": "system.users", "document": {"_id": 1}}',
        '{"collection": ["jobs"], "document": {"_id": 1}}',
        '{"collection": "jobs", "document": {"_id": {"$oid": "x"}}}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_document_of_the_catalog_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no document of"):
        Item.from_json(line)
