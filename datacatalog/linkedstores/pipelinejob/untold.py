"""What subscribers have yet to be told: the history is the outbox, and this is where they are in it.

A job's `_untold` is the number, in its history, of the first entry that was not handed out. An event
sets it where it is missing, in its own update, so that it costs the same for any number of
subscribers. Who has been told everything before `_untold` is written nowhere. Who is behind that is
written in `jobs_untold`: one document for a job, with the number of the last entry that each such
subscriber was told. So nothing grows with what waits, and no entry is stored twice.

One process at a time hands out: the one that has the lease.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from pymongo import IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from datacatalog.linkedstores.basestore import indexes
from datacatalog.linkedstores.basestore.store import REVISION, now, revision_of
from datacatalog.linkedstores.pipelinejob import history
from datacatalog.linkedstores.pipelinejob.former_salts import FORMER as FORMER_SALTS
from datacatalog.linkedstores.pipelinejob.replay import DAMAGE

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Db, Document

UNTOLD: Final = "_untold"
LEASE = datetime.timedelta(seconds=15)
_FURTHEST = 2 * LEASE
"""From now to the end of a lease: clocks of machines differ by less than a lease."""
_MAX_AT_ONCE = 4 * 1024 * 1024
"""Bytes of histories that are read in one question."""
_MAX_FORGOTTEN = 500
"""Jobs in one write."""
_MAX_COUNTED = 1000
"""Jobs of which it is counted how many events a subscriber is behind."""
_LEASE_ID = "the lease of who hands out"
_KEPT = (
    *("uuid", "state", "last_event", "pipeline_uuid", "archive_path", "archive_system", "session"),
    *("child_of", "acted_on", "acted_using", "_history", "_properties", "_salt", "_admin"),
    FORMER_SALTS,
)
_FORMER = "_outbox"
"""How the names of fields begin in which a former version kept what it had to announce."""
_HEAD = dict.fromkeys((*_KEPT, "history.uuid", UNTOLD), 1)
_HISTORY = dict.fromkeys(("uuid", "history", "_history"), 1)


class Lag(NamedTuple):
    """How far a subscriber is behind."""

    jobs: int
    events: int
    oldest: datetime.datetime | None
    """when the first event came that it was not told"""


class Left(NamedTuple):
    """Subscribers that are to be told something of a job later."""

    job: StoredJob
    since: datetime.datetime
    """when the first event came that they are to be told"""
    places: Mapping[str, Document]
    """by their names: `told`, the number of the last entry that each was told, and after a failure
    `tries`, `due` and `reason`"""


class Untold:
    """What subscribers have yet to be told of all jobs of a database."""

    def __init__(self, db: Db) -> None:
        self.jobs = cast("Collection[StoredJob]", db["jobs"])
        self.removed = cast("Collection[StoredJob]", db["jobs_removed"])
        self.behind = db["jobs_untold"]
        self.updates = db["updates"]
        self._leases = db["leases"]
        self.histories = history.History(db)
        self._has_indexes = False

    def ensure_indexes(self) -> None:
        """Create the indexes that are missing."""
        if not self._has_indexes:
            fields = ([("who", 1), ("since", 1)], "job_uuid", "since")
            wanted = [IndexModel(field) for field in fields]
            indexes.ensure(self.behind, wanted)
            self._has_indexes = True

    # Who hands out

    def lease(self, holder: str) -> bool:
        """Take the lease, or extend it; tell whether it is the holder's now."""
        moment = now()
        # with a clock that was set back meanwhile, it is not held for longer than ever
        over = [{"until": {"$lt": moment}}, {"until": {"$gt": moment + _FURTHEST}}]
        free = {"$or": [{"holder": holder}, *over]}
        held = {"holder": holder, "until": moment + LEASE}
        try:
            self._leases.update_one({"_id": _LEASE_ID, **free}, {"$set": held}, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    def holder(self) -> str | None:
        """Return who has the lease, or None."""
        moment = now()
        held = {"$gte": moment, "$lte": moment + _FURTHEST}
        found = self._leases.find_one({"_id": _LEASE_ID, "until": held})
        return None if found is None else str(found["holder"])

    def release(self, holder: str) -> None:
        """Give the lease back."""
        self._leases.delete_one({"_id": _LEASE_ID, "holder": holder})

    # What is new

    def fresh(
        self, limit: int, *, descending: bool = False, removed: bool = True
    ) -> list[StoredJob]:
        """Return jobs with entries that were not handed out, with what has to be known of them.

        Args:
            limit: how many at most.
            descending: whether the highest numbers of such entries come first, not the lowest.
            removed: whether to look for removed jobs also where there is no other; these come
                first, with `_removed`.
        """
        order = [(UNTOLD, -1 if descending else 1)]
        query = {UNTOLD: {"$gte": 0}}
        found = list(self.jobs.find(query, _HEAD, sort=order, limit=limit))
        if not (found or removed):
            return []
        # after the others: so the one is found that had the UUID of one of them before
        gone = {job["_id"]: job for job in self.removed.find(query, sort=order, limit=limit)}
        # a removal that was not completed: the job is still there, and speaks for itself
        if gone:
            for job in self.jobs.find({"_id": {"$in": [*gone]}}, {"_id": 1}):
                del gone[job["_id"]]
        removed_jobs: list[StoredJob] = [{**job, "_removed": True} for job in gone.values()]
        return [*removed_jobs, *found]

    def forget_all(self) -> None:
        """Hand out nothing of what has happened so far: there is nobody to tell.

        After an import that may be very many jobs: not all of them in one write, for which the
        events that come in would have to wait.
        """
        wanted: Document = {UNTOLD: {"$gte": 0}}
        while found := list(self.jobs.find(wanted, {"_id": 1}, limit=_MAX_FORGOTTEN)):
            ids = [job["_id"] for job in found]
            self.jobs.update_many({"_id": {"$in": ids}}, {"$unset": {UNTOLD: ""}})
        self.removed.delete_many({})

    def head(self, job_id: Any) -> StoredJob | None:
        """Return what has to be known of a job, removed or not, as `fresh` does."""
        found = self.jobs.find_one({"_id": job_id}, _HEAD)
        if found is None:
            found = self.removed.find_one({"_id": job_id})
            return None if found is None else {**found, "_removed": True}
        return found

    def any_head(self, job_id: Any) -> StoredJob | None:
        """Do as `head` does, also for a job that was removed long ago."""
        found = self.head(job_id)
        row = None if found else self.updates.find_one({"_id": f"remove:{job_id}"})
        if row is None:
            return found
        return {**self.kept_of_removed(row["document"]), "_id": job_id, "_removed": True}

    def entries(self, job: StoredJob, first: int, limit: int) -> list[Entry]:
        """Return entries of a job's history as they are stored, the first of them by its number."""
        if job.get("_removed"):
            return self._entries_of_removed(job, first, limit)
        whole = self.jobs.find_one({"_id": job["_id"]}, _HISTORY)
        if whole is None:
            return []
        return history.blanked(self.histories.read(whole, first, limit))

    def next_entries(self, jobs: Sequence[StoredJob], limit: int) -> list[list[Entry] | None]:
        """Return of each job the entry before the first that was not handed out, and those after it.

        The histories of jobs that are small are read at once. None for a job that cannot be read.
        """
        small: list[Any] = []
        size = 0
        for job in jobs:
            size += history.counted(job) or history.MAX_BYTES
            if not job.get("_removed") and size <= _MAX_AT_ONCE:
                small.append(job["_id"])
        read = {}
        if len(small) > 1:
            read = {each["_id"]: each for each in self.jobs.find({"_id": {"$in": small}}, _HISTORY)}
        found: list[list[Entry] | None] = []
        for job in jobs:
            try:
                first = max(0, job[UNTOLD] - 1)
                if (whole := read.get(job["_id"])) is None:
                    found.append(self.entries(job, first, limit + 1))
                else:
                    found.append(history.blanked(self.histories.read(whole, first, limit + 1)))
            except DAMAGE:
                found.append(None)
        return found

    def _entries_of_removed(self, job: StoredJob, first: int, limit: int) -> list[Entry]:
        row = self.updates.find_one({"_id": f"remove:{job['_id']}"})
        if row is None:
            return []
        document = row["document"]
        mark = history.moved(document)
        found: list[Any] = []
        if first < mark:
            for bucket in self.buckets_of_removed(document):
                if bucket["last"] >= first:
                    found += bucket["entries"][max(0, first - bucket["first"]) :]
        found += history.recent(document)[max(0, first - mark) :]
        return history.blanked(found[:limit])

    def buckets_of_removed(self, job: StoredJob) -> list[Document]:
        """Return the buckets of the history of a removed job, from the audit log."""
        query = {"uuid": job["uuid"], "action": "remove_history"}
        buckets = [row["bucket"] for row in self.updates.find(query)]
        ours = [each for each in buckets if each["job_id"] == job["_id"]]
        below = [each for each in ours if each["first"] < history.moved(job)]
        return sorted(below, key=lambda bucket: int(bucket["first"]))

    def advance(self, told: Sequence[tuple[StoredJob, int, bool]]) -> None:
        """Note up to where jobs were handed out.

        Args:
            told: jobs as they were read, the number of the first entry that is still to be handed
                out, and whether there was none such when the job was read.
        """
        done: dict[Any, list[Any]] = {}
        moves: list[UpdateOne] = []
        for job, number, is_all in told:
            if job.get("_removed"):
                change = {"$unset": {UNTOLD: ""}} if is_all else {"$set": {UNTOLD: number}}
                self.removed.update_one({"_id": job["_id"]}, change)
                self._let_removed_go(job["_id"])
            elif is_all:
                revision = revision_of(job)
                done.setdefault(revision, []).append(job["_id"])
            else:
                moves.append(_move(job, number))
        for revision, ids in done.items():
            # a job that has changed since may have another entry
            query = {"_id": {"$in": ids}, REVISION: revision}
            changed = self.jobs.update_many(query, {"$unset": {UNTOLD: ""}}).modified_count
            if changed < len(ids):
                moves += [
                    _move(job, number)
                    for job, number, is_all in told
                    if is_all and job["_id"] in ids and not job.get("_removed")
                ]
        if moves and self.jobs.bulk_write(moves, ordered=False).matched_count < len(moves):
            # some may have been removed meanwhile, with the mark that they had
            self.removed.bulk_write(moves, ordered=False)

    def _let_removed_go(self, job_id: Any) -> None:
        """Drop what was kept of a removed job, if nobody has to be told more of it."""
        if self.behind.find_one({"_id": job_id}, {"_id": 1}) is None:
            self.removed.delete_one({"_id": job_id, UNTOLD: {"$exists": False}})

    # Who is behind

    def laggards(self, job_uuids: Iterable[str]) -> dict[str, list[Document]]:
        """Return, by UUIDs of jobs, what is known of subscribers that are behind; a UUID may have had two jobs."""
        found: dict[str, list[Document]] = {}
        for each in self.behind.find({"job_uuid": {"$in": [*job_uuids]}}):
            found.setdefault(each["job_uuid"], []).append(each)
        return found

    def pending(
        self, subscriber: str, after: tuple[datetime.datetime, Any] | None, limit: int
    ) -> list[Document]:
        """Return documents of jobs on which a subscriber is behind, the longest waiting first.

        Args:
            subscriber: its name.
            after: `since` and `_id` of the one after which to begin.
            limit: how many at most.
        """
        query: Document = {"who": subscriber}
        if after is not None:
            query["$or"] = [
                {"since": {"$gt": after[0]}},
                {"since": after[0], "_id": {"$gt": after[1]}},
            ]
        order = [("since", 1), ("_id", 1)]
        return list(self.behind.find(query, sort=order, limit=limit))

    def is_behind(self, subscriber: str) -> bool:
        """Tell whether a subscriber is behind on any job."""
        return self.behind.find_one({"who": subscriber}, {"_id": 1}) is not None

    def count(self) -> int:
        """Count the jobs of which somebody has yet to be told something."""
        fresh = {UNTOLD: {"$gte": 0}}
        waiting = self.jobs.count_documents(fresh) + self.removed.count_documents(fresh)
        return waiting + self.behind.count_documents({})

    def begin(
        self, subscriber: str, since: datetime.datetime, in_hand: Container[Any] = ()
    ) -> None:
        """Note that a new subscriber is behind on what was handed out since a moment.

        Args:
            subscriber: its name.
            since: when it subscribed.
            in_hand: the `_id`s of jobs of which something is being handed out, to others alone.
        """
        left = []
        for job in self.jobs.find({history.UPDATED: {"$gte": since}}, {**_HEAD, "history.date": 1}):
            try:
                number = _number_since(job, since)
                end = total(job)
                is_behind = number < (end if job["_id"] in in_hand else job.get(UNTOLD, end))
            except DAMAGE:
                number, is_behind = 0, True
            if is_behind:
                left.append(Left(job, since, {subscriber: {"told": number - 1}}))
        self.leave_behind(left)

    def leave_behind(self, left: Sequence[Left]) -> None:
        """Note that subscribers are behind."""
        if not left:
            return
        self.ensure_indexes()
        self.behind.bulk_write(
            [
                UpdateOne(
                    {"_id": job["_id"]},
                    {
                        "$addToSet": {"who": {"$each": [*places]}},
                        "$set": {f"behind.{name}": place for name, place in places.items()},
                        "$setOnInsert": {"job_uuid": job["uuid"]},
                        "$min": {"since": since},
                    },
                    upsert=True,
                )
                for job, since, places in left
            ],
            ordered=False,
        )

    def note_told(self, job_id: Any, subscriber: str, number: int) -> None:
        """Note which entry a subscriber was told that is behind."""
        told = {f"behind.{subscriber}": {"told": number}}
        self.behind.update_one({"_id": job_id, "who": subscriber}, {"$set": told})

    def note_failure(self, job_id: Any, subscriber: str, place: Mapping[str, Any]) -> None:
        """Note that an entry could not be told: `tries`, `due`, `reason`, and perhaps `told`."""
        noted = {f"behind.{subscriber}.{name}": value for name, value in place.items()}
        self.behind.update_one({"_id": job_id, "who": subscriber}, {"$set": noted})

    def due_now(self, subscriber: str) -> None:
        """Let everything be due at once that could not be told before."""
        query = {"who": subscriber, f"behind.{subscriber}.due": {"$gt": now()}}
        self.behind.update_many(query, {"$unset": {f"behind.{subscriber}.due": ""}})

    def caught_up(self, job_id: Any, subscriber: str) -> None:
        """Note that a subscriber was told everything of a job that was handed out."""
        self._let_go({"_id": job_id}, subscriber)
        if self.behind.delete_one({"_id": job_id, "who": []}).deleted_count:
            self.removed.delete_one({"_id": job_id, UNTOLD: {"$exists": False}})

    def forget(self, subscriber: str) -> None:
        """Drop what a subscriber has yet to be told, since it has been removed."""
        self._let_go({"who": subscriber}, subscriber)
        self.behind.delete_many({"who": []})
        for job in self.removed.find({UNTOLD: {"$exists": False}}):
            if not any(name.startswith(_FORMER) for name in job):
                self._let_removed_go(job["_id"])

    def _let_go(self, query: Document, subscriber: str) -> None:
        change = {"$pull": {"who": subscriber}, "$unset": {f"behind.{subscriber}": ""}}
        self.behind.update_many(query, change)

    def lag(self, subscriber: str) -> Lag:
        """Return how far a subscriber is behind; the events of at most `_MAX_COUNTED` jobs are counted."""
        documents = self.pending(subscriber, None, _MAX_COUNTED)
        ids = [each["_id"] for each in documents]
        totals = {job["_id"]: job for job in self._totals(ids)}
        events = 0
        for each in documents:
            job = totals.get(each["_id"])
            if job is not None:
                events += max(1, _waiting(job, each["behind"][subscriber]))
        jobs = len(ids)
        if jobs == _MAX_COUNTED:
            jobs = self.behind.count_documents({"who": subscriber})
        return Lag(jobs, events, documents[0]["since"] if documents else None)

    def rows(self, found: Document) -> list[Document]:
        """Return who is behind on a job, and how far."""
        jobs = [*self._totals([found["_id"]])]
        return [
            {
                "uuid": found["job_uuid"],
                "subscriber": name,
                "waiting": max(0, _waiting(jobs[0], place)) if jobs else 0,
                "since": found["since"],
                "tries": place.get("tries", 0),
                "due": place.get("due"),
                "reason": place.get("reason"),
            }
            for name, place in sorted(found["behind"].items())
        ]

    def waiting_of(self, job: StoredJob) -> int:
        """Return how many events of a job somebody is behind, by its whole document."""
        found = self.behind.find_one({"_id": job["_id"]})
        numbers = [place["told"] + 1 for place in (found or {}).get("behind", {}).values()]
        return total(job) - min(numbers, default=total(job))

    def _totals(self, ids: list[Any]) -> Iterator[StoredJob]:
        names = {"history.uuid": 1, "_history": 1, "uuid": 1}
        yield from self.jobs.find({"_id": {"$in": ids}}, names)
        yield from self.removed.find({"_id": {"$in": ids}})

    # Jobs that are removed

    def adopt(self, job: StoredJob) -> None:
        """Take over what is to be told of a job that is about to be removed."""
        waits = self.behind.find_one({"_id": job["_id"]}, {"_id": 1}) is not None
        marks = {
            name: value for name, value in job.items() if name == UNTOLD or name.startswith(_FORMER)
        }
        if marks or waits:
            kept = {**self.kept_of_removed(job), **marks}
            self.removed.replace_one({"_id": job["_id"]}, cast("StoredJob", kept), upsert=True)
        else:
            # what an earlier removal has left that was not completed would be told again
            self.removed.delete_one({"_id": job["_id"], "_total": {"$lte": total(job)}})

    @staticmethod
    def kept_of_removed(job: StoredJob) -> StoredJob:
        """Return what has to be known of a removed job, but for its mark."""
        kept = {name: value for name, value in job.items() if name in _KEPT}
        return cast("StoredJob", {**kept, "_total": total(job)})

    def disown(self, job: StoredJob) -> None:
        """Drop what was taken over from a job whose removal was not completed."""
        self.removed.delete_one({"_id": job["_id"]})


def total(job: StoredJob) -> int:
    """Return how many entries the history of a job has, of which at least their UUIDs were read."""
    if "_total" in job:
        return int(job["_total"])
    return history.moved(job) + len(history.recent(job))


def _waiting(job: StoredJob, place: Mapping[str, Any]) -> int:
    """Return how many entries of a job somebody was not told; 1 where that cannot be read."""
    try:
        return total(job) - 1 - int(place["told"])
    except DAMAGE:
        return 1


def _number_since(job: StoredJob, since: datetime.datetime) -> int:
    """Return the number of the first entry since a moment, or of an earlier one."""
    entries = history.blanked(history.recent(job))
    before = [entry for entry in entries if _is_before(entry, since)]
    return history.moved(job) + len(before) if before else 0


def _is_before(entry: Entry, moment: datetime.datetime) -> bool:
    date: Any = entry.get("date")
    return isinstance(date, datetime.datetime) and date < moment


def _move(job: StoredJob, number: int) -> UpdateOne:
    query = {"_id": job["_id"], UNTOLD: {"$lt": number}}
    return UpdateOne(query, {"$set": {UNTOLD: number}})
