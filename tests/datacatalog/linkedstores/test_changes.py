from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest

from datacatalog.linkedstores import changes
from datacatalog.linkedstores.changes import WINDOW, Changes
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.mongo import Db, Document
from tests.conftest import TACOBOT
from tests.datacatalog.conftest import Recorder, Send


@pytest.fixture
def known(jobs: PipelineJobStore, job: Document) -> Changes:
    """What looks at each question, and has seen the job."""
    made = Changes(jobs, seconds=0)
    made.total()
    return made


def test_what_happens_to_a_job_is_a_change_of_it(
    known: Changes, job: Document, jobs: PipelineJobStore, pipeline: Document, send: Send
) -> None:
    other = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/o", "data": {"o": 1}}
    )
    before = known.of(job["uuid"]), known.of(other["uuid"]), known.total()
    assert (known.of(job["uuid"]), known.of(other["uuid"]), known.total()) == before
    send("run")
    assert known.of(job["uuid"]) > before[0]
    assert known.of(other["uuid"]) == before[1]
    assert known.total() > before[2]


def test_a_refusal_a_deletion_and_a_return_are_changes(
    known: Changes, job: Document, jobs: PipelineJobStore, send: Send
) -> None:
    seen = [known.of(job["uuid"])]
    with pytest.raises(EventRefused):
        send("finish")
    seen.append(known.of(job["uuid"]))
    jobs.delete(job["uuid"], job["_update_token"])
    seen.append(known.of(job["uuid"]))
    jobs.undelete(job["uuid"], job["_update_token"])
    seen.append(known.of(job["uuid"]))
    assert seen == sorted(set(seen))


def test_other_documents_change_as_well(known: Changes, mongodb: dict[str, Any]) -> None:
    before = known.total()
    store = PipelineStore(mongodb)
    made = store.add_update_document({**TACOBOT, "id": "burritobot", "name": "Burritobot"})
    assert known.total() > before
    assert known.of(made["uuid"]) > 0


def test_a_change_is_seen_although_the_clock_of_its_writer_is_slow(
    known: Changes, job: Document, db: Db
) -> None:
    before = known.of(job["uuid"])
    late = datetime.datetime.now(datetime.timezone.utc) - WINDOW * 0.8
    db["updates"].insert_one({"uuid": job["uuid"], "date": late, "action": "event"})
    assert known.of(job["uuid"]) > before


def test_a_look_reads_what_is_new_and_is_shared(
    recorded_jobs: PipelineJobStore, recorder: Recorder, job: Document, db: Db
) -> None:
    long_ago = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    db["updates"].insert_many({"uuid": job["uuid"], "date": long_ago} for _ in range(500))
    known = Changes(recorded_jobs, seconds=60)
    recorder.events.clear()
    threads = [threading.Thread(target=known.of, args=(job["uuid"],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.commands == ["find updates", "find rejected_events", "find jobs"]
    assert len(known._seen) < 10


def test_it_does_not_remember_for_ever(
    known: Changes, job: Document, db: Db, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    monkeypatch.setattr(changes, "_MAX_COUNTED", 3)
    send("run")
    before = known.of(job["uuid"])
    now = datetime.datetime.now(datetime.timezone.utc)
    db["updates"].insert_many({"uuid": f"107-{n}", "date": now} for n in range(5))
    assert len(known._counts) <= 4
    # at worst, who remembers a number looks once more than needed
    assert known.of(job["uuid"]) > before


def test_of_very_many_changes_not_all_are_read(
    known: Changes, job: Document, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_MAX_READ", 5)
    moment = datetime.datetime.now(datetime.timezone.utc)
    before = known.of(job["uuid"]), known.total()
    db["updates"].insert_many(
        {"uuid": f"u{n}", "date": moment, "action": "event"} for n in range(50)
    )
    # the job may be among those that were not read
    assert known.of(job["uuid"]) > before[0]
    assert before[1] < known.total() <= before[1] + 3 * 6
