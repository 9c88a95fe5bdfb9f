"""What an event costs, in counts: questions to the database, and bytes that go to it and come back."""

from __future__ import annotations

from typing import Any

import pymongo
import pytest

from datacatalog.linkedstores.pipelinejob import EventConflict, PipelineJobStore, history
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Scales, Send

ONE_READ_ONE_WRITE = ["find jobs", "update jobs"]
LONG = 5000


def applied(store: PipelineJobStore, job: Document, **options: Any) -> None:
    """Apply an event as the actor does."""
    store.apply(store.load_head(job["uuid"]), "run", {"step": 1}, **options)


def fill(send: Send, entries: int, **data: Any) -> None:
    """Send events until so many are in the document."""
    for _ in range(entries):
        send("run", data)


@pytest.mark.parametrize("entries", [1, 15, history.MAX_ENTRIES + 1])
@pytest.mark.parametrize("options", [{}, {"key": "execution:7", "first": True}], ids=str)
def test_an_event_costs_one_read_and_one_write(
    entries: int,
    options: dict[str, Any],
    weighed: PipelineJobStore,
    scales: Scales,
    job: Document,
    send: Send,
) -> None:
    fill(send, entries)
    scales.forget()
    applied(weighed, job, **options)
    assert scales.commands == ONE_READ_ONE_WRITE
    assert scales.events[-1].command["writeConcern"] == {"w": "majority", "j": True}


def test_an_event_that_is_handled_in_process_costs_one_read_and_one_write_the_next_one_of_both(
    weighed: PipelineJobStore, scales: Scales, job: Document
) -> None:
    def handle() -> list[str]:
        scales.forget()
        weighed.handle({"uuid": job["uuid"], "name": "run", "data": {}}, job["_update_token"])
        return scales.commands

    assert handle() == ONE_READ_ONE_WRITE
    for _ in range(history.MAX_ENTRIES - 2):
        assert handle() == ["findAndModify jobs"]
    assert scales.events[-1].command["writeConcern"] == {"w": "majority", "j": True}
    # older entries move
    assert len(handle()) > len(ONE_READ_ONE_WRITE)
    assert handle() == ["findAndModify jobs"]
    PipelineJobStore(weighed.db).handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"])
    # what another process has written since is read, and no older entry
    assert handle() == ["findAndModify jobs", *ONE_READ_ONE_WRITE]


@pytest.mark.parametrize("moved", [0, LONG])
def test_a_further_event_of_a_job_in_one_process_costs_one_write(
    moved: int, weighed: PipelineJobStore, scales: Scales, job: Document, db: Db
) -> None:
    # as after so many events, without sending them all
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"_history.moved": moved}})
    applied(weighed, job)
    for number in range(history.MAX_ENTRIES - 3):
        scales.forget()
        head = weighed.heads.take(job["uuid"])
        assert head is not None
        key = f"execution:{number}"
        event = weighed.new_event(head, "update", {"step": 1}, key=key, first=True)
        weighed.apply_event(head, event, remembered=True)
        assert scales.commands == ["update jobs"]
        assert scales.weigh().sent < 1500
    assert len((db["jobs"].find_one({"uuid": job["uuid"]}) or {})["history"]) > 20


def test_a_key_that_may_be_an_old_one_costs_a_look_once_entries_have_moved(
    weighed: PipelineJobStore, scales: Scales, job: Document, send: Send
) -> None:
    fill(send, 3)
    scales.forget()
    applied(weighed, job, key="event:7")
    assert scales.commands == ONE_READ_ONE_WRITE
    fill(send, history.MAX_ENTRIES)
    scales.forget()
    applied(weighed, job, key="event:8")
    assert scales.commands == ["find jobs", "find jobs_history", "update jobs"]
    # each further condition costs the embedded server as much again
    assert list(scales.events[1].command["filter"]) == ["entries.uuid"]


def test_a_further_event_with_a_key_costs_that_look_and_one_write(
    weighed: PipelineJobStore, scales: Scales, job: Document
) -> None:
    def handle(number: int) -> list[str]:
        scales.forget()
        event = {"uuid": job["uuid"], "name": "run", "data": {}}
        weighed.handle(event, job["_update_token"], key=f"event:{number}")
        return scales.commands

    assert handle(0) == ONE_READ_ONE_WRITE
    for number in range(1, history.MAX_ENTRIES - 1):
        assert handle(number) == ["findAndModify jobs"]
    handle(history.MAX_ENTRIES)
    assert handle(history.MAX_ENTRIES + 1) == ["find jobs_history", "findAndModify jobs"]


def test_a_move_costs_three_questions_more_every_twenty_events(
    weighed: PipelineJobStore, scales: Scales, job: Document, send: Send
) -> None:
    fill(send, history.MAX_ENTRIES - 1)
    scales.forget()
    applied(weighed, job)
    # the first move of a job also sees to the indexes of the buckets
    asked = [command for command in scales.commands if command.startswith(("find", "update"))]
    assert asked == ["find jobs", "find jobs", "update jobs"]
    fill(send, history.MOVED_ENTRIES - 1)
    scales.forget()
    applied(weighed, job)
    assert scales.commands == [
        "find jobs",
        "find jobs",
        "insert jobs_history",
        "insert updates",
        "update jobs",
    ]


