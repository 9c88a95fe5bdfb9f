"""Waiting for a database that is away, where nobody else keeps the message meanwhile."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

from manager.exceptions import TEMPORARY, DatabaseUnavailable
from manager.settings import section_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactors.runtime import Reactor

    T = TypeVar("T")

PATIENCE = 60.0
_FIRST_PAUSE, _MAX_PAUSE = 0.5, 5.0


def wait_for_database(rx: Reactor, attempt: Callable[[], T]) -> T:
    """Do something as soon as the database is there, within `mongodb.patience` seconds.

    Each attempt handles the same execution, so that what an earlier one achieved is not repeated.

    Raises:
        DatabaseUnavailable: it was not there in time.
        Refusal: as the attempt does.
    """
    given = section_of(rx.settings, "mongodb").get("patience")
    deadline = time.monotonic() + (PATIENCE if given is None else given)
    pause, waits = _FIRST_PAUSE, False
    while True:
        try:
            return attempt()
        except DatabaseUnavailable as problem:
            seconds = pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            if problem.exit_code != TEMPORARY or time.monotonic() + seconds > deadline:
                raise
            if not waits:
                rx.logger.warning("%s", rx.redact(f"waiting, since {problem}"))
        waits = True
        time.sleep(seconds)
        pause = min(2 * pause, _MAX_PAUSE)
