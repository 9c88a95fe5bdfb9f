"""Does an event cost more when the job has had many? The 5,000th against the 10th, in one run."""

from __future__ import annotations

import statistics
import time

from rich.progress import track

from bench.catalog import Catalog, catalog
from datacatalog.linkedstores.pipelinejob import history

LONG = 5000
SHORT = 10
ROUNDS = 60
MOST_RATIO = 1.3


def timed(jobs: Catalog, job: dict[str, object], number: int) -> float:
    """Return the seconds that one event takes, from the call until it is on disk."""
    begin = time.perf_counter()
    jobs.update(job, number)
    return time.perf_counter() - begin


def main() -> None:
    """Print both costs and their ratio."""
    short, long = [], []
    with catalog() as jobs:
        old = jobs.running_job()
        for number in track(range(LONG - ROUNDS), description=f"a job with {LONG:,} events"):
            jobs.update(old, number)
        for turn in track(range(ROUNDS), description="the 10th and the 5,000th in turn"):
            young = jobs.running_job()
            for number in range(SHORT - 2):
                jobs.update(young, number)
            short.append(timed(jobs, young, SHORT))
            long.append(timed(jobs, old, LONG + turn))
        document = jobs.jobs.load(old["uuid"])
        moved, kept = history.moved(document), len(document["history"])
    for name, times in (("10th", short), ("5,000th", long)):
        median, mean = statistics.median(times) * 1000, statistics.mean(times) * 1000
        print(f"{name:>8} event: median {median:6.2f} ms, mean {mean:6.2f} ms")
    print(f"history: {moved:,} entries in buckets, {kept} in the document")
    ratio = statistics.median(long) / statistics.median(short)
    mean_ratio = statistics.mean(long) / statistics.mean(short)
    print(
        f"ratio 5,000th / 10th: median {ratio:.2f}, mean {mean_ratio:.2f} (at most {MOST_RATIO} is wanted)"
    )


if __name__ == "__main__":
    main()
