"""How many jobs the filters of an address leave, counted no more often than there is news."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datacatalog.linkedstores.changes import Changes
    from datacatalog.linkedstores.pipelinejob.search import Filters
    from pipelinejobs.backend import Backend

_SECONDS = 2.0
"""For how long a count holds although something has changed."""
MAX_SEARCH_SECONDS = 1.0
MAX_KNOWN = 50
"""Filters whose counts are kept."""


class _Known(NamedTuple):
    changes: Changes
    total: int
    moment: float
    found: tuple[dict[str, int], bool]


class Counter:
    """Counts again only where something has changed, and not all the time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def counts(
        self, backend: Backend, changes: Changes, key: str, filters: Filters
    ) -> tuple[dict[str, int], bool]:
        """Return how many jobs are in each state, and whether these are all.

        Args:
            backend: where they are.
            changes: of the catalog.
            key: what tells these filters from others.
            filters: which jobs.
        """
        with self._lock:
            total = changes.total()
            known = self._known.pop(key, None)
            if known is None or known.changes is not changes or not _holds(known, total):
                found = backend.search.counts(filters, MAX_SEARCH_SECONDS)
                known = _Known(changes, total, time.monotonic(), found)
            self._known[key] = known
            while len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
            return known.found


def _holds(known: _Known, total: int) -> bool:
    return known.total == total or time.monotonic() - known.moment < _SECONDS
