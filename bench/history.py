"""Growth of one job: does an event cost more when the job has had many?"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.catalog import Catalog, catalog
from bench.measuring import Bench, Table, alone, at_most, median_p99

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacatalog.mongo import Document

SHORT = 10
LONG = (1_000, 100_000)
MAX_RATIO = 1.3
_NOTE = (
    "`PipelineJobStore.handle`, the jobs in turn. The long histories are made in bulk, as their events"
    " would have left them; the move of entries to a bucket every 20 events is in their means."
)


def measure(bench: Bench) -> list[Table]:
    """Compare the next event, and what reads a job, after few and after many events."""
    lengths = bench.many(LONG, (60, 200))
    with catalog() as jobs:
        long = {length: jobs.running_job() for length in lengths}
        for length, job in bench.track(long.items(), "long histories", len(long)):
            jobs.fill_history(job, length)
        events: dict[int, list[float]] = {length: [] for length in (SHORT, *lengths)}
        reads: dict[int, list[float]] = {length: [] for length in (SHORT, *lengths)}
        for turn in bench.track(range(bench.many(100, 2)), "events on one job"):
            for length, job in {SHORT: _with_a_short_history(jobs), **long}.items():
                reads[length].append(_timed(jobs.jobs.load, job["uuid"]))
                events[length].append(_timed(jobs.update, job, length + turn))
    median, mean = statistics.median(events[SHORT]), statistics.mean(events[SHORT])
    rows = []
    for length, seconds in events.items():
        ratio = statistics.median(seconds) / median
        rows.append(
            [
                f"{length:,}",
                *median_p99(seconds),
                f"{ratio:.2f}",
                f"{statistics.mean(seconds) / mean:.2f}",
                median_p99(reads[length])[0],
                at_most(ratio, MAX_RATIO),
            ]
        )
    columns = ["events before", "median ms", "p99 ms", f"median / {SHORT}", f"mean / {SHORT}"]
    columns += ["read the job, ms", f"wanted of median / {SHORT}"]
    return [Table("Growth: events on one job", columns, rows, _NOTE)]


def _with_a_short_history(jobs: Catalog) -> Document:
    job = jobs.running_job()
    jobs.fill_history(job, SHORT)
    return job


def _timed(call: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds that a call takes."""
    begin = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begin


if __name__ == "__main__":
    alone(measure)
