from __future__ import annotations

from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import (
    JobError,
    PipelineJobStore,
    UnknownJob,
)
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidToken
from tests.datacatalog.conftest import Send
from tests.datacatalog.jobs import WRONG_TOKENS, audit, fields, stored


def test_a_deleted_job_is_hidden_unless_it_is_forced(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    hidden = jobs.delete(job["uuid"], job["_update_token"])
    assert hidden["uuid"] == job["uuid"]
    assert hidden["_update_token"] == job["_update_token"]
    assert stored(db, job)["_visible"] is False
    assert jobs.find_one_by_uuid(job["uuid"]) is None
    assert jobs.find(uuid=job["uuid"]) == []
    with pytest.raises(UnknownJob):
        jobs.history(job["uuid"])


def test_a_hidden_job_accepts_no_events(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    jobs.delete(job["uuid"], job["_update_token"])
    before = stored(db, job)
    with pytest.raises(UnknownJob):
        send("run")
    assert stored(db, job) == before
    assert db["rejected_events"].count_documents({}) == 0


def test_an_event_that_meets_a_job_just_hidden_is_refused(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    loaded = jobs.load(job["uuid"])
    jobs.delete(job["uuid"], job["_update_token"])
    with pytest.raises(UnknownJob):
        jobs.apply(loaded, "run", {})
    assert stored(db, job)["state"] == "CREATED"


def test_undelete_brings_a_hidden_job_back(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    send("run")
    jobs.delete(job["uuid"], job["_update_token"])
    jobs.undelete(job["uuid"], job["_update_token"])
    assert send("finish")["state"] == "FINISHED"
    assert [e["name"] for e in jobs.history(job["uuid"])] == ["create", "run", "finish"]


def test_hiding_twice_is_hiding_once(jobs: PipelineJobStore, job: Document, db: Db) -> None:
    jobs.delete(job["uuid"], job["_update_token"])
    before = stored(db, job)
    jobs.delete(job["uuid"], job["_update_token"])
    assert stored(db, job) == before


def test_deleting_an_unknown_job_is_an_error(jobs: PipelineJobStore, job: Document) -> None:
    for act in (jobs.delete, jobs.undelete):
        with pytest.raises(UnknownJob):
            act("107deadb-dead-5ead-8ead-deaddeaddead", job["_update_token"])


@pytest.mark.parametrize("token", WRONG_TOKENS)
def test_only_a_token_brings_a_hidden_job_back(
    token: str, jobs: PipelineJobStore, job: Document
) -> None:
    jobs.delete(job["uuid"], job["_update_token"])
    with pytest.raises(InvalidToken):
        jobs.undelete(job["uuid"], token)
    assert jobs.find_one_by_uuid(job["uuid"]) is None


@pytest.mark.parametrize("hidden_before", [False, True])
def test_a_forced_delete_removes_a_job_and_keeps_its_last_document(
    hidden_before: bool,
    jobs: PipelineJobStore,
    job: Document,
    send: Send,
    db: Db,
) -> None:
    send("run", {"a.b": {"$c": 1}})
    if hidden_before:
        jobs.delete(job["uuid"], job["_update_token"])
    last = stored(db, job)
    removed = jobs.delete(job["uuid"], job["_update_token"], force=True)
    assert removed["uuid"] == job["uuid"]
    assert "_update_token" not in removed
    assert db["jobs"].count_documents({}) == 0
    (row,) = db["updates"].find(
        {"uuid": job["uuid"], "action": "delete", "document": {"$exists": True}}
    )
    kept = row["document"]
    assert kept["history"] == last["history"]
    assert kept["_salt"] == last["_salt"]
    assert (kept["uuid"], kept["state"], kept["data"]) == (job["uuid"], "RUNNING", {"tacos": 3})


def test_a_removed_job_can_be_put_back_by_hand(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(40):
        send("run", {"number": number})
    history = jobs.history(job["uuid"])
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    assert db["jobs_history"].count_documents({}) == 0
    for row in db["updates"].find({"uuid": job["uuid"], "bucket": {"$exists": True}}):
        db["jobs_history"].insert_one(row["bucket"])
    (row,) = db["updates"].find(
        {"uuid": job["uuid"], "action": "delete", "document": {"$exists": True}}
    )
    db["jobs"].insert_one(row["document"])
    jobs.undelete(job["uuid"], job["_update_token"])
    assert jobs.history(job["uuid"]) == history
    assert send("finish")["state"] == "FINISHED"


def test_a_job_created_again_after_its_removal_starts_fresh(
    jobs: PipelineJobStore, job: Document, pipeline: Document, send: Send
) -> None:
    for _ in range(40):
        send("run")
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    again = jobs.create(fields(pipeline, data={"tacos": 3}))
    assert again["uuid"] == job["uuid"]
    assert again["_properties"]["revision"] == 0
    assert (again["state"], again["last_event"]) == ("CREATED", "create")
    assert [entry["name"] for entry in jobs.history(job["uuid"])] == ["create"]
    with pytest.raises(InvalidToken):
        send("run")
    assert send("run", token=again["_update_token"])["_properties"]["revision"] == 1


def test_events_of_a_job_created_again_are_in_the_audit_log_too(
    jobs: PipelineJobStore, job: Document, pipeline: Document, send: Send, db: Db
) -> None:
    send("run", key="event-7")
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    again = jobs.create(fields(pipeline, data={"tacos": 3}))
    assert send("run", token=again["_update_token"], key="event-7")["state"] == "RUNNING"
    jobs.delete(job["uuid"], again["_update_token"], force=True)
    actions = [row["action"] for row in audit(db, job)]
    assert actions == ["create", "event", "hide", "delete"] * 2


def test_the_links_to_a_removed_job_are_left_alone(
    jobs: PipelineJobStore, job: Document, pipeline: Document
) -> None:
    child = jobs.create(fields(pipeline, child_of=[job["uuid"]]))
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    found = jobs.find_one_by_uuid(child["uuid"])
    assert found is not None
    assert found["child_of"] == [job["uuid"]]


class InterruptedRunError(RuntimeError):
    """The process ends here."""


def test_an_interrupted_removal_keeps_the_job_and_can_be_completed(
    jobs: PipelineJobStore,
    job: Document,
    send: Send,
    db: Db,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(_: Document) -> None:
        raise InterruptedRunError

    for _ in range(40):
        send("run")
    history = jobs.history(job["uuid"])
    with monkeypatch.context() as patch:
        patch.setattr(jobs.untold, "adopt", interrupt)
        with pytest.raises(InterruptedRunError):
            jobs.delete(job["uuid"], job["_update_token"], force=True)
    jobs.undelete(job["uuid"], job["_update_token"])
    assert jobs.history(job["uuid"]) == history
    send("finish")
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    assert db["jobs"].count_documents({}) == 0
    last = list(
        db["updates"].find({"action": "delete", "document": {"$exists": True}}, sort=[("date", 1)])
    )[-1]
    assert last["document"]["state"] == "FINISHED"
    assert last["document"]["history"][-1]["name"] == "finish"


def test_a_job_brought_back_during_its_removal_keeps_its_history_or_goes(
    jobs: PipelineJobStore,
    job: Document,
    send: Send,
    mongodb: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(40):
        send("run")
    history = jobs.history(job["uuid"])
    adopt, others = jobs.untold.adopt, [PipelineJobStore(mongodb)]

    def adopt_while_it_is_brought_back(removed: StoredJob) -> None:
        adopt(removed)
        if others:
            others.pop().undelete(job["uuid"], job["_update_token"])

    with monkeypatch.context() as patch:
        patch.setattr(jobs.untold, "adopt", adopt_while_it_is_brought_back)
        try:
            jobs.delete(job["uuid"], job["_update_token"], force=True)
        except JobError as error:
            assert str(error)  # noqa: PT017 - it may be refused, or done
    found = jobs.find_one_by_uuid(job["uuid"])
    assert found is None or found["history"] == history


def test_a_removal_that_a_former_version_has_written_down_is_found(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    removal = {"action": "delete", "document": {"$exists": True}}
    assert db["updates"].update_one(removal, {"$set": {"action": "remove"}}).modified_count == 1
    assert jobs.load_removed(job["uuid"])["uuid"] == job["uuid"]
