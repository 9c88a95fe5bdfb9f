from __future__ import annotations

import datetime
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore, outbox
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Recorder, Send


@pytest.fixture
def announced(jobs: PipelineJobStore, job: Document) -> Document:
    """A job with one announcement in its outbox: `run`."""
    return jobs.apply(jobs.load(job["uuid"]), "run", {}, announce=True).job


def announce(jobs: PipelineJobStore, job: Document, name: str, **options: Any) -> Document:
    return jobs.apply(jobs.load(job["uuid"]), name, {}, announce=True, **options).job


def claimed(jobs: PipelineJobStore, job: Document, *, early: bool = False) -> Document:
    taken = jobs.outbox.claim(job["uuid"], early=early)
    assert taken is not None
    return taken


def pending(taken: Document) -> list[str]:
    return [item["event"] for item in taken["_outbox"]]


def ids(taken: Document) -> list[str]:
    return [item["id"] for item in taken["_outbox"]]


def deliver(box: outbox.Outbox, taken: Document, most: int | None = None) -> None:
    for item in ids(taken)[:most]:
        box.delivered(taken, item)
    box.release(taken)


def rewind(db: Db, field: str, collection: str = "jobs") -> None:
    """Let a time in the documents be long ago, as it will be."""
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    db[collection].update_many({}, {"$set": {field: past}})


def test_an_announced_event_is_in_the_outbox(jobs: PipelineJobStore, announced: Document) -> None:
    (item,) = claimed(jobs, announced)["_outbox"]
    (entry,) = jobs.history(announced["uuid"], skip=1)
    assert item == {
        "id": entry["uuid"],
        "event": "run",
        "state": "RUNNING",
        "last_event": "run",
        "date": entry["date"],
    }


def test_event_and_announcement_are_one_update(
    recorded_jobs: PipelineJobStore, job: Document, recorder: Recorder
) -> None:
    announce(recorded_jobs, job, "run")
    writes = [event for event in recorder.events if event.command_name == "update"]
    (statement,) = writes[-1].command["updates"]
    assert [event.command["update"] for event in writes] == ["jobs"]
    assert set(statement["u"]["$push"]) == {"history", "_outbox"}


def test_the_announcement_goes_along_when_entries_move(
    jobs: PipelineJobStore, job: Document
) -> None:
    for _ in range(40):
        announce(jobs, job, "run")
    taken = claimed(jobs, job)
    events = [entry["uuid"] for entry in jobs.history(job["uuid"], skip=1)]
    assert [item["id"] for item in taken["_outbox"]] == events
    assert len(events) == 40


