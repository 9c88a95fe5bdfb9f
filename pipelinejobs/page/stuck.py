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
            known = self._known
            if not known or known[0] is not backend or time.monotonic() - known[1] >= SECONDS:
                known = self._known = (backend, time.monotonic(), stuck.find(backend))
        wanted = [job for job in known[2] if scope.has(job)]
        return listing.titled(backend, wanted[:MOST]), len(wanted[MOST:])
