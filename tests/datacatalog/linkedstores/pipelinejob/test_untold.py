from __future__ import annotations

import datetime
from typing import Any

import pytest

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob import untold as module
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.linkedstores.pipelinejob.untold import LEASE, Left, Untold
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Recorder, Send
from tests.datacatalog.jobs import fields


@pytest.fixture
def untold(jobs: PipelineJobStore) -> Untold:
    return jobs.untold


def head_of(untold: Untold, job: Document) -> StoredJob:
    (head,) = [head for head in untold.fresh(99) if head["uuid"] == job["uuid"]]
    return head


def told(untold: Untold, job: Document) -> StoredJob:
    """Hand out everything of a job; return it as it was before."""
    head = head_of(untold, job)
    untold.advance([(head, 99, True)])
    return head


def names(untold: Untold, head: StoredJob, first: int = 0) -> list[str]:
    return [str(entry["name"]) for entry in untold.entries(head, first, 999)]


def test_a_new_job_has_everything_to_be_told(untold: Untold, job: Document) -> None:
    head = head_of(untold, job)
    assert (head["_untold"], names(untold, head)) == (0, ["create"])


def test_an_event_and_its_mark_are_one_update(
    recorded_jobs: PipelineJobStore, job: Document, recorder: Recorder
) -> None:
    recorded_jobs.apply(recorded_jobs.load_head(job["uuid"]), "run", {}, first=True)
    writes = [event for event in recorder.events if event.command_name != "find"]
    (statement,) = writes[-1].command["updates"]
    assert [event.command["update"] for event in writes] == ["jobs"]
    assert statement["u"]["$min"] == {"_untold": 1}


def test_what_was_handed_out_is_not_fresh(untold: Untold, job: Document, send: Send) -> None:
    told(untold, job)
    assert untold.fresh(9) == []
    send("run")
    assert head_of(untold, job)["_untold"] == 1
    send("update")
    assert head_of(untold, job)["_untold"] == 1


def test_an_event_that_came_meanwhile_stays_fresh(
    untold: Untold, job: Document, send: Send
) -> None:
    head = head_of(untold, job)
    send("run")
    untold.advance([(head, 1, True)])
    assert head_of(untold, job)["_untold"] == 1


@pytest.mark.parametrize("events", [3, 50])
def test_entries_are_found_wherever_they_are(
    untold: Untold, job: Document, send: Send, events: int
) -> None:
    for _ in range(events):
        send("run")
    send("finish")
    head = head_of(untold, job)
    assert names(untold, head) == ["create", *["run"] * events, "finish"]
    assert names(untold, head, events) == ["run", "finish"]


@pytest.mark.parametrize("events", [3, 25])
def test_what_is_to_be_told_of_a_removed_job_is_in_the_audit_log(
    untold: Untold, jobs: PipelineJobStore, job: Document, send: Send, events: int
) -> None:
    told(untold, job)
    for _ in range(events):
        send("run")
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    head = head_of(untold, job)
    assert (head["_untold"], head["_removed"]) == (1, True)
    assert names(untold, head, 1) == ["run"] * events
    told(untold, job)
    assert untold.fresh(9) == []
    assert untold.count() == 0


