"""Jobs to which nothing has happened for longer than is usual in their pipeline and state."""

from __future__ import annotations

import datetime
import threading
import time
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.statistics.sums import quantile
from pipelinejobs.page import listing

if TYPE_CHECKING:
    from datacatalog.mongo import Document
    from pipelinejobs.backend import Backend
    from pipelinejobs.page.filters import Scope

STATES = ("CREATED", "RUNNING", "INDEXING", "VALIDATING")
"""In which a job is not to stay."""
MOST = 20
LEAST_KNOWN = 5
"""How often jobs of a pipeline must have left a state, for others to be called slow."""
SECONDS = 10.0
"""For how long an answer holds: the price of one is that of all jobs in these states."""
_SHARE = 0.95
_MAX_QUIET = 500


class Stuck:
    """Looks for stuck jobs every few seconds, whoever asks how often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Backend, float, list[Document]] | None = None

    def jobs(self, backend: Backend, scope: Scope) -> list[Document]:
        """Return stuck jobs, the longest quiet first, each with `quiet` and `usual` in seconds.

        Args:
            backend: where they are.
            scope: which jobs.
        """
        with self._lock:
            if self._known is None or not self._holds(backend):
                self._known = (backend, time.monotonic(), _find(backend))
            found = self._known[2]
        wanted = [job for job in found if scope.has(job)]
        return listing.titled(backend, wanted[:MOST])

    def _holds(self, backend: Backend) -> bool:
        known = self._known
        return known is not None and known[0] is backend and time.monotonic() - known[1] < SECONDS


def _find(backend: Backend) -> list[Document]:
    usual: dict[tuple[str, str], float] = {}
    for pipeline, found in backend.statistics.ever().items():
        for state in STATES:
            histogram = found.in_state(state)
            longest = quantile(histogram, _SHARE)
            if longest is not None and histogram.total() >= LEAST_KNOWN:
                usual[pipeline, state] = longest
    if not usual:
        return []
    moment = now()
    since = moment - datetime.timedelta(seconds=min(usual.values()))
    stuck = []
    for job in backend.search.quiet(sorted({state for _, state in usual}), since, _MAX_QUIET):
        longest = usual.get((str(job.get("pipeline_uuid")), str(job.get("state"))))
        quiet = (moment - job["updated"]).total_seconds()
        if longest is not None and quiet > longest:
            stuck.append({**job, "quiet": quiet, "usual": longest})
    return stuck
