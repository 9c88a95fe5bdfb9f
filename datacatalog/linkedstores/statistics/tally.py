"""Counts what happens, in the wake of those who write it: each entry of a history once.

Whoever hands out what is new (see `pipelinejob.untold`) has it counted first, many jobs at once. What a
batch adds is written into one document, the journal, with its number and up to which entry each job was
counted; then it is added to the cells, each of which knows the number of the last batch that it has. A
batch that a crash has interrupted is added again, to the cells that lack it. How far a job was counted
is kept until it was handed out as far; after that, its mark says it.

Without a journal, everything is counted again: that is what a new database, an import and `rebuild` do.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, cast

from pymongo import IndexModel, UpdateOne
from pymongo.errors import DuplicateKeyError

from datacatalog import mongo
from datacatalog.linkedstores.basestore import indexes
from datacatalog.linkedstores.basestore.paging import Listing
from datacatalog.linkedstores.basestore.store import CREATED, REVISION, now
from datacatalog.linkedstores.pipelinejob import history
from datacatalog.linkedstores.pipelinejob.reader import REMOVAL
from datacatalog.linkedstores.pipelinejob.replay import DAMAGE
from datacatalog.linkedstores.pipelinejob.store import REMOVED
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, total
from datacatalog.linkedstores.statistics.sums import HOUR, Cell, Sums, beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from datacatalog.linkedstores.pipelinejob.reader import JobReader
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

CELLS, RUNS, REFUSED = "statistics", "statistics_runs", "statistics_refused"
JOURNAL = "statistics_journal"
_JOURNAL_ID = "the last batch"
_BATCH = 500
"""Jobs that are counted again at once."""
_ATTEMPTS = 3
_BEGINNING = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_LATE = datetime.timedelta(hours=1)
"""How much later than its date a refusal may be seen."""
_MANY = 2000
"""Documents in one write."""
_NEEDED = dict.fromkeys(
    (
        *("uuid", "pipeline_uuid", "_history", CREATED, REVISION, UNTOLD),
        *("history.name", "history.date", "history._state"),
    ),
    1,
)
_BACK, _MAX_BACK = 20, 480
"""Entries that are read at once to find when a job has come into its state: first, and at most."""


class Tally:
    """The one who counts; who has the lease of `Untold` may.

    Args:
        jobs: what is counted.
    """

    def __init__(self, jobs: JobReader) -> None:
        self._jobs = jobs
        self._untold = jobs.untold
        self._cells, self._runs = jobs.db[CELLS], jobs.db[RUNS]
        self._refused, self._removed = jobs.db[REFUSED], jobs.db[REMOVED]
        self._journal = jobs.db[JOURNAL]
        self._refusals = (_BEGINNING, -1)
        """since when what was refused has to be counted, and how many that were last"""
        self._batch: int | None = None
        """the number of the last batch; None where the journal has to be read"""
        self._ahead: dict[Any, int] = {}
        """jobs that were counted further than they were handed out, up to which number"""

    def ensure_indexes(self) -> None:
        """Create the indexes that are missing."""
        indexes.ensure(self._cells, [IndexModel([("span", 1), ("since", 1)])])
        indexes.ensure(self._runs, [IndexModel("ended"), IndexModel("uuid")])
        indexes.ensure(self._refused, [IndexModel("since")])

    def is_there(self) -> bool:
        """Look whether there is anything to add to, or all has to be counted again."""
        if self._journal.find_one({"_id": _JOURNAL_ID}, {"_id": 1}) is None:
            self._batch = None
            return False
        return True

    def forget(self) -> None:
        """Have everything counted again by whoever counts next."""
        self._journal.delete_one({"_id": _JOURNAL_ID})
        self._batch = None

    def _read_journal(self) -> bool:
        """Go on where another process has ended; tell whether there is anything to go on from."""
        found = self._journal.find_one({"_id": _JOURNAL_ID})
        if found is None:
            self._batch = None
            return False
        self._add(found)
        self._batch, self._ahead = found["batch"], dict(found["ahead"])
        if self._ahead:
            wanted = {"_id": {"$in": [*self._ahead]}, UNTOLD: {"$gte": 0}}
            marked = itertools.chain(
                self._untold.jobs.find(wanted, {UNTOLD: 1}),
                self._untold.removed.find(wanted, {UNTOLD: 1}),
            )
            marks = {job["_id"]: job[UNTOLD] for job in marked}
            self._ahead = {
                job: number
                for job, number in self._ahead.items()
                if marks.get(job, number) < number
            }
        return True

    def count(self, heads: Sequence[StoredJob]) -> list[StoredJob]:
        """Count what is new of some jobs; where everything has to be counted again, nothing.

        Args:
            heads: as `Untold.fresh` returned them.

        Returns:
            The jobs as they were counted, without those that were removed or cannot be read.
        """
        if not heads:
            return []
        for _ in range(_ATTEMPTS):
            if self._batch is None and not self._read_journal():
                return []
            jobs, sums, ahead = self._sums(heads)
            if not sums.cells:
                self._ahead = ahead
                return jobs
            if self._write(sums, ahead):
                return jobs
            # another process has counted, and perhaps these: what it has noted is read again
        return []

    def _sums(self, heads: Sequence[StoredJob]) -> tuple[list[StoredJob], Sums, dict[Any, int]]:
        """Return jobs as they are now, what is new of them, and how far they will be counted then."""
        there = [head["_id"] for head in heads if not head.get("_removed")]
        gone = {head["_id"]: head for head in heads if head.get("_removed")}
        jobs = list(self._untold.jobs.find({"_id": {"$in": there}}, _NEEDED)) if there else []
        sums, ahead = Sums(), dict(self._ahead)
        read = []
        for job in jobs:
            with contextlib.suppress(*DAMAGE):
                first = max(ahead.get(job["_id"], 0), job.get(UNTOLD, total(job)))
                ahead[job["_id"]] = self._count_job(sums, job, first)
                read.append(job)
        for head in self._untold.removed.find({"_id": {"$in": [*gone]}}) if gone else ():
            with contextlib.suppress(*DAMAGE):
                first = max(ahead.get(head["_id"], 0), head.get(UNTOLD, total(head)))
                ahead[head["_id"]] = self._count_removed(sums, head, first)
        return read, sums, ahead

    def has_counted(self, head: StoredJob) -> bool:
        """Tell whether a job that is there has nothing that this process has not counted.

        Args:
            head: as `Untold.fresh` returned it.
        """
        if self._batch is None or head.get("_removed"):
            return False
        with contextlib.suppress(*DAMAGE):
            return self._ahead.get(head["_id"], -1) >= total(head)
        return False

    def was_handed_out(self, ends: Mapping[Any, int]) -> None:
        """Note up to which entry jobs were handed out, by their `_id`."""
        for job, number in ends.items():
            if self._ahead.get(job, number + 1) <= number:
                del self._ahead[job]

    def _count_job(self, sums: Sums, job: StoredJob, first: int) -> int:
        """Count the entries of a job from a number on; return how many it has in all."""
        end = total(job)
        if first < end:
            entries = self._untold.histories.read(job, first, None, data=False)
            sums.count(job, entries, first, self._back(job, first))
        return max(first, end)

    def _back(self, job: StoredJob, end: int) -> Iterator[Any]:
        """Yield the entries before a number, the newest first."""
        recent = history.recent(job)[: max(0, end - history.moved(job))]
        yield from reversed(recent)
        end -= len(recent)
        size = _BACK
        while end > 0:
            begin = max(0, end - size)
            read = self._untold.histories.read(job, begin, end - begin, data=False)
            yield from reversed([*read])
            end, size = begin, min(2 * size, _MAX_BACK)

    def _count_removed(self, sums: Sums, head: StoredJob, first: int) -> int:
        end = total(head)
        if first < end:
            entries = self._untold.entries({**head, "_removed": True}, 0, end)
            self._count_listed(sums, head, entries, first)
        return max(first, end)

    @staticmethod
    def _count_listed(sums: Sums, job: StoredJob, entries: Sequence[Any], first: int) -> None:
        sums.count(job, entries[first:], first, reversed(entries[:first]))

    # Writing

    def _write(self, sums: Sums, ahead: dict[Any, int]) -> bool:
        """Add sums to the cells; tell whether this process is still the one who counts."""
        former, batch = self._batch or 0, (self._batch or 0) + 1
        entry = {
            "batch": batch,
            "date": now(),
            "ahead": [[job, number] for job, number in ahead.items()],
            "cells": [[*cell, [*added.items()]] for cell, added in sums.cells.items()],
            "runs": sums.runs,
        }
        self._batch = None  # until it is certain what there is
        query = {"_id": _JOURNAL_ID, "batch": former}
        if not self._journal.update_one(query, {"$set": entry}).matched_count:
            return False
        self._add(entry)
        self._batch, self._ahead = batch, ahead
        return True

    def _add(self, entry: Document) -> None:
        """Add what the journal says to the cells that lack it."""
        batch = entry["batch"]
        updates = [
            UpdateOne(
                {"_id": Cell(span, since, pipeline).key, "batch": {"$lt": batch}},
                {
                    "$inc": dict(added),
                    "$set": {"batch": batch},
                    "$setOnInsert": {"span": span, "since": since, "pipeline": pipeline},
                },
                upsert=True,
            )
            for span, since, pipeline, added in entry["cells"]
        ]
        if updates:
            # a cell that has the batch is there, and not found: nothing is inserted in its place
            with mongo.but_duplicates():
                self._cells.bulk_write(updates, ordered=False)
        self._write_runs(entry["runs"])

    # What was refused

    def count_refused(self) -> None:
        """Count the refused events of the hours since the last look, each hour again."""
        since, known = self._refusals
        if since == _BEGINNING:
            newest = self._refused.find_one(sort=[("since", -1)])
            since = since if newest is None else newest["since"] - _LATE
        wanted = {"date": {"$gte": since}}
        count = self._jobs.rejected.count_documents(wanted)
        if count == known:
            return
        rows = list(self._jobs.rejected.find(wanted, {"uuid": 1, "date": 1}))
        pipelines = self._pipelines({str(row.get("uuid")) for row in rows})
        cells = Counter(
            Cell(HOUR, beginning(HOUR, row["date"]), pipelines.get(str(row.get("uuid")), ""))
            for row in rows
        )
        updates = [
            UpdateOne(
                {"_id": cell.key},
                {"$set": {"since": cell.since, "pipeline": cell.pipeline, "count": number}},
                upsert=True,
            )
            for cell, number in cells.items()
        ]
        if updates:
            self._refused.bulk_write(updates, ordered=False)
        following = max(since, beginning(HOUR, now() - _LATE))
        # where the hours change, one more look tells how many there are
        self._refusals = (following, count if following == since else -1)

    def _pipelines(self, job_uuids: set[str]) -> dict[str, str]:
        """Return the pipelines of jobs, removed ones too, by their UUIDs."""
        names = {"uuid": 1, "pipeline_uuid": 1}
        there = list(self._untold.jobs.find({"uuid": {"$in": sorted(job_uuids)}}, names))
        gone = sorted(job_uuids - {job["uuid"] for job in there})
        found = [*there]
        if gone:
            wanted = {"uuid": {"$in": gone}, **REMOVAL}
            shown = {f"document.{name}": 1 for name in names}
            found += [row["document"] for row in self._untold.updates.find(wanted, shown)]
        return {job["uuid"]: str(job.get("pipeline_uuid")) for job in found}

    # Counting again

    def rebuild(self, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Count everything again, the jobs that were removed as well; tell whether it was done.

        Args:
            goes_on: whether this process is still the one who may, asked again and again.
        """
        self.forget()
        for collection in (self._cells, self._runs, self._refused):
            _empty(collection)
        self.ensure_indexes()
        self._refusals = (_BEGINNING, -1)
        sums, ahead, seen = Sums(), {}, set()
        listing = Listing(self._untold.jobs, CREATED, projection=_NEEDED)
        every = cast("Iterator[StoredJob]", listing.all())
        jobs = itertools.chain(every, self._untold.jobs.find({CREATED: None}, _NEEDED))
        while some := [*itertools.islice(jobs, _BATCH)]:
            for job in some:
                seen.add(job["_id"])
                with contextlib.suppress(*DAMAGE):
                    end = self._count_job(sums, job, 0)
                    if UNTOLD in job:
                        ahead[job["_id"]] = end
            self._write_runs(sums.runs)
            sums.runs.clear()
            if not goes_on():
                return False
        ahead |= self._count_removed_long_ago(sums, seen)
        self._write_runs(sums.runs)
        cells = [
            {"_id": cell.key, **cell._asdict(), "batch": 0, **_nested(added)}
            for cell, added in sums.cells.items()
        ]
        for begin in range(0, len(cells), _MANY):
            self._cells.insert_many(cells[begin : begin + _MANY], ordered=False)
        kept = [[job, number] for job, number in ahead.items()]
        first = {
            "batch": 0,
            "date": now(),
            "ahead": kept,
            "cells": [],
            "runs": [],
        }
        try:
            self._journal.insert_one({"_id": _JOURNAL_ID, **first})
        except DuplicateKeyError:
            return False
        self._batch, self._ahead = 0, ahead
        self.count_refused()
        return True

    def _count_removed_long_ago(self, sums: Sums, seen: Container[Any]) -> dict[Any, int]:
        """Count removed jobs as the audit log has them; return how far, where they were not handed out.

        Args:
            sums: to which they are added.
            seen: jobs that were counted while they were still there.
        """
        ahead, states = {}, defaultdict[str, Counter[str]](Counter)
        # little by little: there is no index that leads to them
        removals = Listing(self._untold.updates, "date", rest=REMOVAL)
        for row in removals.all():
            job = row["document"]
            if "history" not in job or self._untold.jobs.find_one({"_id": job["_id"]}, {"_id": 1}):
                continue  # a document of another store, or a removal that was not completed
            states[str(job.get("pipeline_uuid"))][str(job.get("state"))] += 1
            if job["_id"] in seen:
                continue
            with contextlib.suppress(*DAMAGE):
                buckets = self._untold.buckets_of_removed(job)
                moved = [entry for each in buckets for entry in each["entries"]]
                entries = [*moved, *history.recent(job)]
                self._count_listed(sums, job, entries, 0)
                if UNTOLD in job:
                    ahead[job["_id"]] = len(entries)
        self._removed.delete_many({})
        if states:
            self._removed.insert_many({"_id": key, "states": dict(n)} for key, n in states.items())
        return ahead

    def _write_runs(self, runs: Sequence[Document]) -> None:
        for begin in range(0, len(runs), _MANY):
            with mongo.but_duplicates():
                self._runs.insert_many(runs[begin : begin + _MANY], ordered=False)


def _empty(collection: Collection[Document]) -> None:
    """Delete all documents, some at a time: to drop a collection may take the embedded server minutes."""
    while some := [*collection.find({}, {"_id": 1}, sort=[("_id", 1)], limit=_MANY)]:
        collection.delete_many({"_id": {"$lte": some[-1]["_id"]}})


def _nested(added: Counter[str]) -> Document:
    """Return counts by dotted paths as the document that they are the paths of."""
    made: Document = {}
    for path, number in added.items():
        *names, last = path.split(".")
        place = made
        for name in names:
            place = place.setdefault(name, {})
        place[last] = number
    return made
