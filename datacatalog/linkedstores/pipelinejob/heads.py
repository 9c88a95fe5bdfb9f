"""The heads of jobs as this process has left them, so that the next event need not ask for one.

What is remembered may be outdated: another process may have changed the job since, or removed it, or
changed its token. So it permits nothing by itself. An event that is decided on it is written only if the
job still has the revision that is remembered; whatever else comes of it is decided again, on the job as
it is (`Outdated`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from datacatalog.linkedstores.pipelinejob import history

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob

MAX_HEADS = 256
SECONDS = 60.0


class Outdated(Exception):
    """What is remembered of a job does not decide this; ask again, from the start."""


class Heads:
    """The heads of some jobs, those of the latest events, for a while."""

    def __init__(self) -> None:
        self._heads: OrderedDict[str, tuple[float, StoredJob]] = OrderedDict()

    def keep(self, job: StoredJob) -> None:
        """Remember the head of a job whose event has just been written; no job that is whole.

        Of the entries only the UUIDs are kept, which would be taken for all that a whole job has.
        """
        if history.is_whole(job):
            return
        entries = [{"uuid": entry.get("uuid")} for entry in history.recent(job)]
        self._heads.pop(job["uuid"], None)
        self._heads[job["uuid"]] = (time.monotonic(), {**job, "history": entries})
        if len(self._heads) > MAX_HEADS:
            self._heads.popitem(last=False)

    def take(self, job_uuid: str) -> StoredJob | None:
        """Return the head of a job, and remember it no longer; None where it is not known."""
        since, head = self._heads.pop(job_uuid, (0.0, None))
        return head if time.monotonic() - since < SECONDS else None
