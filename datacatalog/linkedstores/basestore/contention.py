"""Who has lost against other writers waits a moment, and tries again."""

from __future__ import annotations

import random
import time

from datacatalog.linkedstores.basestore.exceptions import CatalogUpdateFailure

MAX_SECONDS = 60.0
"""After which somebody who never gets their turn is told so."""
_FIRST_PAUSE, _DOUBLINGS = 0.001, 6


class Contention:
    """The attempts at one change that other writers may win.

    Args:
        what: is changed, for the error.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._deadline = time.monotonic() + MAX_SECONDS
        self._lost = 0

    def pause(self) -> None:
        """Wait before the next attempt, longer each time.

        Raises:
            CatalogUpdateFailure: `MAX_SECONDS` have passed.
        """
        longest = _FIRST_PAUSE * 2 ** min(self._lost, _DOUBLINGS)
        time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, no secret
        self._lost += 1
        if time.monotonic() >= self._deadline:
            message = (
                f"{self._what}: other writers were faster for {MAX_SECONDS:.0f} s; send it again"
            )
            raise CatalogUpdateFailure(message)
