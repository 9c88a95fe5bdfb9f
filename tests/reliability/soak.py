"""How often a test does what it does, and what came of it in a long run."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.reliability.checker import Outcome, Record

T = TypeVar("T")
VARIABLE = "PIPELINEJOBS_SOAK"
"""Names the file that the figures of a long run are added to; where it is not set, runs are short."""


def is_long() -> bool:
    """Tell whether this is a long run."""
    return bool(os.environ.get(VARIABLE))


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile of some times."""
    return statistics.quantiles(seconds, n=100)[98]


def many(short: T, long: T) -> T:
    """Return how much of something there is to be in this run."""
    return long if is_long() else short


RED_SECONDS, GREEN_SECONDS = many(60.0, 5.0), many(60.0, 10.0)
"""Until a gateway says that it is not ready, and that it is again."""
BACK_SECONDS = many(60.0, 5.0)
"""Until events are applied again."""
STOP_SECONDS = many(30.0, 10.0)
"""Until a gateway that is told to has stopped. Beside a short run, there may be others on the machine."""


def note(
    row: int,
    what: str,
    count: int,
    *,
    record: Record | None = None,
    back: Sequence[float] = (),
    measured: str = "",
) -> None:
    """Add a figure of a test that has passed.

    Args:
        row: of the table of tests.
        what: was done, in the plural: `rounds of kill -9`.
        count: how often.
        record: of the calls meanwhile, which the checker has found no problem with.
        back: how many seconds it took each time until events were accepted again.
        measured: what else was found out.
    """
    file = os.environ.get(VARIABLE)
    if not file:
        return
    known = record if record is not None and record.calls else None
    figure = {
        "row": row,
        "what": what,
        "count": count,
        "acknowledged": known.count(Outcome.ACKNOWLEDGED) if known else None,
        "unknown": known.count(Outcome.UNKNOWN) if known else None,
        "back": max(back, default=None),
        "measured": measured,
        "at": time.time(),
    }
    with Path(file).open("a") as results:
        results.write(json.dumps(figure) + "\n")
