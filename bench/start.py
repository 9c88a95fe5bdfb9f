"""How long it takes until `make up` accepts an event, and what it costs while nothing happens."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.load import closed_loop
from bench.measuring import Bench, Table, alone
from bench.running import ACCEPTED, serving
from bench.usage import own_time, tree_time

_FIRST, _AGAIN = "in an empty folder", "where it was before"
_NOTE = (
    "From the start of the process, which starts its database as well, until an event is on disk and its"
    " sender is answered. Medians."
)
_SETTLING_SECONDS = 5.0
_AT_REST = (
    "Processor time of `make up` while nothing happens: of the gateway, and of the database, the dispatcher and"
    " the workers together."
)


def measure(bench: Bench) -> list[Table]:
    """Start a gateway as `make up` does, and send it an event as soon as it listens."""
    seconds: dict[str, list[float]] = {_FIRST: [], _AGAIN: []}
    for _ in bench.track(range(bench.many(3, 1)), "start"):
        with tempfile.TemporaryDirectory() as name:
            for kind in (_FIRST, _AGAIN):
                seconds[kind].append(_start(Path(name)))
    rows = [[kind, f"{statistics.median(each):.2f}"] for kind, each in seconds.items()]
    return [
        Table("Start to first accepted event", ["", "s"], rows, _NOTE),
        Table("At rest", ["", "ms per second"], _rest(bench.many(20.0, 1.0)), _AT_REST),
    ]


def _start(folder: Path) -> float:
    """Return the seconds until the first event is accepted."""
    begin = time.perf_counter()
    with serving(folder) as up:
        closed_loop(up.port, [[up.update(up.job, wait=False)]], 0.0, ACCEPTED)
        return time.perf_counter() - begin


def _rest(seconds: float) -> list[list[str]]:
    """Return what a gateway and the others use."""
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as up:
        time.sleep(_SETTLING_SECONDS)
        own, whole = own_time(up.pid), tree_time(up.pid)
        time.sleep(seconds)
        own, whole = own_time(up.pid) - own, tree_time(up.pid) - whole
    each = {"gateway": own, "the others": whole - own}
    return [[kind, f"{1000 * spent / seconds:.0f}"] for kind, spent in each.items()]


if __name__ == "__main__":
    alone(measure)
