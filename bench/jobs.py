"""Growth of the catalog: does an event, or the page's list of jobs, cost more with many jobs?"""

from __future__ import annotations

import contextlib
import datetime
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import httpx

from bench.catalog import APART, Catalog, catalog
from bench.load import closed_loop
from bench.measuring import Bench, Table, alone, at_most, milliseconds
from bench.running import COMMITTED, SECONDS, Gateway, gateway
from datacatalog.linkedstores.basestore.store import CREATED
from local.processes import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

SIZES = (10, 1_000, 100_000)
MAX_RATIO = 1.3
_SHOWN = 50
"""Jobs on a page."""
_NOTE = (
    "One sender who waits until its update is in the database; the first page of the list of jobs, in the"
    f" browser's session; and beside it a bare query for the {_SHOWN} newest jobs. Medians. With 10 jobs, the page"
    " is shorter: what it takes with more is compared with one that is full."
)


class Seconds(NamedTuple):
    """What was measured with a number of jobs."""

    event: float
    page: float
    bare: float


def measure(bench: Bench) -> list[Table]:
    """Measure with few jobs, and with more and more."""
    found: dict[int, Seconds] = {}
    with catalog() as jobs, gateway(jobs) as up, _browser(up) as browser:
        job = jobs.running_job()
        closed_loop(up.port, [[up.update(job, wait=True)]], bench.many(1.0, 0.0), COMMITTED)
        for size in bench.track(bench.many(SIZES, (10, 100)), "many jobs"):
            jobs.fill(size)
            found[size] = _measure(bench, jobs, up, browser, job)
    few = next(iter(found))
    full = next(size for size in found if size >= _SHOWN)
    rows = []
    for size, seconds in found.items():
        event, page = seconds.event / found[few].event, seconds.page / found[full].page
        rows.append(
            [
                f"{size:,}",
                milliseconds(seconds.event),
                f"{event:.2f}",
                milliseconds(seconds.page),
                f"{page:.2f}",
                milliseconds(seconds.bare),
                at_most(max(event, page), MAX_RATIO),
            ]
        )
    columns = ["jobs", "event ms", f"/ {few}", "page ms", f"/ {full:,}", "bare query ms"]
    return [Table("Growth: jobs", [*columns, "wanted of both"], rows, _NOTE)]


def _measure(
    bench: Bench, jobs: Catalog, up: Gateway, browser: httpx.Client, job: Document
) -> Seconds:
    rounds, request = bench.many(20, 2), up.update(job, wait=True)
    events = closed_loop(up.port, [[request]], bench.many(3.0, 0.1), COMMITTED)
    page = _median(lambda: browser.get("/jobs").raise_for_status(), rounds)
    bare = _median(lambda: newest(jobs), rounds)
    return Seconds(events.at(0.5), page, bare)


def newest(jobs: Catalog) -> list[StoredJob]:
    """Read as many jobs as the page shows, with nothing around it, by their index."""
    since = datetime.datetime.now(datetime.timezone.utc) - _SHOWN * APART
    query = {CREATED: {"$gte": since}}
    return list(jobs.jobs.coll.find(query, {"history": 0}, sort=[(CREATED, -1)], limit=_SHOWN))


def _median(way: Callable[[], object], rounds: int) -> float:
    """Return the seconds that something takes; the first time does not count."""
    way()
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


@contextlib.contextmanager
def _browser(up: Gateway) -> Iterator[httpx.Client]:
    """Give a client that has signed in to the page."""
    with httpx.Client(base_url=f"http://{HOST}:{up.port}", timeout=SECONDS) as browser:
        browser.post("/sign-in", data={"token": up.token})
        yield browser


if __name__ == "__main__":
    alone(measure)
