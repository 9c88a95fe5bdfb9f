"""Appending to the history of a job: one event, or several that come together, in one atomic update.

Events of several jobs that come together are in one command, with an update for each job.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from datacatalog import documents
from datacatalog.linkedstores.basestore.store import (
    REVISION,
    change_of,
    now,
    revision_of,
    unchanged,
)
from datacatalog.linkedstores.pipelinejob import former_salts, history, lives
from datacatalog.linkedstores.pipelinejob.exceptions import (
    EventRefused,
    JobUpdateFailure,
    LateDelivery,
)
from datacatalog.linkedstores.pipelinejob.fsm import next_state
from datacatalog.linkedstores.pipelinejob.heads import Heads
from datacatalog.linkedstores.pipelinejob.rotation import RotatingStore
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, total

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator, Sequence

    from datacatalog.linkedstores.pipelinejob.stored import Life, Mark, StoredJob
    from datacatalog.mongo import Document

_ENTRIES = dict.fromkeys((REVISION, *(f"history.{name}" for name in history.FACTS)), 1)
"""What has to be read of a job that has had some of its events."""
_MOVED = dict.fromkeys(("uuid", "history", "_history", "_admin"), 1)
"""What has to be read of a job whose entries move."""
MAX_SECONDS = 0.5
"""For the jobs of a batch that take commands of their own; those that are left then wait."""


class Applied(NamedTuple):
    """What became of an event."""

    job: StoredJob
    """the job as it is stored now"""
    entry: history.Entry
    """the event's entry in the history, as it is stored"""
    duplicate: bool
    """whether an earlier delivery had applied it"""

    @property
    def state(self) -> str:
        """The state of the job after the event."""
        return str(self.entry.get("_state", self.job["state"]))

    @property
    def revision(self) -> int | None:
        """How often the job had changed after the event; None if the original has written it."""
        return self.entry.get("_revision")


class Event(NamedTuple):
    """An event of a job, as it is to be kept."""

    name: str
    data: Any
    uuid: str
    """of its entry in the history, in the life in which it is applied"""
    digest: str
    execution_id: str | None
    first: bool = False
    """whether nothing was sent under its key before"""
    key: str | None = None
    """None where its entry is the same in all lives"""
    lasting: bool = False
    """whether its key stands for one event in all lives"""
    happened: datetime.datetime | None = None
    sender: str | None = None
    """the user who sent it, where that is known"""


class _Earlier(NamedTuple):
    """What is stored already of some events."""

    entries: dict[str, history.Entry]
    """by their UUIDs, without their data"""
    changed: set[str]
    """the UUIDs of jobs that are not as they were read"""


