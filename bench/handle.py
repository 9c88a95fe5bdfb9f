"""What does `PipelineJobStore.handle` cost, against a bare `find_one` and `update_one`?

Both in collections of the same server, in turn; the bare one's has only the index of the `uuid`, and a
document that is as large. Processor time is that of this process and of the server.
"""

from __future__ import annotations

import datetime
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.progress import track

from bench.catalog import Catalog, catalog
from datacatalog.linkedstores.pipelinejob import history

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacatalog.mongo import Document

BEFORE = 20
ROUNDS, EVENTS = 12, 40
MOST_RATIO = 1.5


class Cost(NamedTuple):
    """Of one event, in milliseconds."""

    wall: float
    own: float
    server: float


class Bare:
    """Reads a document and changes it as an event does, with nothing in between."""

    def __init__(self, jobs: Catalog, like: Document) -> None:
        self._collection = jobs.jobs.db["bare"]
        self._collection.create_index("uuid", unique=True)
        self._collection.insert_one(like)
        self._query = {"uuid": like["uuid"]}
        self._entry = like["history"][-1]
        self._most = len(like["history"])

    def event(self) -> None:
        """Do it."""
        self._collection.find_one(self._query)
        moment = datetime.datetime.now(datetime.timezone.utc)
        self._collection.update_one(
            self._query,
            {
                "$set": {"state": "RUNNING", "last_event": "update", "updated": moment},
                "$push": {"history": {"$each": [self._entry], "$slice": -self._most}},
                "$inc": {"_properties.revision": 1},
            },
        )


def cost(event: Callable[[], None], server: int) -> Cost:
    """Return what an event costs on the average of some."""
    began, own, theirs = time.perf_counter(), time.process_time(), processor_time(server)
    for _ in range(EVENTS):
        event()
    ended = time.perf_counter(), time.process_time(), processor_time(server)
    return Cost(
        *((b - a) / EVENTS * 1000 for a, b in zip((began, own, theirs), ended, strict=True))
    )


def processor_time(pid: int) -> float:
    """Return the processor time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the costs and their ratios."""
    with catalog() as jobs:
        ways = _ways(jobs)
        samples: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in track(range(ROUNDS), description="in turn"):
            for name, event in ways.items():
                samples[name].append(cost(event, jobs.pid))
    for name, costs in samples.items():
        wall, own, server = _means(costs)
        print(
            f"{name:>24}: {wall:6.2f} ms wall clock, processor {own:.2f} + server {server:.2f} ms"
        )
    bare = samples.pop("bare find and update")
    for name, costs in samples.items():
        wall = statistics.median(a.wall / b.wall for a, b in zip(costs, bare, strict=True))
        # the server's time is counted in hundredths of a second: a mean is more exact than medians
        spent, floor = (sum(each.own + each.server for each in some) for some in (costs, bare))
        print(f"ratio {name} / bare: wall clock {wall:.2f}, processor {spent / floor:.2f}")
    print(f"(at most {MOST_RATIO} is wanted of the first)")


def _ways(jobs: Catalog) -> dict[str, Callable[[], None]]:
    made = [jobs.running_job() for _ in range(3)]
    for job in made:
        for number in range(BEFORE):
            jobs.update(job, number)
    bare = Bare(jobs, jobs.jobs.load(made[0]["uuid"]))
    event: dict[str, Any] = {"name": "update", "data": {"step": 1, "note": "well"}}
    first, second, third = made
    numbers = iter(range(history.MOST_ENTRIES, 10**9))

    def handle() -> None:
        jobs.jobs.handle({**event, "uuid": first["uuid"]}, first["_update_token"])

    def apply() -> None:
        head = jobs.jobs.load_head(second["uuid"])
        jobs.jobs.apply(head, "update", event["data"], key=f"e:{next(numbers)}", first=True)

    return {
        "bare find and update": bare.event,
        "handle": handle,
        "as the actor": apply,
        "with an event_id": lambda: jobs.update(third, next(numbers)),
    }


def _means(costs: list[Cost]) -> list[float]:
    return [statistics.mean(column) for column in zip(*costs, strict=True)]


if __name__ == "__main__":
    main()