def test_an_event_that_is_not_announced_is_not_in_the_outbox(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    send("run")
    assert jobs.outbox.claim(job["uuid"]) is None
    assert list(jobs.outbox.due(everything=True)) == []


def test_a_second_delivery_is_not_announced_again(jobs: PipelineJobStore, job: Document) -> None:
    for _ in range(2):
        announce(jobs, job, "run", key="event-7")
    assert pending(claimed(jobs, job)) == ["run"]


def test_announcements_are_in_the_order_of_the_events(
    jobs: PipelineJobStore, announced: Document
) -> None:
    announce(jobs, announced, "update")
    announce(jobs, announced, "finish")
    assert pending(claimed(jobs, announced)) == ["run", "update", "finish"]


def test_only_one_can_claim_an_outbox(jobs: PipelineJobStore, announced: Document) -> None:
    assert jobs.outbox.claim(announced["uuid"]) is not None
    assert jobs.outbox.claim(announced["uuid"]) is None


def test_a_claim_does_not_keep_events_out(
    jobs: PipelineJobStore, announced: Document, send: Send
) -> None:
    claimed(jobs, announced)
    assert send("finish")["state"] == "FINISHED"


def test_a_claim_whose_holder_died_runs_out(
    jobs: PipelineJobStore, announced: Document, db: Db
) -> None:
    claimed(jobs, announced)
    lease = db["jobs"].find_one({})
    assert lease is not None
    left = lease["_outbox_lease"]["until"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(0) < left <= outbox.LEASE
    rewind(db, "_outbox_lease.until")
    assert pending(claimed(jobs, announced)) == ["run"]
    assert jobs.outbox.claim(announced["uuid"]) is None


def test_what_is_delivered_is_gone(jobs: PipelineJobStore, announced: Document, db: Db) -> None:
    before = set(db["jobs"].find_one({"uuid": announced["uuid"]}) or {})
    taken = claimed(jobs, announced)
    deliver(jobs.outbox, taken)
    assert jobs.outbox.claim(announced["uuid"]) is None
    assert list(jobs.outbox.due(everything=True)) == []
    left = set(db["jobs"].find_one({"uuid": announced["uuid"]}) or {})
    assert before - left == {"_outbox", "_outbox_due"}


def test_what_came_during_a_delivery_stays(jobs: PipelineJobStore, announced: Document) -> None:
    taken = claimed(jobs, announced)
    announce(jobs, announced, "finish")
    deliver(jobs.outbox, taken)
    assert list(jobs.outbox.due()) == [announced["uuid"]]
    assert pending(claimed(jobs, announced)) == ["finish"]


def test_a_partial_delivery_leaves_the_rest(jobs: PipelineJobStore, announced: Document) -> None:
    announce(jobs, announced, "finish")
    taken = claimed(jobs, announced)
    deliver(jobs.outbox, taken, 1)
    assert list(jobs.outbox.due()) == [announced["uuid"]]
    assert pending(claimed(jobs, announced)) == ["finish"]


def test_an_announcement_is_due_at_once(jobs: PipelineJobStore, announced: Document) -> None:
    assert list(jobs.outbox.due()) == [announced["uuid"]]


def test_an_event_read_before_a_delivery_is_due_after_it(
    jobs: PipelineJobStore, announced: Document
) -> None:
    read = jobs.load(announced["uuid"])
    taken = claimed(jobs, announced)
    deliver(jobs.outbox, taken)
    jobs.apply(read, "finish", {}, announce=True)
    assert list(jobs.outbox.due()) == [announced["uuid"]]


def test_a_postponed_delivery_is_not_due_until_its_time(
    jobs: PipelineJobStore, announced: Document, db: Db
) -> None:
    jobs.outbox.postpone(claimed(jobs, announced))
    assert list(jobs.outbox.due()) == []
    assert jobs.outbox.claim(announced["uuid"]) is None
    assert list(jobs.outbox.due(everything=True)) == [announced["uuid"]]
    rewind(db, "_outbox_due")
    assert list(jobs.outbox.due()) == [announced["uuid"]]
    assert pending(claimed(jobs, announced)) == ["run"]


def test_a_postponed_delivery_can_be_claimed_early(
    jobs: PipelineJobStore, announced: Document
) -> None:
    jobs.outbox.postpone(claimed(jobs, announced))
    assert pending(claimed(jobs, announced, early=True)) == ["run"]
    assert jobs.outbox.claim(announced["uuid"], early=True) is None


def test_an_event_does_not_end_the_pause_of_a_postponed_delivery(
    jobs: PipelineJobStore, announced: Document
) -> None:
    jobs.outbox.postpone(claimed(jobs, announced))
    announce(jobs, announced, "finish")
    assert list(jobs.outbox.due()) == []


def test_pauses_grow_up_to_an_hour(jobs: PipelineJobStore, announced: Document, db: Db) -> None:
    pauses = []
    for _ in range(14):
        before = datetime.datetime.now(datetime.timezone.utc)
        jobs.outbox.postpone(claimed(jobs, announced, early=True))
        stored = db["jobs"].find_one({})
        assert stored is not None
        pauses.append(round((stored["_outbox_due"] - before).total_seconds()))
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3600


def test_after_a_delivery_pauses_begin_anew(
    jobs: PipelineJobStore, announced: Document, db: Db
) -> None:
    for _ in range(5):
        jobs.outbox.postpone(claimed(jobs, announced, early=True))
    taken = claimed(jobs, announced, early=True)
    deliver(jobs.outbox, taken)
    announce(jobs, announced, "finish")
    before = datetime.datetime.now(datetime.timezone.utc)
    jobs.outbox.postpone(claimed(jobs, announced))
    stored = db["jobs"].find_one({})
    assert stored is not None
    assert round((stored["_outbox_due"] - before).total_seconds()) == 5


def test_who_waits_longest_comes_first(
    jobs: PipelineJobStore, announced: Document, pipeline: Document, db: Db
) -> None:
    other = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/b", "data": {}}
    )
    announce(jobs, other, "run")
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    db["jobs"].update_one({"uuid": other["uuid"]}, {"$set": {"_outbox_due": past}})
    assert list(jobs.outbox.due()) == [other["uuid"], announced["uuid"]]


def test_a_hidden_job_is_still_announced(jobs: PipelineJobStore, announced: Document) -> None:
    jobs.hide(jobs.load(announced["uuid"]))
    assert list(jobs.outbox.due()) == [announced["uuid"]]
    assert pending(claimed(jobs, announced)) == ["run"]


def test_the_removal_of_a_job_keeps_what_is_pending(
    jobs: PipelineJobStore, announced: Document
) -> None:
    jobs.remove(jobs.load(announced["uuid"]))
    assert jobs.outbox.claim(announced["uuid"]) is None
    assert list(jobs.outbox_of_removed.due()) == [announced["uuid"]]
    taken = jobs.outbox_of_removed.claim(announced["uuid"])
    assert taken is not None
    assert pending(taken) == ["run"]
    deliver(jobs.outbox_of_removed, taken)
    assert list(jobs.outbox_of_removed.due(everything=True)) == []


def test_the_removal_of_a_job_with_nothing_pending_leaves_nothing(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    jobs.remove(jobs.load(job["uuid"]))
    assert list(jobs.outbox_of_removed.due(everything=True)) == []
    assert db["jobs_removed"].count_documents({}) == 0


def test_a_removal_made_again_keeps_what_came_in_between(
    jobs: PipelineJobStore, announced: Document
) -> None:
    # a removal that was interrupted after it took over the outbox, and undone
    jobs.outbox_of_removed.adopt(jobs.load(announced["uuid"]))
    taken = claimed(jobs, announced)
    deliver(jobs.outbox, taken)
    announce(jobs, announced, "finish")
    jobs.remove(jobs.load(announced["uuid"]))
    left = jobs.outbox_of_removed.claim(announced["uuid"])
    assert left is not None
    assert "finish" in pending(left)


def test_a_job_created_again_has_an_outbox_of_its_own(
    jobs: PipelineJobStore, announced: Document, pipeline: Document
) -> None:
    jobs.remove(jobs.load(announced["uuid"]))
    again = jobs.create(
        {
            "pipeline_uuid": pipeline["uuid"],
            "archive_path": "/products/v2/tacos",
            "data": {"tacos": 3},
        }
    )
    assert again["uuid"] == announced["uuid"]
    announce(jobs, again, "update")
    assert pending(claimed(jobs, again)) == ["update"]
    assert list(jobs.outbox_of_removed.due()) == [announced["uuid"]]


def test_a_holder_whose_lease_ran_out_leaves_that_of_the_next_alone(
    jobs: PipelineJobStore, announced: Document, db: Db
) -> None:
    slow = claimed(jobs, announced)
    rewind(db, "_outbox_lease.until")
    announce(jobs, announced, "finish")
    quick = claimed(jobs, announced)
    jobs.outbox.postpone(slow)
    assert jobs.outbox.claim(announced["uuid"], early=True) is None
    deliver(jobs.outbox, slow)
    assert jobs.outbox.claim(announced["uuid"], early=True) is None
    deliver(jobs.outbox, quick)
    assert list(jobs.outbox.due(everything=True)) == []


def test_what_was_delivered_before_a_failure_is_not_delivered_again(
    jobs: PipelineJobStore, announced: Document
) -> None:
    announce(jobs, announced, "finish")
    taken = claimed(jobs, announced)
    assert jobs.outbox.delivered(taken, ids(taken)[0])
    jobs.outbox.postpone(taken)
    assert pending(claimed(jobs, announced, early=True)) == ["finish"]


def test_each_delivery_extends_the_lease(
    jobs: PipelineJobStore, announced: Document, db: Db
) -> None:
    announce(jobs, announced, "finish")
    taken = claimed(jobs, announced)
    rewind(db, "_outbox_lease.until")
    assert jobs.outbox.delivered(taken, ids(taken)[0])
    assert jobs.outbox.claim(announced["uuid"]) is None


def test_a_long_outbox_is_claimed_in_parts(jobs: PipelineJobStore, job: Document) -> None:
    for _ in range(outbox.MOST_CLAIMED + 1):
        announce(jobs, job, "run")
    taken = claimed(jobs, job)
    assert len(taken["_outbox"]) == outbox.MOST_CLAIMED
    deliver(jobs.outbox, taken)
    assert jobs.outbox.holds(job["uuid"])
    deliver(jobs.outbox, claimed(jobs, job))
    assert not jobs.outbox.holds(job["uuid"])


def test_what_an_undone_removal_took_over_is_not_announced_twice(
    jobs: PipelineJobStore, announced: Document
) -> None:
    hidden = jobs.load(announced["uuid"])
    jobs.hide(hidden)
    jobs.outbox_of_removed.adopt(hidden)
    jobs.undelete(announced["uuid"], jobs.get_token(hidden))
    assert list(jobs.outbox_of_removed.due(everything=True)) == []


def test_what_could_not_be_announced_before_an_event_goes_first(
    jobs: PipelineJobStore, job: Document
) -> None:
    asked = []

    def before(found: Document) -> bool:
        asked.append(found["state"])
        return False

    jobs.apply(jobs.load(job["uuid"]), "run", {}, announce=True, before=before)
    assert asked == ["CREATED"]
    entering, entered = claimed(jobs, job)["_outbox"]
    assert (entering["state"], entering["last_event"]) == ("CREATED", "create")
    assert (entered["state"], entered["last_event"]) == ("RUNNING", "run")
    assert entering["id"] != entered["id"]
