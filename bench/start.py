"""How long it takes until `make up` accepts an event, and what it needs at rest."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.load import closed_loop
from bench.measuring import Bench, Table, alone
from bench.running import ACCEPTED, serving

_FIRST, _AGAIN = "in an empty folder", "where it was before"
_NOTE = (
    "From the start of the process, which starts its database as well, until an event is on disk and its"
    " sender is answered. Medians."
)


def measure(bench: Bench) -> list[Table]:
    """Start a gateway as `make up` does, and send it an event as soon as it listens."""
    seconds: dict[str, list[float]] = {_FIRST: [], _AGAIN: []}
    for _ in bench.track(range(bench.many(3, 1)), "start"):
        with tempfile.TemporaryDirectory() as name:
            for kind in (_FIRST, _AGAIN):
                seconds[kind].append(_start(Path(name)))
    rows = [[kind, f"{statistics.median(each):.2f}"] for kind, each in seconds.items()]
    return [Table("Start to first accepted event", ["", "s"], rows, _NOTE)]


def _start(folder: Path) -> float:
    """Return the seconds until the first event is accepted."""
    begin = time.perf_counter()
    with serving(folder) as up:
        closed_loop(up.port, [[up.update(up.job, wait=False)]], 0.0, ACCEPTED)
        return time.perf_counter() - begin


if __name__ == "__main__":
    alone(measure)