def test_a_removed_job_of_which_somebody_is_behind_is_kept_until_they_are_not(
    untold: Untold, jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    head = told(untold, job)
    untold.leave_behind([Left(head, now(), {"lab": {"told": -1}})])
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    found = untold.head(head["_id"])
    assert found is not None
    assert names(untold, found) == ["create"]
    untold.caught_up(head["_id"], "lab")
    assert db["jobs_removed"].count_documents({}) == 0


def test_of_a_removed_job_with_nothing_to_be_told_nothing_is_kept(
    untold: Untold, jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    told(untold, job)
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    assert db["jobs_removed"].count_documents({}) == 0


def test_a_job_whose_removal_was_not_completed_is_told_once(
    untold: Untold, jobs: PipelineJobStore, job: Document
) -> None:
    stored = jobs.load(job["uuid"])
    untold.adopt(stored)
    (head,) = untold.fresh(9)
    assert "_removed" not in head
    jobs.hide(stored)
    jobs.undelete(job["uuid"], job["_update_token"])
    assert untold.removed.count_documents({}) == 0


def test_what_a_removal_has_left_that_was_not_completed_is_not_told_when_the_job_is_removed(
    untold: Untold, jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    untold.adopt(jobs.load(job["uuid"]))
    send("run")
    told(untold, job)
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    assert untold.fresh(9) == []
    assert untold.removed.count_documents({}) == 0


def test_without_anybody_to_tell_all_is_forgotten(
    untold: Untold, jobs: PipelineJobStore, job: Document
) -> None:
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    untold.forget_all()
    assert untold.count() == 0


def test_many_jobs_are_forgotten_little_by_little(
    recorded_jobs: PipelineJobStore,
    recorder: Recorder,
    pipeline: Document,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MAX_FORGOTTEN", 2)
    for number in range(5):
        recorded_jobs.create(fields(pipeline, data={"number": number}))
    recorder.events.clear()
    recorded_jobs.untold.forget_all()
    assert recorder.commands.count("update jobs") == 3
    assert recorded_jobs.untold.count() == 0


def test_who_is_behind_is_noted_once_for_each_job(
    untold: Untold, job: Document, send: Send
) -> None:
    head, since = told(untold, job), now()
    for number in range(3):
        untold.leave_behind([Left(head, now(), {"lab": {"told": number}, "page": {"told": 7}})])
    (found,) = untold.behind.find()
    assert sorted(found["who"]) == ["lab", "page"]
    assert found["since"] - since < datetime.timedelta(seconds=1)
    assert untold.laggards([job["uuid"]]) == {job["uuid"]: [found]}
    untold.note_told(head["_id"], "lab", 3)
    untold.note_failure(head["_id"], "page", {"tries": 2, "due": since, "reason": "why"})
    (found,) = untold.pending("page", None, 9)
    failed = {"told": 7, "tries": 2, "due": since, "reason": "why"}
    assert found["behind"] == {"lab": {"told": 3}, "page": failed}
    untold.caught_up(head["_id"], "lab")
    assert untold.pending("lab", None, 9) == []
    untold.forget("page")
    assert untold.behind.count_documents({}) == 0


def test_a_lag_is_told_in_jobs_events_and_time(untold: Untold, job: Document, send: Send) -> None:
    assert untold.lag("lab") == (0, 0, None)
    head, since = told(untold, job), now()
    for _ in range(30):
        send("run")
    untold.leave_behind([Left(head, since, {"lab": {"told": 4}})])
    assert untold.lag("lab") == (1, 26, since)


def test_those_who_wait_longest_come_first(untold: Untold, job: Document) -> None:
    head, moment = told(untold, job), now()
    jobs: list[StoredJob] = [{**head, "_id": number, "uuid": str(number)} for number in range(5)]
    for number, each in enumerate(jobs):
        since = moment - datetime.timedelta(minutes=number // 2)
        untold.leave_behind([Left(each, since, {"lab": {"told": 0}})])
    order: list[Any] = []
    after = None
    while page := untold.pending("lab", after, 2):
        order += [each["_id"] for each in page]
        after = page[-1]["since"], page[-1]["_id"]
    assert order == [4, 2, 3, 0, 1]


def test_one_process_has_the_lease_until_it_gives_it_back(untold: Untold, db: Db) -> None:
    assert untold.lease("first")
    assert untold.lease("first")
    assert not untold.lease("second")
    assert untold.holder() == "first"
    untold.release("second")
    assert not untold.lease("second")
    untold.release("first")
    assert untold.lease("second")
    db["leases"].update_one({}, {"$set": {"until": now() - LEASE}})
    assert untold.holder() is None
    assert untold.lease("third")


def test_a_lease_from_before_the_clock_was_set_back_is_over(untold: Untold, db: Db) -> None:
    assert untold.lease("first")
    db["leases"].update_one({}, {"$set": {"until": now() + datetime.timedelta(days=1)}})
    assert untold.holder() is None
    assert untold.lease("second")
    assert untold.holder() == "second"
    assert not untold.lease("first")
