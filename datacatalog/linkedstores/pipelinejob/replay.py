"""Whether a job's history tells how the job came to be as it is.

The history is replayed through the state machine: each event must have been allowed, the last one
must have led to the stored state, and the revisions must leave no gap but for changes that are not
events, which the audit log knows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from datacatalog.linkedstores.basestore.linked import DELETE, HIDE
from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.pipelinejob import former_salts
from datacatalog.linkedstores.pipelinejob.exceptions import EventRefused
from datacatalog.linkedstores.pipelinejob.fsm import (
    FIRST_EVENT,
    FIRST_STATE,
    TRANSITIONS,
    next_state,
)
from datacatalog.linkedstores.pipelinejob.history import moved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.reader import JobReader
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob

DAMAGE = (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError)
"""What reading a document raises that is not of the form in which jobs are stored."""
_MAX_PROBLEMS = 20
_ATTEMPTS = 5
_OTHER_CHANGES = (DELETE, HIDE, "undelete", "link", "write", former_salts.ACTION)


def unreadable(error: Exception) -> str:
    """Return in words that a document is damaged."""
    return f"cannot be read: {type(error).__name__} ({error!s:.200})"


class Verified(NamedTuple):
    """What was found out about a job."""

    uuid: str
    events: int
    problems: list[str]


def verify(jobs: JobReader, job: StoredJob) -> Verified:
    """Replay the history of a job.

    Args:
        jobs: the store.
        job: as it is stored. If it has changed or gone meanwhile, the one that is there now counts.
    """
    try:
        return _verify_as_it_is_now(jobs, job)
    except DAMAGE as error:
        return Verified(str(job.get("uuid")), 0, [unreadable(error)])


def _verify_as_it_is_now(jobs: JobReader, job: StoredJob) -> Verified:
    found = _verify(jobs, job)
    for _ in range(_ATTEMPTS):
        if not found.problems:
            break
        again = jobs.coll.find_one({"_id": job["_id"]})
        if again is None:
            return Verified(job["uuid"], found.events, [])
        if _revision(again) == _revision(job) and moved(again) == moved(job):
            break
        job, found = again, _verify(jobs, again)
    return found


def _verify(jobs: JobReader, job: StoredJob) -> Verified:
    entries: list[Entry] = []
    problems = [*_bucket_problems(jobs, job, entries)]
    problems += _order_problems(entries)
    problems += _event_problems(job, entries)
    problems += _revision_problems(jobs, job, entries)
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        problems = [*problems[:_MAX_PROBLEMS], f"and {more:,} more"]
    return Verified(job["uuid"], len(entries), problems)


def _bucket_problems(jobs: JobReader, job: StoredJob, entries: list[Entry]) -> Iterator[str]:
    """Collect the entries of a job; yield what is wrong with how they are kept."""
    expected, mark = 0, moved(job)
    for bucket in jobs.histories.of(job):
        first, last = bucket["first"], bucket["last"]
        if first != expected:
            yield f"entries {expected} to {first - 1} are missing from jobs_history"
        if len(bucket["entries"]) != last - first + 1:
            yield f"the bucket of entries {first} to {last} has {len(bucket['entries'])} entries"
        expected = last + 1
        entries += bucket["entries"]
    if expected < mark:
        yield f"entries {expected} to {mark - 1} are missing from jobs_history"
    if expected > mark:
        yield f"entries {mark} to {expected - 1} are in jobs_history, and not marked as moved"
    entries += job.get("history", [])


def _order_problems(entries: list[Entry]) -> Iterator[str]:
    for position, (before, entry) in enumerate(pairwise(entries), start=1):
        if entry["date"] < before["date"]:
            yield f"entry {position} ({entry['name']}) is dated before the entry before it"
    seen = set()
    for position, entry in enumerate(entries):
        if entry["uuid"] in seen:
            yield f"entry {position} ({entry['name']}) is there twice, with the uuid {entry['uuid']}"
        seen.add(entry["uuid"])


def _event_problems(job: StoredJob, entries: list[Entry]) -> Iterator[str]:
    if not entries:
        yield "the history is empty"
        return
    if entries[0]["name"] != FIRST_EVENT:
        yield f"the first entry is {entries[0]['name']}, not {FIRST_EVENT}"
    state = FIRST_STATE
    for position, entry in enumerate(entries):
        where = f"entry {position} ({entry['name']})"
        following = _following(state, entry["name"], position)
        if following is None:
            yield f"{where} is not allowed in state {state}"
        written = entry.get("_state", following)
        if following is not None and written != following:
            yield f"{where} leads to {following}, and {written} is written"
        state = written or state
    last = entries[-1]
    for field, found in (("state", state), ("last_event", last["name"]), ("updated", last["date"])):
        if job.get(field) != found:
            yield f"the job's {field} is {job.get(field)}, after its history it is {found}"


def _following(state: str, event: str, position: int) -> str | None:
    if event not in TRANSITIONS or (event == FIRST_EVENT and position > 0):
        return None
    try:
        return next_state(state, event)
    except EventRefused:
        return None


def _revision_problems(jobs: JobReader, job: StoredJob, entries: list[Entry]) -> Iterator[str]:
    if any("_revision" not in entry for entry in entries):
        # by a version that did not count
        return
    counted = [entry["_revision"] for entry in entries]
    for position, (before, after) in enumerate(pairwise(counted), start=1):
        if after <= before:
            yield f"entry {position} has revision {after}, after {before}"
    revision = _revision(job)
    beyond = [number for number in counted if number > revision]
    if beyond:
        yield f"the job's revision is {revision}, and its history goes up to {max(beyond)}"
    gaps = set(range(revision + 1)).difference(counted)
    if gaps:
        rows = jobs.updates.find(
            {"uuid": job["uuid"], "action": {"$in": list(_OTHER_CHANGES)}}, {"_id": 1}
        )
        ends = (str(row["_id"]).rpartition(":")[2] for row in rows)
        gaps.difference_update(int(end) for end in ends if end.isdecimal())
        # their rows are written after them, and made up for when they are tidied away
        gaps.difference_update(each["revision"] for each in former_salts.former(job))
    if gaps == {revision} and not job.get(VISIBLE, True):
        # the row of a hide is written after it, and made up for by the next one
        return
    if gaps:
        shown = ", ".join(map(str, sorted(gaps)[:10]))
        yield f"revision {shown} of {revision} is neither in the history nor in the audit log"


def _revision(job: StoredJob) -> int:
    return int((job.get("_properties") or {}).get("revision") or 0)
