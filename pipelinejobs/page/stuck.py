"""The stuck jobs on the overview, looked for every few seconds, whoever asks how often."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pipelinejobs import stuck
from pipelinejobs.page import listing

if TYPE_CHECKING:
    from datacatalog.mongo import Document
    from pipelinejobs.backend import Backend
    from pipelinejobs.page.filters import Scope

MOST = 20
SECONDS = 10.0
"""For how long an answer holds: the price of one is that of all jobs in these states."""


class Stuck:
    """Remembers which jobs are stuck."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Backend, float, list[Document]] | None = None

    def jobs(self, backend: Backend, scope: Scope) -> tuple[list[Document], int]:
        """Return the longest quiet of the stuck jobs, as `stuck.find` does, and how many more there are.

        Args:
            backend: where they are.
            scope: which jobs.
        """
        with self._lock:
            if self._known is None or not self._holds(backend):
                self._known = (backend, time.monotonic(), stuck.find(backend))
            found = self._known[2]
        wanted = [job for job in found if scope.has(job)]
        return listing.titled(backend, wanted[:MOST]), len(wanted[MOST:])

    def _holds(self, backend: Backend) -> bool:
        known = self._known
        return known is not None and known[0] is backend and time.monotonic() - known[1] < SECONDS
