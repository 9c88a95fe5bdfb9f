"""The checker finds what it is there to find: one that cannot fail would prove nothing."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from typing import Any

import pytest

from tests.reliability.checker import (
    MARK,
    Job,
    Outcome,
    Record,
    announcement_problems,
    exclusion_problems,
    leaks,
    problems,
)

NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.timezone.utc)
JOB = "107a"
EVENTS = [("create", "CREATED"), ("run", "RUNNING"), ("update", "RUNNING"), ("finish", "FINISHED")]


def entry(number: int, name: str, state: str) -> dict[str, Any]:
    return {
        "name": name,
        "date": NOON + datetime.timedelta(seconds=number),
        "uuid": f"entry-{number}",
        "data": {MARK: f"e{number}"},
        "_state": state,
        "_revision": number,
    }


def healthy() -> Job:
    """A job with two entries in a bucket and two in its document."""
    entries = [entry(number, *event) for number, event in enumerate(EVENTS)]
    bucket = {"first": 0, "last": 1, "entries": entries[:2]}
    document = {
        "uuid": JOB,
        "state": "FINISHED",
        "last_event": "finish",
        "history": entries[2:],
        "_history": {"moved": 2},
        "_properties": {"revision": 3},
    }
    return Job(document, [bucket])


def record(**outcomes: Outcome) -> Record:
    """A record in which the events of the healthy job were acknowledged, unless it is said."""
    made = Record()
    known = {**dict.fromkeys(("e1", "e2", "e3"), Outcome.ACKNOWLEDGED), **outcomes}
    for event, outcome in known.items():
        made.sent(JOB, event).outcome = outcome
    return made


def test_nothing_is_found_where_all_is_well() -> None:
    assert problems(record(), [healthy()]) == []
    assert problems(record(e2=Outcome.UNKNOWN, e9=Outcome.UNKNOWN), [healthy()]) == []
    assert problems(record(e9=Outcome.REFUSED), [healthy()]) == []


def test_a_second_delivery_whose_answer_was_lost_leaves_an_acknowledged_event() -> None:
    calls = record()
    calls.sent(JOB, "e1")
    assert calls.events()[JOB, "e1"] is Outcome.ACKNOWLEDGED
    for outcome in (Outcome.REFUSED, Outcome.UNKNOWN):
        calls.sent(JOB, "e9").outcome = outcome
    assert calls.events()[JOB, "e9"] is Outcome.UNKNOWN


def append_again(job: Job, name: str = "update") -> None:
    """Repeat an event, as one that was applied twice: legal, counted, and of its own uuid."""
    document, last = job.document, job.document["history"].pop()
    again = {**entry(3, name, "RUNNING"), "data": {MARK: "e2"}}
    document["history"] += [again, {**last, "_revision": 4, "uuid": "entry-4"}]
    document["history"][-1]["date"] += datetime.timedelta(seconds=1)
    document["_properties"]["revision"] = 4


def lose(job: Job) -> None:
    """Take an event out as if it had never been applied."""
    del job.document["history"][0]
    job.document["history"][0]["_revision"] = 2
    job.document["_properties"]["revision"] = 2


def swap_dates(job: Job) -> None:
    first, second = job.document["history"]
    first["date"], second["date"] = second["date"], first["date"]


def swap_entries(job: Job) -> None:
    job.document["history"].reverse()


def skip_revision(job: Job) -> None:
    job.document["history"][-1]["_revision"] = 7


def lose_bucket(job: Job) -> None:
    job.buckets[0]["entries"].pop()


def forget_the_mark(job: Job) -> None:
    del job.document["_history"]


def forge_state(job: Job) -> None:
    job.document["state"] = "RUNNING"


def forge_last_event(job: Job) -> None:
    job.document["last_event"] = "update"


def forge_revision(job: Job) -> None:
    job.document["_properties"]["revision"] = 4


def forge_event(job: Job) -> None:
    job.buckets[0]["entries"][1]["name"] = "finish"


def forget_creation(job: Job) -> None:
    job.buckets[0]["entries"][0]["name"] = "run"


def reuse_uuid(job: Job) -> None:
    job.document["history"][1]["uuid"] = job.document["history"][0]["uuid"]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lose, "I1: e2 was acknowledged and is lost"),
        (append_again, "I1: e2 was acknowledged and is there 2 times"),
        (forge_event, "I4: entry 1 (finish) is not allowed in CREATED"),
        (forget_creation, "I4: the history does not begin with create"),
        (forge_state, "I4: the stored state is RUNNING, the history ends in FINISHED"),
        (forge_last_event, "I4: the last event is finish, not update"),
        (forge_revision, "I4: the revision is 4 after 3 changes"),
        (swap_dates, "I5: entry 3 is dated before the one before it"),
        (swap_entries, "I5: entry 3 is dated before the one before it"),
        (skip_revision, "I5: entry 3 has revision 7 after 2"),
        (lose_bucket, "I5: the bucket 0 to 1 has 1 entries"),
        (forget_the_mark, "I5: 0 entries are said to have moved, the buckets have 2"),
        (reuse_uuid, "I5: two entries have one uuid"),
    ],
)
def test_damage_is_found(damage: Callable[[Job], None], found: str) -> None:
    job = copy.deepcopy(healthy())
    damage(job)
    assert any(problem.startswith(found) for problem in problems(record(), [job]))


def test_a_lost_job_is_found() -> None:
    assert problems(record(), []) == [
        f"I1: {event} was acknowledged and is lost" for event in ("e1", "e2", "e3")
    ]


def test_what_was_refused_and_is_there_is_found() -> None:
    assert problems(record(e2=Outcome.REFUSED), [healthy()]) == ["I2: e2 was refused and is there"]


def test_what_is_unknown_and_there_twice_is_found() -> None:
    job = healthy()
    append_again(job)
    assert problems(record(e2=Outcome.UNKNOWN), [job]) == ["I3: e2 is there 2 times"]


def test_what_nobody_sent_is_found() -> None:
    calls = record()
    calls.calls.pop()
    assert problems(calls, [healthy()]) == [f"I3: e3 was never sent to job {JOB}"]


def test_a_change_that_is_no_event_has_a_revision() -> None:
    job = healthy()
    job.document["_properties"]["revision"] = 4
    assert problems(record(), [Job(job.document, job.buckets, other_changes=1)]) == []


def test_a_race_that_two_have_won_is_found() -> None:
    rivals = {"e2": "finish", "e3": "fail"}
    assert [*exclusion_problems(record(), healthy(), rivals)] == [
        "I6: of events that exclude each other ['fail', 'finish'] were applied"
    ]


def test_a_loser_that_is_not_kept_is_found() -> None:
    rivals = {"e3": "finish", "e4": "fail"}
    calls = record(e4=Outcome.REFUSED)
    assert [*exclusion_problems(calls, healthy(), rivals)] == ["I6: e4 was refused and is not kept"]
    row = {"event": {"name": "fail", "data": {MARK: "e4"}}}
    kept = Job(healthy().document, healthy().buckets, rejected=[row])
    assert [*exclusion_problems(calls, kept, rivals)] == []


def told(*numbers: int) -> list[dict[str, Any]]:
    return [
        {"job_uuid": JOB, "event_name": EVENTS[number][0], "job_state": EVENTS[number][1]}
        for number in numbers
    ]


@pytest.mark.parametrize("order", [(1, 2, 3), (1, 1, 2, 3), (1, 2, 3, 3)])
def test_what_was_told_in_order_is_well(order: tuple[int, ...]) -> None:
    assert [*announcement_problems([healthy()], {"page": told(*order)})] == []


@pytest.mark.parametrize("order", [(), (1, 2), (2, 3), (1, 3), (1, 3, 2), (1, 2, 1, 3)])
def test_a_missing_or_overtaken_announcement_is_found(order: tuple[int, ...]) -> None:
    (problem,) = announcement_problems([healthy()], {"page": told(*order)})
    assert problem.startswith("I7: page was told ")


def test_one_of_two_alike_announcements_that_is_missing_is_found() -> None:
    job = healthy()
    append_again(job)
    assert [*announcement_problems([job], {"page": told(1, 2, 3)})] == [
        f"I7: page was told of job {JOB} 3 of 4 events"
    ]


def test_a_secret_that_can_be_read_is_found() -> None:
    texts = {"the log": "INFO job 107a: run", "the page": "<td>hush-hush</td>"}
    assert [*leaks({"the password": "hush-hush"}, texts)] == ["I8: the password is in the page"]
