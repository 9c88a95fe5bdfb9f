"""Appending to the history of a job: one event, or several that come together, in one atomic update."""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import AutoReconnect

from datacatalog import documents
from datacatalog.linkedstores.basestore.store import now, revision_of, unchanged
from datacatalog.linkedstores.pipelinejob import history, lives
from datacatalog.linkedstores.pipelinejob.exceptions import (
    EventRefused,
    JobUpdateFailure,
    LateDelivery,
)
from datacatalog.linkedstores.pipelinejob.fsm import next_state
from datacatalog.linkedstores.pipelinejob.heads import Heads, Outdated
from datacatalog.linkedstores.pipelinejob.rotation import RotatingStore
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, total

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from datacatalog.linkedstores.pipelinejob.stored import Mark, StoredJob
    from datacatalog.mongo import Document

_MOVED = dict.fromkeys(("uuid", "history", "_history", "_admin"), 1)
"""What has to be read of a job whose entries move."""


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


class Uncertain(Exception):
    """Whether a write arrived is unknown."""


class AppendingStore(RotatingStore):
    """Jobs whose histories grow."""

    @cached_property
    def heads(self) -> Heads:
        """The heads of the jobs whose latest events this store has applied."""
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

    def apply_together(self, job: StoredJob, events: Sequence[Event]) -> list[Applied]:
        """Apply the first of several events, as far as there is nothing to do but append them.

        It takes one atomic update. With an event that is refused, belongs to another life, begins
        one, or may have come before, it ends; that event and those behind it are not touched.

        Args:
            job: the head of a job, as `load_head` returned it or `heads` has it.
            events: of this job, in their order, each permitted.

        Returns:
            What became of those that were applied.

        Raises:
            Outdated: the job has changed meanwhile; nothing was applied.
            PyMongoError: the database failed; whether they were applied is unknown.
        """
        entries: list[history.Entry] = []
        # where it is full, room is made before
        ahead, taken = job, 0 if history.is_full(job) else history.counted(job) or 0
        for event in events:
            entry = self._simply_next(ahead, event)
            if entry is None:
                break
            taken += history.size([entry])
            if entries and taken > history.MAX_BYTES:
                break
            entries.append(entry)
            ahead = {
                **ahead,
                "state": entry["_state"],
                "updated": entry["date"],
                "history": [*history.recent(ahead), entry],
                "_properties": {"revision": entry["_revision"]},
            }
        if not entries:
            return []
        if not self._append(job, entries):
            raise Outdated
        self.heads.keep(job)
        return [Applied(job, entry, duplicate=False) for entry in entries]

    def _simply_next(self, job: StoredJob, event: Event) -> history.Entry | None:
        """Return the entry that an event adds to a job; None if there is more to it."""
        if not event.first or event.name == lives.BEGIN or history.has(job, event.uuid):
            return None
        try:
            return next_entry(job, event)
        except (EventRefused, LateDelivery):
            return None

    def _append(self, job: StoredJob, entries: list[history.Entry]) -> bool:
        """Write events; tell whether no other writer was faster.

        Raises:
            AutoReconnect: the connection was lost before the answer.
        """
        last = entries[-1]
        changes: Document = {
            "state": last["_state"],
            "last_event": last["name"],
            "updated": last["date"],
        }
        operators: dict[str, Any] = {"push": {"history": {"$each": entries}}}
        number = total(job)
        about: Mark = {"moved": history.moved(job)}
        recent = [*history.recent(job), *entries]
        if history.is_full(job):
            whole = job if history.is_whole(job) else self.coll.find_one(unchanged(job), _MOVED)
            if whole is None:
                return False
            room = self.histories.make_room(whole)
            recent = [*room.get("history", history.recent(whole)), *entries]
            if room:
                changes |= {**room, "history": recent}
                operators = {}
                about["moved"] = room["_history.moved"]
            about["bytes"] = history.size(recent)
        else:
            about["bytes"] = (history.counted(job) or 0) + history.size(entries)
        changes["_history.bytes"] = about["bytes"]
        life = lives.begun(job, last)
        if life is not None:
            changes[lives.LIFE] = life
        # the lesser of two: where an entry before these was not handed out, that stays noted
        operators["min"] = {UNTOLD: number}
        if not self.commit(job, changes, count=len(entries), **operators):
            return False
        if life is not None:
            job["_life"] = life
        job["state"] = last["_state"]
        job["last_event"] = last["name"]
        job["updated"] = last["date"]
        job["history"] = recent
        job["_history"] = {**(job.get("_history") or {}), **about}
        return True

    def append(self, job: StoredJob, entry: history.Entry) -> bool:
        """Write an event; tell whether no other writer was faster.

        Raises:
            Uncertain: the connection was lost before the answer.
        """
        try:
            return self._append(job, [entry])
        except AutoReconnect as error:
            raise Uncertain from error


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


def life_of(job: StoredJob, name: str) -> int:
    """Return the life of a job to which an event belongs."""
    return lives.number(job) + (name == lives.BEGIN)
