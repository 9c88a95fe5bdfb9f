from __future__ import annotations

from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import (
    EventConflict,
    PipelineJobStore,
)
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Send
from tests.datacatalog.jobs import audit, fields, stored


def test_a_second_delivery_changes_nothing(job: Document, send: Send, db: Db) -> None:
    first = send("run", {"step": 1}, key="event-7")
    before, logged = stored(db, job), audit(db, job)
    again = send("run", {"step": 1}, key="event-7")
    assert again == first
    assert stored(db, job) == before
    assert audit(db, job) == logged


def test_a_late_second_delivery_succeeds_in_a_state_that_would_refuse_it(
    send: Send, jobs: PipelineJobStore, job: Document
) -> None:
    send("run", key="event-7")
    send("finish")
    assert send("run", key="event-7")["state"] == "FINISHED"
    assert [e["name"] for e in jobs.history(job["uuid"])] == ["create", "run", "finish"]


def test_a_second_delivery_is_told_the_outcome_of_the_first(
    send: Send, jobs: PipelineJobStore, job: Document
) -> None:
    send("run", key="event-7")
    send("finish")
    applied = jobs.apply(jobs.load(job["uuid"]), "run", {}, key="event-7")
    assert applied.duplicate
    assert (applied.entry["_state"], applied.entry["_revision"]) == ("RUNNING", 1)


@pytest.mark.parametrize(
    ("name", "data"), [("update", {"step": 1}), ("run", {"step": 2}), ("run", {"step": 1.0})]
)
def test_the_same_key_with_another_event_is_refused(
    name: str, data: Any, send: Send, job: Document, db: Db
) -> None:
    send("run", {"step": 1}, key="event-7")
    before = stored(db, job)
    with pytest.raises(
        EventConflict, match=rf"^{name} event: .* another event \(run\) of this job"
    ):
        send(name, data, key="event-7")
    assert stored(db, job) == before


def test_the_order_of_keys_in_the_data_makes_no_other_event(send: Send) -> None:
    send("run", {"a": 1, "b": 2}, key="event-7")
    assert send("run", {"b": 2, "a": 1}, key="event-7")["_properties"]["revision"] == 1


def test_what_was_sent_counts_more_than_what_is_kept(jobs: PipelineJobStore, job: Document) -> None:
    def apply(data: dict[str, Any], sent: dict[str, Any]) -> bool:
        loaded = jobs.load(job["uuid"])
        return jobs.apply(loaded, "run", data, key="event-7", sent=sent).duplicate

    assert not apply({"kept": 1}, {"sent": 1})
    assert apply({"kept": 2}, {"sent": 1})
    with pytest.raises(EventConflict):
        apply({"kept": 1}, {"sent": 2})


def test_the_same_key_for_another_job_is_another_event(
    jobs: PipelineJobStore, pipeline: Document, send: Send
) -> None:
    first = send("run", key="event-7")
    other = jobs.create(fields(pipeline, data={"burritos": 3}))
    event = {"uuid": other["uuid"], "name": "run"}
    second = jobs.handle(event, other["_update_token"], key="event-7")
    assert second["state"] == "RUNNING"
    assert second["history"][-1]["uuid"] != first["history"][-1]["uuid"]


def test_without_a_key_each_event_counts(send: Send) -> None:
    for number in (1, 2):
        assert send("run", {"same": 1})["_properties"]["revision"] == number
