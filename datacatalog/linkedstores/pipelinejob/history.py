"""The history of a job: the newest entries in its document, older ones in buckets.

The document says in `_history.moved` how many entries have moved. A bucket is written before the
document lets go of its entries, and only buckets below that mark are read: so a crash in between
leaves nothing lost and nothing double, and the next move writes the same bucket again.

A stored entry has, besides what callers see, the job's state and revision after the event, and the
digest of the event as it was sent, by which a second delivery is told from a second event; and the
name of its sender, where that is a user and not whoever has a nonce; and the execution that brought
it, whose log says more.

An entry is the record of its event. Its row of the audit log follows from it, and is written when
the entry leaves the document: many rows in one insert, which costs an event a tenth of what a row of
its own would.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypedDict, cast

import bson
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from datacatalog import documents, mongo
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import indexes
from datacatalog.linkedstores.pipelinejob.fsm import FIRST_EVENT

if TYPE_CHECKING:
    import datetime
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Db, Document

UPDATED = "updated"
"""Where a job has the moment of its newest event."""
MAX_ENTRIES = 24
MOVED_ENTRIES = 20
MAX_BYTES = 512 * 1024
MAX_BUCKET_BYTES = 14 * 1024 * 1024
FACTS = ("uuid", "name", "_state", "_revision", "_digest")
"""Of an entry, what tells whether an event came before, and what became of it."""


class Entry(TypedDict, total=False):
    """An entry as it is stored; one that the original has written lacks what begins with `_`."""

    date: datetime.datetime
    name: str
    data: Any
    uuid: str
    _state: str
    """of the job after the event"""
    _revision: int
    """of the job after the event"""
    _digest: str
    """of the event as it was sent"""
    _sender: str
    """the user who has sent it; lacks where somebody with a nonce has"""
    _execution: str
    """the id of the execution that brought it; lacks in older entries and where none did"""


class History:
    """Reads, extends and splits histories."""

    def __init__(self, db: Db) -> None:
        self.buckets = db["jobs_history"]
        self.updates = db["updates"]

    def ensure_indexes(self) -> None:
        """Create the indexes of the buckets, where they do not exist yet."""
        indexes.ensure(
            self.buckets, [IndexModel([("job_id", 1), ("first", 1)]), IndexModel("entries.uuid")]
        )

    def find(self, job: StoredJob, entry_uuid: str) -> Entry | None:
        """Return a stored entry of a whole job, or None: one look-up if older entries have moved."""
        found = [entry for entry in blanked(recent(job)) if entry.get("uuid") == entry_uuid]
        if found:
            return found[-1]
        return self.find_moved(job, entry_uuid)

    def find_moved(self, job: StoredJob, entry_uuid: str) -> Entry | None:
        """Return an entry that has moved from a job's document, or None."""
        if not moved(job):
            return None
        # by this alone: of each further condition, the embedded server asks whether it has an index
        query = {"entries.uuid": entry_uuid}
        for bucket in self.buckets.find(query, {"job_id": 1, "first": 1, "entries.$": 1}):
            if bucket["job_id"] == job["_id"] and bucket["first"] < moved(job):
                return cast("Entry", bucket["entries"][0])
        return None

    def moved_among(self, asked: Iterable[tuple[StoredJob, Collection[str]]]) -> dict[str, Entry]:
        """Return entries that have moved from the documents of jobs, by their UUIDs, without their data.

        Args:
            asked: the jobs, whole or not, and the UUIDs of the entries that each may have.
        """
        jobs = [(job, uuids) for job, uuids in asked if uuids and moved(job)]
        wanted = {uuid for _, uuids in jobs for uuid in uuids}
        if not wanted:
            return {}
        marks = {job["_id"]: moved(job) for job, _ in jobs}
        found: dict[str, Entry] = {}
        query = {"entries.uuid": {"$in": [*wanted]}}
        for bucket in self.buckets.find(query, {"entries.data": 0}):
            if bucket["first"] < marks.get(bucket["job_id"], 0):
                entries = by_uuid(bucket["entries"])
                found |= {uuid: entries[uuid] for uuid in wanted & entries.keys()}
        return found

    def has_any(self, job: StoredJob, entry_uuids: list[str]) -> bool:
        """Tell whether a job, whole or not, has one of some entries, wherever it is."""
        if any(has(job, uuid) for uuid in entry_uuids):
            return True
        return bool(self.moved_among([(job, entry_uuids)]))

    def read(
        self, job: StoredJob, skip: int, limit: int | None, *, data: bool = True
    ) -> Iterator[Entry]:
        """Yield stored entries, oldest first, without the first `skip`, at most `limit`.

        Without `data`, that of entries in buckets is left where it is.
        """
        mark, entries = moved(job), recent(job)
        end = mark + len(entries) if limit is None else min(mark + len(entries), skip + limit)
        if skip < mark:
            # with these two bounds, and nothing else, the index leads to what is wanted
            first = {"$gte": self._beginning(job, skip), "$lt": min(end, mark)}
            buckets = self.buckets.find(
                {"job_id": job["_id"], "first": first},
                None if data else {"entries.data": 0},
                sort=[("first", 1)],
            )
            for bucket in buckets:
                yield from bucket["entries"][max(0, skip - bucket["first"]) : end - bucket["first"]]
        yield from entries[max(0, skip - mark) : max(0, end - mark)]

    def _beginning(self, job: StoredJob, position: int) -> int:
        """Return the position of the first entry in the bucket that holds the one at a position."""
        most = MAX_ENTRIES
        while most <= position:
            first = {"$gte": position - most, "$lte": position}
            buckets = self.buckets.find({"job_id": job["_id"], "first": first}, {"first": 1})
            found = [bucket["first"] for bucket in buckets]
            if found:
                return int(max(found))
            # it is larger than usual
            most *= 8
        return 0

    def of(self, job: StoredJob) -> Iterator[Document]:
        """Yield the buckets that hold what has moved from a job's document, in their order."""
        query = {"job_id": job["_id"], "first": {"$lt": moved(job)}}
        yield from self.buckets.find(query, sort=[("first", 1)])

    def make_room(self, job: StoredJob) -> Document:
        """Move older entries of a job to a bucket if it has grown; return the changes of that.

        The entries are on disk in their bucket when this returns, and still in the document:
        the caller commits the changes together with what it came for.
        """
        entries = recent(job)
        count = _surplus(entries)
        if not count:
            return {}
        first = moved(job)
        bucket = {
            "_id": f"{job['_id']}:{first}",
            "job_id": job["_id"],
            "job_uuid": job["uuid"],
            "first": first,
            "last": first + count - 1,
            "entries": entries[:count],
        }
        if first == 0:
            self.ensure_indexes()
        try:
            self.buckets.insert_one(bucket)
        except DuplicateKeyError:
            # a writer that crashed or lost its race was here with these very entries, or more
            found = self.buckets.find_one({"_id": bucket["_id"]}, {"last": 1})
            if found is None:
                # the entries are nowhere but in the document, which must not let go of them
                raise
            count = found["last"] - first + 1
        self.audit(job, entries[:count])
        return {"history": entries[count:], "_history.moved": first + count}

    def audit(self, job: StoredJob, entries: list[Any]) -> None:
        """Write the rows of the audit log for entries that leave a job's document; again, if need be."""
        rows = [audit_row(job, entry) for entry in blanked(entries) if "_revision" in entry]
        if rows:
            with mongo.but_duplicates():
                self.updates.insert_many(rows, ordered=False)


