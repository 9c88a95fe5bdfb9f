from __future__ import annotations

from typing import Any, cast

import bson
import pytest

from datacatalog.linkedstores.pipelinejob import EventConflict, PipelineJobStore, history
from datacatalog.linkedstores.pipelinejob.stored import Mark, StoredJob
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Send
from tests.datacatalog.jobs import fill_buckets

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let entries move after a few events, so that a test needs only a few."""
    monkeypatch.setattr(history, "MAX_ENTRIES", 8)
    monkeypatch.setattr(history, "MOVED_ENTRIES", 5)


def document(db: Db) -> Document:
    """Return the only job as it is in the database."""
    found = db["jobs"].find_one({})
    assert found is not None
    return found


def numbers(entries: list[Document]) -> list[int]:
    """Return the number in the data of each entry after the first, which is `create`."""
    assert entries[0]["name"] == "create"
    return [entry["data"]["number"] for entry in entries[1:]]


def test_the_document_keeps_a_few_entries_and_the_catalog_all(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    kept = []
    for number in range(60):
        send("run", {"number": number})
        recent = document(db)["history"]
        kept.append(len(recent))
        assert recent[-1]["data"] == {"number": number}
    assert max(kept) <= history.MAX_ENTRIES < 60
    assert min(kept[history.MAX_ENTRIES :]) > 1
    assert numbers(jobs.history(job["uuid"])) == list(range(60))
    assert document(db)["_properties"]["revision"] == 60
    in_buckets = [len(bucket["entries"]) for bucket in db["jobs_history"].find({})]
    assert sum(in_buckets) + len(document(db)["history"]) == 61
    assert len(in_buckets) < 10


def test_large_entries_do_not_fill_the_document(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(9):
        send("run", {"number": number, "text": "x" * 600 * KIB})
        assert len(bson.encode(document(db))) < 4 * MIB
    entries = jobs.history(job["uuid"])
    assert numbers(entries) == list(range(9))
    assert all(len(entry["data"]["text"]) == 600 * KIB for entry in entries[1:])
    assert all(len(bson.encode(bucket)) < 4 * MIB for bucket in db["jobs_history"].find({}))


@pytest.mark.long
def test_the_largest_data_leaves_room_for_the_largest_events(
    jobs: PipelineJobStore, pipeline: Document
) -> None:
    # as BSON, a list of small numbers is six times as large as in JSON
    largest = [0] * (MIB // 2 - 8)
    job = jobs.create(
        {
            "pipeline_uuid": pipeline["uuid"],
            "archive_path": "/products/v2/a",
            "data": {"n": largest},
        }
    )
    event = {"uuid": job["uuid"], "name": "run", "data": {"n": largest}}
    for revision in (1, 2):
        assert jobs.handle(event, job["_update_token"])["_properties"]["revision"] == revision


def test_each_page_of_a_history_is_found_whatever_the_sizes_of_its_buckets(
    jobs: PipelineJobStore, job: Document
) -> None:
    count = fill_buckets(jobs, job, [1, 30, 1, 2, 100, 1])
    for limit in (1, 40, 400):
        for skip in (*range(40), *range(100, count + 1, 9)):
            found = [entry["data"]["number"] for entry in jobs.history(job["uuid"], limit, skip)]
            assert found == [*range(skip, min(skip + limit, count))]


def test_a_move_that_was_interrupted_is_made_again(
    small: None, jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(history.MAX_ENTRIES - 1):
        send("run", {"number": number})
    before = jobs.history(job["uuid"])
    # a writer that died after it wrote the bucket, and before it changed the document
    assert jobs.histories.make_room(jobs.load(job["uuid"]))
    assert db["jobs_history"].count_documents({}) == 1
    assert jobs.history(job["uuid"]) == before
    assert jobs.history(job["uuid"], limit=5, skip=2) == before[2:7]
    for number in range(history.MAX_ENTRIES - 1, 30):
        send("run", {"number": number})
    after = jobs.history(job["uuid"])
    assert after[: len(before)] == before
    assert numbers(after) == list(range(30))
    assert len({entry["uuid"] for entry in after}) == 31


def test_a_move_interrupted_at_another_size_is_made_again(
    small: None,
    jobs: PipelineJobStore,
    job: Document,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(history.MAX_ENTRIES - 1):
        send("run", {"number": number})
    with monkeypatch.context() as patch:
        patch.setattr(history, "MOVED_ENTRIES", 2)
        jobs.histories.make_room(jobs.load(job["uuid"]))
    for number in range(history.MAX_ENTRIES - 1, 30):
        send("run", {"number": number})
        assert len(jobs.load(job["uuid"])["history"]) <= history.MAX_ENTRIES
    assert numbers(jobs.history(job["uuid"])) == list(range(30))


def test_a_later_move_interrupted_at_another_size_is_made_again_beside_another_job(
    small: None,
    jobs: PipelineJobStore,
    job: Document,
    pipeline: Document,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"other": 1}}
    other = jobs.create(fields)
    for _ in range(10):
        jobs.handle({"uuid": other["uuid"], "name": "run"}, other["_update_token"])
    for number in range(12):
        send("run", {"number": number})
    stored = jobs.load(job["uuid"])
    assert history.moved(stored) == history.MOVED_ENTRIES
    with monkeypatch.context() as patch:
        patch.setattr(history, "MOVED_ENTRIES", 2)
        assert jobs.histories.make_room(stored)["_history.moved"] == 7
    assert jobs.histories.make_room(stored)["_history.moved"] == 7
    for number in range(12, 30):
        send("run", {"number": number})
    assert numbers(jobs.history(job["uuid"])) == list(range(30))


def test_entries_of_a_version_that_did_not_count_move_without_a_row_of_the_audit_log(
    small: None, jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(history.MAX_ENTRIES - 1):
        send("run", {"number": number})
    db["jobs"].update_one({}, {"$unset": {"history.1._revision": ""}})
    send("run", {"number": history.MAX_ENTRIES - 1})
    assert db["jobs_history"].count_documents({}) == 1
    assert numbers(jobs.history(job["uuid"])) == list(range(history.MAX_ENTRIES))


def entries_of(*lengths: int) -> list[history.Entry]:
    """Return entries that take so many bytes in BSON."""
    entries: list[history.Entry] = [
        {"name": "." * (length - len(bson.encode({"name": ""})))} for length in lengths
    ]
    assert [len(bson.encode(entry)) for entry in entries] == list(lengths)
    return entries


@pytest.mark.parametrize(
    ("lengths", "count"),
    [
        ([50] * 7, 0),
        ([50] * 8, 5),
        # as many as leave less than the most behind
        ([500, 999], 1),
        ([500, 1000], 2),
        ([1200, 50, 50], 1),
        # as many as fit into a bucket with the largest one
        ([1200, 1400, 1400], 1),
        ([1000, 1500], 2),
        ([600, 700, 700, 1200], 3),
        ([3000], 1),
    ],
    ids=str,
)
def test_so_many_of_the_oldest_entries_move(
    lengths: list[int], count: int, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 1000)
    monkeypatch.setattr(history, "MAX_BUCKET_BYTES", 2500)
    assert history._surplus(entries_of(*lengths)) == count


def test_entries_move_as_soon_as_they_take_the_most_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = entries_of(500, 400)
    for most, count in ((history.size(entries) + 1, 0), (history.size(entries), 1)):
        monkeypatch.setattr(history, "MAX_BYTES", most)
        assert history._surplus(entries) == count
        about: Mark = {"bytes": history.size(entries)}
        job: StoredJob = {"uuid": "x", "history": entries, "_history": about}
        assert history.counted(job) == history.size(entries)
        assert history.is_full(job) == bool(count)
    assert history.is_full({"uuid": "x", "history": []})


def test_an_interrupted_move_of_large_entries_is_made_again(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(2):
        send("run", {"number": number, "text": "x" * 600 * KIB})
    jobs.histories.make_room(jobs.load(job["uuid"]))
    for number in range(2, 5):
        send("run", {"number": number, "text": "x" * 600 * KIB})
        assert len(bson.encode(document(db))) < 4 * MIB
    assert numbers(jobs.history(job["uuid"])) == list(range(5))


def test_a_lost_race_to_move_loses_nothing(
    small: None, jobs: PipelineJobStore, job: Document, send: Send, mongodb: dict[str, Any]
) -> None:
    for number in range(history.MAX_ENTRIES - 1):
        send("run", {"number": number})
    mine, theirs = (jobs.load(job["uuid"]) for _ in range(2))
    last = history.MAX_ENTRIES - 1
    PipelineJobStore(mongodb).apply(theirs, "run", {"number": last})
    jobs.apply(mine, "run", {"number": last + 1})
    assert numbers(jobs.history(job["uuid"])) == list(range(last + 2))


def test_the_same_key_is_known_long_after_its_entry_moved(
    small: None, jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    send("run", {"number": 0}, key="event-7")
    for number in range(1, 20):
        send("run", {"number": number})
    assert "event-7" not in str(document(db)["history"])
    assert all(entry["data"] != {"number": 0} for entry in document(db)["history"])
    before = document(db)
    assert send("run", {"number": 0}, key="event-7")["_properties"]["revision"] == 20
    loaded = jobs.load(job["uuid"])
    applied = jobs.apply(loaded, "run", {"number": 0}, key="event-7")
    assert applied.duplicate
    assert applied.entry["_revision"] == 1
    for name, data in (("update", {"number": 0}), ("run", {"number": 1})):
        with pytest.raises(EventConflict):
            send(name, data, key="event-7")
    assert document(db) == before


def test_a_key_in_a_bucket_that_was_never_committed_is_still_found(
    small: None, jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    send("run", {"number": 0}, key="event-7")
    for number in range(1, history.MAX_ENTRIES - 1):
        send("run", {"number": number})
    jobs.histories.make_room(jobs.load(job["uuid"]))
    send("run", {"number": 0}, key="event-7")
    assert numbers(jobs.history(job["uuid"])) == list(range(history.MAX_ENTRIES - 1))


def test_the_first_move_makes_the_indexes_that_an_older_version_did_not_make(
    small: None, job: Document, send: Send, db: Db
) -> None:
    db["jobs_history"].drop()
    for number in range(history.MAX_ENTRIES):
        send("run", {"number": number})
    assert {"job_id_1_first_1", "entries.uuid_1"} <= set(db["jobs_history"].index_information())


@pytest.mark.parametrize("arrived", [[], [1]], ids=["none", "one"])
def test_moving_completes_the_audit_log(
    arrived: list[int], small: None, job: Document, send: Send, db: Db
) -> None:
    for number in range(5):
        send("run", {"number": number})
    lost = {"action": {"$in": ["create", "event"]}, "revision": {"$nin": arrived}}
    db["updates"].delete_many({"uuid": job["uuid"], **lost})
    for number in range(5, 19):
        send("run", {"number": number})
    revisions = sorted(row["revision"] for row in db["updates"].find({"name": "run"}))
    assert revisions == list(range(1, 15))


@pytest.mark.parametrize("mark", ["x", {"moved": "x"}, {"moved": None}, 5], ids=str)
def test_a_damaged_mark_lets_go_of_nothing(
    small: None, mark: Any, jobs: PipelineJobStore, job: Document, db: Db, send: Send
) -> None:
    for _ in range(12):
        send("run")
    buckets = list(db["jobs_history"].find())
    assert buckets
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"_history": mark}})
    # this process remembers the mark as it was
    jobs.heads.take(job["uuid"])
    for _ in range(12):
        with pytest.raises(ValueError, match="is damaged"):
            send("run")
    assert list(db["jobs_history"].find()) == buckets


def test_what_the_document_says_of_its_history_is_read_as_far_as_it_goes() -> None:
    assert history.moved({"uuid": "x"}) == 0
    assert history.moved({"uuid": "x", "_history": {"bytes": 7}}) == 0
    assert history.moved({"uuid": "x", "_history": {"moved": 5}}) == 5
    assert history.counted({"_history": {"bytes": 7}}) == 7
    for about in (None, {}, {"bytes": "7"}, {"moved": 5}):
        assert history.counted(cast("StoredJob", {"_history": about})) is None


def test_an_entry_is_in_the_document_if_one_there_has_its_uuid() -> None:
    job: StoredJob = {"history": ["x", {"uuid": "one"}, {"name": "run"}, {"uuid": "two"}]}
    assert [history.has(job, uuid) for uuid in ("one", "two", "three")] == [True, True, False]
    assert not history.has({"history": [{"uuid": "one"}]}, "two")
    assert not history.has({}, "one")
