"""Whether what was promised has held: I1 to I8, from what clients did and what was read back.

Every event that a test sends has an id of its own in its data, under `MARK`, by which it is found
again in a history, wherever it went.

| | what must hold |
|---|---|
| I1 | an acknowledged event is in its job's history exactly once |
| I2 | a refused event is not |
| I3 | an event of unknown outcome is there once or not at all |
| I4 | a history is legal at each step and ends in the stored state; each change has its revision |
| I5 | a history is in order and without a gap, across the document and its buckets |
| I6 | of events that exclude each other one wins; the others are kept among the refused |
| I7 | each applied event reaches each subscriber at least once, in order per job |
| I8 | no secret is in a log, an error, a page, a metric or a forwarded event |
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby, pairwise
from typing import Any

from tests.datacatalog.linkedstores.pipelinejob.test_fsm import LEADS_TO

Document = dict[str, Any]
MARK = "sent as"
"""The key in an event's data under which its id is."""


class Outcome(Enum):
    """What the client of a call knows about it."""

    UNKNOWN = "unknown"
    """sent, and a time-out, a broken connection or a 5xx since"""
    REFUSED = "refused"
    ACKNOWLEDGED = "acknowledged"


@dataclass
class Call:
    """One delivery of an event."""

    job: str
    event: str
    """its id; a second delivery has the same"""
    outcome: Outcome = Outcome.UNKNOWN


@dataclass
class Record:
    """Each call of all clients, from the moment it is sent."""

    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, job: str, event: str) -> Call:
        """Note that an event is sent now; the caller says what became of it."""
        call = Call(job, event)
        with self._lock:
            self.calls.append(call)
        return call

    def count(self, outcome: Outcome) -> int:
        """Return how many events had this outcome."""
        return sum(found is outcome for found in self.events().values())

    def events(self) -> dict[tuple[str, str], Outcome]:
        """Return what is known of each event: the best that was said of any delivery."""
        known: dict[tuple[str, str], Outcome] = {}
        for call in self.calls:
            key = (call.job, call.event)
            before = known.get(key, call.outcome)
            if Outcome.ACKNOWLEDGED in (before, call.outcome):
                known[key] = Outcome.ACKNOWLEDGED
            else:
                known[key] = before if before is call.outcome else Outcome.UNKNOWN
        return known


@dataclass(frozen=True)
class Job:
    """A job as it was read back."""

    document: Document
    buckets: Sequence[Document] = ()
    """what has moved out of its history, oldest first"""
    other_changes: int = 0
    """changes that are not events: it was hidden, it was shown again"""
    rejected: Sequence[Document] = ()
    """the events that were refused"""

    @property
    def entries(self) -> list[Document]:
        """The whole history, oldest first."""
        moved = [entry for bucket in self.buckets for entry in bucket["entries"]]
        return [*moved, *self.document["history"]]


def problems(record: Record, jobs: Iterable[Job]) -> list[str]:
    """Return what does not hold of I1 to I5; nothing if all is well."""
    found = {job.document["uuid"]: job for job in jobs}
    wrong = [*delivery_problems(record, found)]
    for uuid, job in found.items():
        of_job = (*replay_problems(job), *order_problems(job))
        wrong += [f"{problem} (job {uuid})" for problem in of_job]
    return wrong


# I1, I2, I3


def delivery_problems(record: Record, jobs: Mapping[str, Job]) -> Iterator[str]:
    """Yield the events that are missing, there twice, or there though they were refused."""
    counted = {uuid: Counter(marks(job.entries)) for uuid, job in jobs.items()}
    for (uuid, event), outcome in record.events().items():
        times = counted.get(uuid, Counter())[event]
        if outcome is Outcome.ACKNOWLEDGED and times == 0:
            yield f"I1: {event} was acknowledged and is lost"
        elif outcome is Outcome.ACKNOWLEDGED and times > 1:
            yield f"I1: {event} was acknowledged and is there {times} times"
        elif outcome is Outcome.REFUSED and times:
            yield f"I2: {event} was refused and is there"
        elif times > 1:
            yield f"I3: {event} is there {times} times"
    sent = record.events().keys()
    for uuid, counts in counted.items():
        for event in counts:
            if (uuid, event) not in sent:
                yield f"I3: {event} was never sent to job {uuid}"


def marks(entries: Iterable[Document]) -> Iterator[str]:
    """Yield the ids of the events in some entries."""
    for entry in entries:
        data = entry.get("data")
        if entry["name"] != "create" and isinstance(data, dict) and MARK in data:
            yield str(data[MARK])


