"""What do subscribers cost an event, and how fast are they told?

Events in turn on two databases of one server, each with a dispatcher: of one nobody is told, of the
other 50 subscribers, one of which never answers and one always with 500. Then events on a job of
100,000 events that nobody was told, beside one of which everybody was. Then how fast one subscriber
is told what has waited, of many jobs and of one.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.catalog import Catalog, catalog
from bench.measuring import Bench, Table, alone, at_least, at_most
from bench.running import ROOT
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob.untold import Left
from datacatalog.linkedstores.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.mongo import Document

SUBSCRIBERS, JOBS, ROUNDS, EVENTS = 50, 20, 12, 40
WAITING = 100_000
SPREAD, SINGLE = 1000, 500
MAX_RATIO, LEAST_RATE = 1.1, 200
SECONDS = 300.0


class Receivers:
    """The process of the subscribers."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def count(self) -> int:
        """Return how many POSTs were answered well."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"))
        try:
            connection.request("GET", "/")
            return int(connection.getresponse().read())
        finally:
            connection.close()

    def wait(self, count: int) -> None:
        """Wait until a number of them were."""
        deadline = time.monotonic() + SECONDS
        while self.count() < count:
            if time.monotonic() > deadline:
                sys.exit(f"only {self.count()} of {count} were told")
            time.sleep(0.02)


@contextlib.contextmanager
def receivers() -> Iterator[Receivers]:
    """Give subscribers that answer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.receivers"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        port = process.stdout.readline() if process.stdout else ""
        yield Receivers(int(port))
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def dispatcher(jobs: Catalog) -> Iterator[None]:
    """Have what happens told, as `make up` does."""
    environ = {
        **os.environ,
        "_REACTOR_MONGODB_AUTHN": jobs.mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": jobs.mongodb["database"],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelinejobs", "dispatch"],
        cwd=ROOT,
        env=environ,
        stderr=subprocess.DEVNULL,
    )
    try:
        while jobs.jobs.untold.holder() is None:
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def subscribe(jobs: Catalog, told: Receivers, count: int) -> None:
    """Add subscribers; of many, one never answers, and one always with 500."""
    subscriptions = Subscriptions(jobs.jobs.db)
    for number in range(count):
        path = {1: "/hanging", 2: "/failing"}.get(number, f"/{number}")
        definition = {"url": f"{told.url}{path}", "allow_private": True}
        subscriptions.add(f"s{number}", definition)


def mean_cost(jobs: Catalog, made: list[Document], count: int) -> float:
    """Return what an event costs on the average, in milliseconds."""
    began = time.perf_counter()
    for number in range(count):
        job = made[number % len(made)]
        event = {"uuid": job["uuid"], "name": "update", "data": {"step": number}}
        jobs.jobs.handle(event, job["_update_token"])
    return (time.perf_counter() - began) / count * 1000


def _with_many(bench: Bench, nobody: Catalog, many: Catalog, told: Receivers) -> list[str]:
    """Compare what an event costs with many subscribers and without any."""
    costs: dict[str, list[float]] = {"nobody": [], "many": []}
    made = {"nobody": [nobody.running_job() for _ in range(JOBS)]}
    made["many"] = [many.running_job() for _ in range(JOBS)]
    subscribe(many, told, SUBSCRIBERS)
    events = bench.many(EVENTS, 2)
    with dispatcher(nobody), dispatcher(many):
        time.sleep(bench.many(3.0, 0.0))
        sent = 0
        for _ in bench.track(range(bench.many(ROUNDS, 1)), "many subscribers"):
            for name, jobs in (("nobody", nobody), ("many", many)):
                costs[name].append(mean_cost(jobs, made[name], events))
            sent += events
            # the others take a rest, too
            told.wait(sent * (SUBSCRIBERS - 2))
    what = f"{SUBSCRIBERS} subscribers, one hanging, one answering 500"
    return _ratio(what, costs["many"], costs["nobody"])


def _with_many_untold(bench: Bench, jobs: Catalog) -> list[str]:
    """Compare what an event costs on a job of which nobody was told much, and when all is told."""
    waiting, job = bench.many(WAITING, 1000), jobs.running_job()
    jobs.fill_history(job, waiting)
    costs: list[list[float]] = [[], []]
    for _ in bench.track(range(bench.many(ROUNDS, 1)), "undelivered events"):
        jobs.jobs.untold.forget_all()
        jobs.jobs.untold.forget("s1")
        costs[0].append(mean_cost(jobs, [job], bench.many(EVENTS, 2)))
        stored = jobs.jobs.load(job["uuid"])
        jobs.jobs.untold.leave_behind([Left(stored, now(), {"s1": {"told": 0}})])
        costs[1].append(mean_cost(jobs, [job], bench.many(EVENTS, 2)))
    return _ratio(f"{waiting:,} undelivered events", costs[1], costs[0])


def rate(jobs: Catalog, told: Receivers, made: int, events: int) -> float:
    """Return how many events are told in a second of what has waited."""
    jobs.jobs.untold.forget_all()
    documents = [jobs.running_job() for _ in range(made)]
    jobs.jobs.untold.forget_all()
    mean_cost(jobs, documents, events)
    before = told.count()
    with dispatcher(jobs):
        told.wait(before + 1)
        began = time.monotonic()
        told.wait(before + events)
        return (events - 1) / (time.monotonic() - began)


def _ratio(what: str, costs: list[float], floors: list[float]) -> list[str]:
    ratio = statistics.median(a / b for a, b in zip(costs, floors, strict=True))
    pair = (f"{statistics.median(each):.2f}" for each in (costs, floors))
    return [what, *pair, f"{ratio:.2f}", at_most(ratio, MAX_RATIO)]


def measure(bench: Bench) -> list[Table]:
    """Measure what subscribers cost an event, and how fast one is told."""
    with catalog() as nobody, receivers() as told:
        others = (Catalog({**nobody.mongodb, "database": f"bench{n}"}, nobody.pid) for n in (1, 2))
        many, one = others
        ratios = [_with_many_untold(bench, nobody), _with_many(bench, nobody, many, told)]
        subscribe(one, told, 1)
        rates = []
        for made, events in ((100, bench.many(SPREAD, 10)), (1, bench.many(SINGLE, 10))):
            found = rate(one, told, bench.many(made, 1), events)
            rates.append([f"{made}", f"{found:.0f}", at_least(found, LEAST_RATE)])
    return [
        Table(
            "An event with subscribers",
            ["with", "ms", "ms without", "ratio", "wanted"],
            ratios,
            "Events in turn on two databases of one server, by the store alone.",
        ),
        Table(
            "Deliveries to one subscriber",
            ["jobs", "per second", "wanted"],
            rates,
            "Of events that have waited for the dispatcher.",
        ),
    ]


if __name__ == "__main__":
    alone(measure)