class Uncertain(Exception):
    """Whether a write arrived is unknown."""


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Write something in this block whose answer may be lost.

    Raises:
        Uncertain: it was lost.
        ServerSelectionTimeoutError: no server was found, so that nothing was written.
    """
    try:
        yield
    except ServerSelectionTimeoutError:
        raise
    except AutoReconnect as error:
        raise Uncertain from error


class _Addition(NamedTuple):
    """What is written of a job for some events, and what is then known of it."""

    entries: list[history.Entry]
    recent: list[Any]
    """the entries that its document has then"""
    about: Mark
    life: Life | None
    changes: Document
    operators: dict[str, Any]

    @classmethod
    def of(
        cls,
        job: StoredJob,
        entries: list[history.Entry],
        whole: StoredJob | None = None,
        room: Document | None = None,
    ) -> _Addition:
        """Return what is to be written.

        Args:
            job: or its head.
            entries: of the events.
            whole: where it is full, the same with its whole history.
            room: where it is full, the changes that make room.
        """
        last = entries[-1]
        changes: Document = {
            "state": last["_state"],
            "last_event": last["name"],
            "updated": last["date"],
        }
        # the lesser of two: where an entry before these was not handed out, that stays noted
        operators: dict[str, Any] = {"min": {UNTOLD: total(job)}}
        about: Mark = {"moved": history.moved(job)}
        recent = [*history.recent(job if whole is None else whole), *entries]
        if room:
            recent = [*room["history"], *entries]
            changes |= {**room, "history": recent}
            about["moved"] = room["_history.moved"]
        else:
            operators["push"] = {"history": {"$each": entries}}
        if whole is None:
            about["bytes"] = (history.counted(job) or 0) + history.size(entries)
        else:
            about["bytes"] = history.size(recent)
        changes["_history.bytes"] = about["bytes"]
        life = lives.begun(job, last)
        if life is not None:
            changes[lives.LIFE] = life
        return cls(entries, recent, about, life, changes, operators)

    def note(self, job: StoredJob) -> None:
        """Let a job be as it is stored now."""
        last = self.entries[-1]
        if self.life is not None:
            job["_life"] = self.life
        job["state"] = last["_state"]
        job["last_event"] = last["name"]
        job["updated"] = last["date"]
        job["history"] = self.recent
        job["_history"] = {**(job.get("_history") or {}), **self.about}


class AppendingStore(RotatingStore):
    """Jobs whose histories grow."""

    @cached_property
    def heads(self) -> Heads:
        """The heads of jobs that this store has just read or changed."""
        return Heads()

    def new_event(
        self,
        job: StoredJob,
        name: str,
        data: Any,
        *,
        key: str | None = None,
        first: bool = False,
        lasting: bool = False,
        sent: Any = None,
        happened: datetime.datetime | None = None,
        execution_id: str | None = None,
        sender: str | None = None,
    ) -> Event:
        """Return an event of a job.

        Args:
            job: as `load` or `load_head` returned it.
            name: of the event.
            data: what the history is to keep.
            key: the idempotency key, by default one of its own. It counts within one life of the
                job, which ends with a reset.
            first: nothing was sent under this key before, so it is not looked for among the entries
                that have moved from the job's document.
            lasting: the key stands for one event in all lives, as one that a platform has made does.
            sent: what tells events with the same key apart, by default `data`.
            happened: when, where its sender says so.
            execution_id: of the execution that brought the event, where one did.
            sender: the user who sent it, where that is known.

        Raises:
            JobUpdateFailure: the data cannot be stored.
        """
        try:
            text = documents.check(data)
        except documents.DocumentError as error:
            raise JobUpdateFailure(str(error)) from error
        return Event(
            name,
            data,
            self.entry_uuid(job, key or secrets.token_hex(16), life_of(job, name)),
            history.digest(name, text if sent is None else documents.canonical(sent)),
            execution_id,
            first or key is None,
            key,
            lasting,
            happened,
            sender,
        )

    def apply_together(
        self, batches: Sequence[tuple[StoredJob, Sequence[Event]]]
    ) -> list[list[Applied]]:
        """Apply the first events of some jobs, as far as there is nothing to do but append them.

        All of them are in one command, but for those of a job of which more has to be written. What is
        written of a job is one atomic update; for an event that came before, nothing is. With an event
        that is refused, belongs to another life, or begins one, it ends; that event and those behind it
        are not touched.

        Args:
            batches: the heads of jobs, each once, as `load_heads` returned them or `heads` has them,
                and the events of each, in their order, all permitted.

        Returns:
            What became of the first events of each job, the entries of those that came before without
            their data; of a job that has changed meanwhile, none, nor of one that would take too long.

        Raises:
            Uncertain: some of several jobs have changed meanwhile, and it is unknown which; whether
                events of theirs were applied is unknown, too.
            PyMongoError: the database failed; whether they were applied is unknown.
        """
        batches = [(job, () if _is_damaged(job) else events) for job, events in batches]
        earlier = self._earlier(batches)
        found = [(job, self._first(job, events, earlier)) for job, events in batches]
        joint = [(job, applied) for job, applied in found if _new(applied) and self.is_plain(job)]
        if len(joint) > 1:
            self._append_all(joint)
        else:
            joint = []
        written = {job["uuid"] for job, _ in joint}
        end = time.monotonic() + MAX_SECONDS
        for job, applied in found:
            entries = [] if job["uuid"] in written else _new(applied)
            if entries and (time.monotonic() > end or not self._append(job, entries)):
                applied.clear()
            if applied:
                self.heads.keep(job)
        return [applied for _, applied in found]

    def _earlier(self, batches: Sequence[tuple[StoredJob, Sequence[Event]]]) -> _Earlier:
        """Return what is stored already of some events.

        What comes after this is not written over: its job has another revision then.
        """
        asked = [
            (job, {event.uuid for event in events if not event.first}) for job, events in batches
        ]
        moved = self.histories.moved_among(asked)
        heads = {
            job["_id"]: job
            for job, uuids in asked
            if any(uuid in moved or history.has(job, uuid) for uuid in uuids)
        }
        if not heads:
            return _Earlier({}, set())
        changed = {job["uuid"] for job in heads.values()}
        entries = dict(moved)
        for job in self.coll.find({"_id": {"$in": [*heads]}}, _ENTRIES):
            head = heads[job["_id"]]
            if revision_of(job) == revision_of(head):
                changed.remove(head["uuid"])
                entries |= history.by_uuid(history.recent(job))
        return _Earlier(entries, changed)

    def _first(self, job: StoredJob, events: Sequence[Event], earlier: _Earlier) -> list[Applied]:
        """Return what becomes of events, up to the first to which there is more than that.

        Args:
            job: its head.
            events: in their order.
            earlier: what is stored of them.
        """
        applied: list[Applied] = []
        if job["uuid"] in earlier.changed:
            return applied
        known = dict(earlier.entries)
        # where it is full, room is made before
        ahead, taken = job, 0 if history.is_full(job) else history.counted(job) or 0
        for event in events:
            entry = known.get(event.uuid)
            duplicate = entry is not None
            if entry is None:
                entry = self._simply_next(ahead, event)
            elif event.name == lives.BEGIN or entry.get("_digest", event.digest) != event.digest:
                entry = None
            if entry is None:
                break
            if not duplicate:
                taken += history.size([entry])
                if _new(applied) and taken > history.MAX_BYTES:
                    break
                known[event.uuid] = entry
                ahead = _after(ahead, entry)
            applied.append(Applied(job, entry, duplicate))
        return applied

    def _simply_next(self, job: StoredJob, event: Event) -> history.Entry | None:
        """Return the entry that an event adds to a job; None if there is more to it."""
        if event.name == lives.BEGIN or history.has(job, event.uuid):
            return None
        if not event.first and lives.number(job):
            # it may belong to an earlier life
            return None
        try:
            return next_entry(job, event)
        except (EventRefused, LateDelivery):
            return None

    @staticmethod
    def is_plain(job: StoredJob) -> bool:
        """Tell whether an event of a job changes nothing but its document."""
        return not history.is_full(job) and not former_salts.ended(job, now())

    def _append_all(self, joint: Sequence[tuple[StoredJob, list[Applied]]]) -> None:
        """Write events of several jobs in one command; of those of a job that has changed, none are left.

        Raises:
            Uncertain: it is unknown at which jobs another writer was faster.
            PyMongoError: the database failed; whether they were written is unknown.
        """
        additions = [(job, _Addition.of(job, _new(applied))) for job, applied in joint]
        changes = [
            change_of(job, each.changes, count=len(each.entries), **each.operators)
            for job, each in additions
        ]
        updates = [UpdateOne(each.query, each.update) for each in changes]
        count = self.coll.bulk_write(updates, ordered=False).matched_count
        written = [True] * len(joint)
        if count != len(joint):
            self.heads.clear()
            written = self._have_entries(additions)
        if sum(written) != count:
            # some have moved since
            raise Uncertain
        for (job, applied), (_, addition), change, done in zip(
            joint, additions, changes, written, strict=True
        ):
            if done:
                change.note(job)
                addition.note(job)
            else:
                applied.clear()

    def _have_entries(self, additions: Sequence[tuple[StoredJob, _Addition]]) -> list[bool]:
        """Tell of each of some jobs whether its document has the entries that were to be added."""
        query = {"_id": {"$in": [job["_id"] for job, _ in additions]}}
        found = self.coll.find(query, {"history.uuid": 1})
        uuids = {entry.get("uuid") for job in found for entry in history.recent(job)}
        return [addition.entries[-1]["uuid"] in uuids for _, addition in additions]

    def _append(self, job: StoredJob, entries: list[history.Entry]) -> bool:
        """Write events; tell whether no other writer was faster.

        Raises:
            AutoReconnect: the connection was lost before the answer.
        """
        if history.is_full(job):
            whole = job if history.is_whole(job) else self.coll.find_one(unchanged(job), _MOVED)
            if whole is None:
                return False
            addition = _Addition.of(job, entries, whole, self.histories.make_room(whole))
        else:
            addition = _Addition.of(job, entries)
        if not self.commit(job, addition.changes, count=len(entries), **addition.operators):
            return False
        addition.note(job)
        return True

    def append_and_load(self, head: StoredJob, event: Event) -> StoredJob | None:
        """Apply an event and read the job that has it, in one command.

        Args:
            head: as `heads` had it, of a job that is plain.
            event: permitted.

        Returns:
            None if the job has changed since, does not simply take the event, or has it already.

        Raises:
            Uncertain: the connection was lost before the answer.
        """
        entry = self._simply_next(head, event)
        if entry is None:
            return None
        if not event.first and self.histories.find_moved(head, event.uuid) is not None:
            return None
        addition = _Addition.of(head, [entry])
        change = change_of(head, addition.changes, **addition.operators)
        with _answered():
            job = self.coll.find_one_and_update(
                change.query, change.update, return_document=ReturnDocument.AFTER
            )
        if job is not None:
            self.heads.keep(job)
        return job

    def append(self, job: StoredJob, entry: history.Entry) -> bool:
        """Write an event; tell whether no other writer was faster.

        Raises:
            Uncertain: the connection was lost before the answer.
        """
        with _answered():
            return self._append(job, [entry])


def next_entry(job: StoredJob, event: Event) -> history.Entry:
    """Return the entry that an event adds to the history of a job.

    Raises:
        EventRefused: the state does not allow it.
        LateDelivery: it happened in an earlier life of the job.
    """
    lives.check_moment(job, event.name, event.happened)
    return history.new_entry(
        event.uuid,
        event.name,
        event.data,
        date=max(now(), job.get("updated") or now()),
        state=next_state(job["state"], event.name),
        revision=(revision_of(job) or 0) + 1,
        event_digest=event.digest,
        sender=event.sender,
        execution_id=event.execution_id,
    )


def _new(applied: Sequence[Applied]) -> list[history.Entry]:
    """Return the entries of events that no earlier delivery had applied."""
    return [each.entry for each in applied if not each.duplicate]


def _after(job: StoredJob, entry: history.Entry) -> StoredJob:
    """Return what decides the next event of a job, once it has an entry."""
    return {
        **job,
        "state": entry["_state"],
        "updated": entry["date"],
        "history": [*history.recent(job), entry],
        "_properties": {"revision": entry["_revision"]},
    }


def _is_damaged(job: StoredJob) -> bool:
    """Tell whether the mark of what has moved from a job's history cannot be read."""
    try:
        history.moved(job)
    except ValueError:
        return True
    return False


def life_of(job: StoredJob, name: str) -> int:
    """Return the life of a job to which an event belongs."""
    return lives.number(job) + (name == lives.BEGIN)
