"""What was changed of late, asked again and again at the price of what is new."""

from __future__ import annotations

import datetime
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import REVISION, now
from datacatalog.linkedstores.pipelinejob.history import UPDATED

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob.reader import JobReader
    from datacatalog.mongo import Document

WINDOW = datetime.timedelta(seconds=10)
"""How much later than its date a change may be seen: clocks differ, and writes take their time."""
_MAX_COUNTED = 10_000
_MAX_READ = 10_000
"""Changes of a kind; with more within `WINDOW`, which those were is not looked for."""


class Changes:
    """Counts the changes of documents, and the events that were refused, since it was made.

    The numbers say nothing but whether there was a change in between: who remembers one asks again.
    They are safe to ask for in several threads, which share a look into the database.

    Args:
        jobs: the store of jobs; the audit log that it writes is that of all stores. Events are seen by
            the jobs that have had one of late.
        seconds: for how long an answer holds.
    """

    def __init__(self, jobs: JobReader, seconds: float = 0.5) -> None:
        self._jobs = jobs
        self._seconds = seconds
        self._looking = threading.Lock()
        self._asked: float | None = None
        self._since = now()
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._base = self._total = 0

    def of(self, uuid: str) -> int:
        """Return a number that grows when the document with a UUID changes."""
        self._look()
        return self._base + self._counts[uuid]

    def total(self) -> int:
        """Return a number that grows when any document changes."""
        self._look()
        return self._total

    def _look(self) -> None:
        # while somebody looks, what was known before holds: a database may take long to answer
        if self._is_fresh() or not self._looking.acquire(blocking=self._asked is None):
            return
        try:
            if not self._is_fresh():
                self._count_new()
        finally:
            self._looking.release()

    def _is_fresh(self) -> bool:
        return self._asked is not None and time.monotonic() - self._asked < self._seconds

    def _count_new(self) -> None:
        moment, asked = time.monotonic(), now()
        found = self._found(self._since - WINDOW)
        new = found.keys() - self._seen
        if self._asked is not None and new:
            self._total += len(new)
            self._counts.update(found[key] for key in new)
            if len(found) > _MAX_READ or len(self._counts) > _MAX_COUNTED:
                # all numbers grow: whoever remembers one looks once more than needed
                self._base = self._total
                self._counts.clear()
        self._seen, self._since, self._asked = set(found), asked, moment

    def _found(self, since: datetime.datetime) -> dict[str, str]:
        """Return the uuids of what was changed, by the change; of many, only some."""
        after, most = {"$gte": since}, _MAX_READ + 1
        rows: list[Document] = [
            *self._jobs.updates.find({"date": after}, {"uuid": 1}, limit=most),
            *self._jobs.rejected.find({"date": after}, {"uuid": 1}, limit=most),
        ]
        found = {str(row["_id"]): str(row.get("uuid")) for row in rows}
        # the audit log has an event when its entry moves, under the very key that it has here
        shown = {"uuid": 1, REVISION: 1}
        for job in self._jobs.coll.find({UPDATED: after}, shown, limit=most):
            revision = (job.get("_properties") or {}).get("revision")
            found[f"{job['_id']}:{revision}"] = str(job.get("uuid"))
        return found