# I4


def replay_problems(job: Job) -> Iterator[str]:
    """Yield where a history is not what the table of the state machine allows."""
    entries = job.entries
    if not entries or entries[0]["name"] != "create":
        yield "I4: the history does not begin with create"
        return
    state = "CREATED"
    for position, entry in enumerate(entries[1:], start=1):
        following = LEADS_TO.get((state, entry["name"]))
        if following is None or entry["name"] == "create":
            yield f"I4: entry {position} ({entry['name']}) is not allowed in {state}"
            return
        state = following
    document = job.document
    if document["state"] != state:
        yield f"I4: the stored state is {document['state']}, the history ends in {state}"
    if document["last_event"] != entries[-1]["name"]:
        yield f"I4: the last event is {entries[-1]['name']}, not {document['last_event']}"
    changes, revision = len(entries) - 1 + job.other_changes, document["_properties"]["revision"]
    if revision != changes:
        yield f"I4: the revision is {revision} after {changes} changes"


# I5


def order_problems(job: Job) -> Iterator[str]:
    """Yield where a history is out of order or has a gap."""
    expected = 0
    for bucket in job.buckets:
        first, last, count = bucket["first"], bucket["last"], len(bucket["entries"])
        if first != expected:
            yield f"I5: a bucket begins at {first} where {expected} is next"
        if count != last - first + 1:
            yield f"I5: the bucket {first} to {last} has {count} entries"
        expected = last + 1
    mark = job.document.get("_history", {}).get("moved", 0)
    if mark != expected:
        yield f"I5: {mark} entries are said to have moved, the buckets have {expected}"
    entries = job.entries
    for position, (before, after) in enumerate(pairwise(entries), start=1):
        if after["date"] < before["date"]:
            yield f"I5: entry {position} is dated before the one before it"
        step = after["_revision"] - before["_revision"]
        if step < 1 or step > 1 + job.other_changes:
            yield f"I5: entry {position} has revision {after['_revision']} after {before['_revision']}"
    if len({entry["uuid"] for entry in entries}) != len(entries):
        yield "I5: two entries have one uuid"


# I6


def exclusion_problems(record: Record, job: Job, rivals: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the end of a race.

    Args:
        record: of the calls.
        job: as it was read back.
        rivals: the names of the events that raced, by their ids.
    """
    applied = {rivals[event] for event in marks(job.entries) if event in rivals}
    if len(applied) != 1:
        yield f"I6: of events that exclude each other {sorted(applied)} were applied"
    kept = set(marks({**row["event"]} for row in job.rejected))
    for (uuid, event), outcome in record.events().items():
        is_rival = uuid == job.document["uuid"] and event in rivals
        if is_rival and outcome is Outcome.REFUSED and event not in kept:
            yield f"I6: {event} was refused and is not kept"


# I7


def announcement_problems(
    jobs: Iterable[Job], announced: Mapping[str, Sequence[Document]]
) -> Iterator[str]:
    """Yield what a subscriber was not told, or in another order.

    Args:
        jobs: whose every event was to be announced.
        announced: what each subscriber was told, oldest first: `job_uuid`, `event_name` and
            `job_state` each. The same may be told again before the next.
    """
    for job in jobs:
        uuid = job.document["uuid"]
        wanted = [(entry["name"], entry["_state"]) for entry in job.entries[1:]]
        for subscriber, everything in announced.items():
            told = [
                (each["event_name"], each["job_state"])
                for each in everything
                if each["job_uuid"] == uuid
            ]
            # a repetition is of the one before: so the runs are the same, and none is shorter
            runs = [[(what, len([*run])) for what, run in groupby(each)] for each in (wanted, told)]
            if [what for what, _ in runs[0]] != [what for what, _ in runs[1]]:
                yield f"I7: {subscriber} was told {told} of job {uuid}, not {wanted}"
            elif any(short < long for (_, long), (_, short) in zip(*runs, strict=True)):
                yield f"I7: {subscriber} was told of job {uuid} {len(told)} of {len(wanted)} events"


# I8


def leaks(secrets: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[str]:
    """Yield where a secret can be read.

    Args:
        secrets: what must stay secret, by what it is.
        shown: what others can read, by where they find it.
    """
    for place, text in shown.items():
        for kind, secret in secrets.items():
            if secret in text:
                yield f"I8: {kind} is in {place}"