def test_a_sender_is_authorized_before_any_data_is_read(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    fill(send, 2, text="x")
    head = jobs.load_head(job["uuid"])
    assert jobs.get_token(head) == job["_update_token"]
    assert "data" not in head
    assert {name for entry in head["history"] for name in entry} == {"uuid"}


def test_neither_the_data_of_a_job_nor_that_of_its_events_is_read_or_sent_again(
    weighed: PipelineJobStore, scales: Scales, pipeline: Document
) -> None:
    weights = []
    for text in ("", "x" * 100_000):
        fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/a", "data": {"text": text}}
        job = weighed.create(fields)
        for _ in range(3):
            weighed.apply(weighed.load_head(job["uuid"]), "run", {"text": text})
        scales.forget()
        applied(weighed, job)
        weights.append(scales.weigh())
    small, large = weights
    assert abs(large.sent - small.sent) < 100
    assert abs(large.received - small.received) < 100


def test_an_entry_leads_to_the_execution_that_brought_it_for_a_few_bytes(
    weighed: PipelineJobStore, scales: Scales, job: Document
) -> None:
    execution = "0rGkJ8Vb3X5wA"
    weights = []
    for known in (None, execution):
        scales.forget()
        applied(weighed, job, execution_id=known)
        weights.append(scales.weigh())
    assert weights[1].sent - weights[0].sent < len(execution) + 20
    assert abs(weights[1].received - weights[0].received) < 100
    stored = weighed.load(job["uuid"])
    brought = [entry["execution"] for entry in JobSearch(weighed).entries(stored)]
    assert brought == [None, None, execution]
    assert {"_execution", "execution"}.isdisjoint(weighed.public(stored)["history"][-1])


def test_an_event_of_a_long_history_weighs_what_one_of_a_short_one_does(
    weighed: PipelineJobStore, scales: Scales, job: Document, send: Send, db: Db
) -> None:
    fill(send, 9)
    scales.forget()
    applied(weighed, job)
    short = scales.weigh()
    # as after 5,000 events, without sending them all
    db["jobs"].update_one(
        {"uuid": job["uuid"]},
        {"$set": {"_history.moved": LONG, "_properties.revision": LONG + 10}},
    )
    fill(send, 9)
    scales.forget()
    applied(weighed, job)
    long = scales.weigh()
    assert scales.commands == ONE_READ_ONE_WRITE
    entry = 100
    assert long.received - short.received < 10 * entry
    assert abs(long.sent - short.sent) < entry
    assert max(short.sent, long.sent) < 1500
    assert max(short.received, long.received) < 3000


# What is not read is not taken for granted


def test_what_was_written_without_a_count_is_counted_once(
    weighed: PipelineJobStore, scales: Scales, job: Document, send: Send, db: Db
) -> None:
    fill(send, 5)
    written = db["jobs"].find_one({"uuid": job["uuid"]}) or {}
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"_history": {"moved": 0}}})
    scales.forget()
    applied(weighed, job)
    assert scales.commands == ["find jobs", "find jobs", "update jobs"]
    counted = (db["jobs"].find_one({"uuid": job["uuid"]}) or {})["_history"]
    assert counted["bytes"] == history.size(weighed.load(job["uuid"])["history"])
    assert counted["bytes"] > written["_history"]["bytes"]
    scales.forget()
    applied(weighed, job)
    assert scales.commands == ONE_READ_ONE_WRITE


def test_a_second_delivery_is_known_by_the_head_of_a_job(
    jobs: PipelineJobStore, job: Document
) -> None:
    for first in (True, False, True):
        done = jobs.apply(jobs.load_head(job["uuid"]), "run", {"n": 1}, key="k", first=first)
        assert done.entry["data"] == {"n": 1}
        assert done.entry["_revision"] == 1
    assert done.duplicate
    with pytest.raises(EventConflict):
        jobs.apply(jobs.load_head(job["uuid"]), "run", {"n": 2}, key="k", first=True)
    assert len(jobs.history(job["uuid"])) == 2


def test_an_entry_that_moves_between_two_reads_is_found(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    jobs.apply(jobs.load(job["uuid"]), "run", {"n": 1}, key="k")
    head = jobs.load_head(job["uuid"])
    fill(send, history.MAX_ENTRIES)
    done = jobs.apply(head, "run", {"n": 1}, key="k")
    assert done.duplicate
    assert done.entry["_revision"] == 1


def test_after_an_uncertain_answer_the_entry_is_found_though_it_has_moved(
    mongodb: dict[str, Any], job: Document, send: Send
) -> None:
    class Breaking(PipelineJobStore):
        broken = False

        def commit(self, *args: Any, **operators: Any) -> bool:
            done = super().commit(*args, **operators)
            if not self.broken:
                self.broken = True
                fill(send, history.MAX_ENTRIES)
                raise pymongo.errors.AutoReconnect
            return done

    store = Breaking(mongodb)
    head = store.load_head(job["uuid"])
    done = store.apply(head, "run", {"n": 1}, key="execution:1", first=True)
    assert done.duplicate
    entries = store.history(job["uuid"])
    assert [entry["data"] for entry in entries].count({"n": 1}) == 1
    assert len(entries) == history.MAX_ENTRIES + 2


def test_several_events_can_be_applied_to_one_head(jobs: PipelineJobStore, job: Document) -> None:
    head = jobs.load_head(job["uuid"])
    for number in range(60):
        head = jobs.apply(head, "run", {"number": number}).job
    entries = jobs.history(job["uuid"])
    assert [entry["data"].get("number") for entry in entries[1:]] == list(range(60))
