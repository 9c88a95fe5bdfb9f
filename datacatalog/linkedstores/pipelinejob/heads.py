"""The heads of jobs as this process has last read or left them, so that the next event need not ask for one.

What is remembered may be outdated: another process may have changed the job since, or removed it, or
changed its token. So it permits nothing by itself. An event that is decided on it is written only if the
job still has the revision that is remembered; whatever else comes of it is decided again, on the job as
it is. `Outdated` says so to the actor.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.pipelinejob import former_salts, history, lives

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob

HEAD = (
    *("uuid", "state", "last_event", "updated", "_history"),
    lives.LIFE,
    *(VISIBLE, "_salt", former_salts.FORMER, "_admin", "_properties"),
)
"""What decides who may change a job and what an event does to it, besides the UUIDs of its entries."""
MAX_HEADS = 256
SECONDS = 60.0
_KEPT = {"_id", *HEAD}


class Outdated(Exception):
    """What is remembered of a job does not decide this; ask again, from the start."""


class Heads:
    """The heads of some jobs, those of the latest events, for a while."""

    def __init__(self) -> None:
        self._heads: OrderedDict[str, tuple[float, StoredJob]] = OrderedDict()

    def keep(self, job: StoredJob) -> None:
        """Remember the head of a job that was just read or written; of a whole job, only the head."""
        entries = [{"uuid": entry.get("uuid")} for entry in history.blanked(history.recent(job))]
        known = {name: value for name, value in job.items() if name in _KEPT}
        self._heads.pop(job["uuid"], None)
        head = cast("StoredJob", {**known, "history": entries})
        self._heads[job["uuid"]] = (time.monotonic(), head)
        if len(self._heads) > MAX_HEADS:
            self._heads.popitem(last=False)

    def has(self, job_uuid: str) -> bool:
        """Tell whether the head of a job is known."""
        since, _ = self._heads.get(job_uuid, (0.0, None))
        return time.monotonic() - since < SECONDS

    def clear(self) -> None:
        """Forget all: another process has changed some of these jobs, and probably others."""
        self._heads.clear()

    def take(self, job_uuid: str) -> StoredJob | None:
        """Return the head of a job, and remember it no longer; None where it is not known."""
        since, head = self._heads.pop(job_uuid, (0.0, None))
        return head if time.monotonic() - since < SECONDS else None