def is_whole(job: StoredJob) -> bool:
    """Tell whether all of a job was read, not only its head."""
    return "data" in job


def moved(job: StoredJob) -> int:
    """Return how many entries of a job have moved to buckets.

    Raises:
        ValueError: something else has written the mark that says so.
    """
    about = job.get("_history") or {}
    count = about.get("moved", 0) if isinstance(about, dict) else None
    if not isinstance(count, int):
        # to begin again at 0 would let go of what is in the buckets
        message = f"job {job['uuid']}: the mark of what has moved from its history is damaged"
        raise ValueError(message)  # noqa: TRY004 - the value of a document, not of an argument
    return count


def recent(job: StoredJob) -> list[Any]:
    """Return the entries of a job that are in its document, which others may have written."""
    entries = job.get("history")
    return entries if isinstance(entries, list) else []


def blanked(entries: Iterable[object]) -> list[Entry]:
    """Return entries, with an empty one in the place of what others have written that is none."""
    return [cast("Entry", entry) if isinstance(entry, dict) else {} for entry in entries]


def by_uuid(entries: Iterable[object]) -> dict[str, Entry]:
    """Return those of some entries that have a name, by their UUIDs."""
    known = (entry for entry in blanked(entries) if "name" in entry)
    return {str(entry.get("uuid")): entry for entry in known}


def has(job: StoredJob, entry_uuid: str) -> bool:
    """Tell whether an entry is in the document of a job, whole or not."""
    return any(entry.get("uuid") == entry_uuid for entry in blanked(recent(job)))


def counted(job: StoredJob) -> int | None:
    """Return how many bytes the entries in a job's document take, as their writers have counted.

    It is kept in the document, so that nobody has to read the entries for it. None where a former
    version has written it, which did not count.
    """
    about = job.get("_history")
    count = about.get("bytes") if isinstance(about, dict) else None
    return count if isinstance(count, int) else None


def is_full(job: StoredJob) -> bool:
    """Tell whether older entries may have to move before another one comes, of a job whole or not."""
    known = counted(job)
    return known is None or known >= MAX_BYTES or len(recent(job)) >= MAX_ENTRIES


def size(entries: Sequence[Mapping[str, object]]) -> int:
    """Return how many bytes entries take in a document, about."""
    return len(bson.encode({"entries": entries}))


def new_entry(
    uuid: str,
    name: str,
    data: Any,
    *,
    date: datetime.datetime,
    state: str,
    revision: int,
    event_digest: str,
    sender: str | None = None,
    execution_id: str | None = None,
) -> Entry:
    """Return an entry as it is stored."""
    made: Entry = {
        "date": date,
        "name": name,
        "data": documents.encode(data),
        "uuid": uuid,
        "_state": state,
        "_revision": revision,
        "_digest": event_digest,
    }
    if sender is not None:
        made["_sender"] = sender
    if execution_id is not None:
        made["_execution"] = execution_id
    return made


def public(entry: Any) -> Document:
    """Return an entry as callers see it: `date`, `name`, `data`, `uuid`.

    What is not an entry is shown as the `data` of one that has nothing else.
    """
    if not isinstance(entry, dict):
        return {"data": documents.decode(entry)}
    return {
        name: documents.decode(value) for name, value in entry.items() if not name.startswith("_")
    }


def entry_uuid(job_uuid: str, key: str, namespace: UUID) -> str:
    """Return the UUID of the entry for an idempotency key: the same on every delivery."""
    return typeduuid.catalog_uuid(f"{job_uuid}:{key}", "pipelinejob_event", namespace)


def digest(name: str, canonical_data: str) -> str:
    """Return what tells events apart that come with the same idempotency key."""
    return hashlib.sha256(f"{name}:{canonical_data}".encode()).hexdigest()[:32]


def audit_row(job: StoredJob, entry: Entry) -> Document:
    """Return the row of the audit log for an entry; its `_id` makes a second write harmless."""
    return {
        "_id": f"{job['_id']}:{entry['_revision']}",
        "uuid": job["uuid"],
        "date": entry["date"],
        "action": "create" if entry["name"] == FIRST_EVENT else "event",
        "name": entry["name"],
        "state": entry["_state"],
        "revision": entry["_revision"],
        "_admin": job.get("_admin"),
    }


def _surplus(entries: list[Entry]) -> int:
    """Count the oldest entries that have to move before another one comes."""
    if size(entries) < MAX_BYTES:
        # of many that were written together, as many stay as of others
        surplus = len(entries) - (MAX_ENTRIES - MOVED_ENTRIES)
        return surplus if len(entries) >= MAX_ENTRIES else 0
    left = [len(bson.encode(entry)) for entry in entries]
    moving = 0
    for count, length in enumerate(left, start=1):
        moving += length
        if sum(left[count:]) < MAX_BYTES or moving + max(left) > MAX_BUCKET_BYTES:
            return count
    return len(entries)
