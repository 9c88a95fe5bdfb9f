"""The way of an event through the gateway: accepted, and committed, each beside its floor."""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.bare import Bare
from bench.catalog import Catalog, catalog
from bench.load import SENDERS, Load, closed_loop, post
from bench.measuring import Bench, Table, alone, at_least, at_most, milliseconds
from bench.running import ACCEPTED, COMMITTED, Gateway, accepting, gateway
from bench.usage import Spent, memory, spent

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPT_WANTED = {1: 800, 8: 2_000, 32: 2_500}
COMMIT_WANTED = {1: 200, 8: 400, 32: 500}
MAX_P99 = {"accepted": 40, "committed": 150}
"""In milliseconds, with as many senders as there are."""
MAX_PROCESSOR = 4
MAX_MEMORY = 250
_ACCEPT_FLOOR, _COMMIT_FLOOR = "the least that accepts", "bare update_one"
_ACCEPT, _COMMIT = "accepted", "committed"
_COMMIT_MANY, _COMMIT_ID = "committed, a job each", "committed, an event_id each"
_MAX_RATE = 2_000
"""Requests per second for which there are ids."""
_ACCEPT_NOTE = (
    "POSTs whose senders are answered when the message is on disk, by the number of senders, each of which"
    " sends the next when the last is answered. Meanwhile the actor handles what was accepted. The floor"
    " (floor_accept.py) parses the body and writes two rows, in one transaction for all that wait."
)
_COMMIT_NOTE = (
    "POSTs whose senders wait until the update is in the database of jobs: all on one job, whose waiting"
    " events are written together, on a job for each sender, and on one job with an `event_id` for each"
    " update, by which it would be known if it came again. The floor is `update_one` alone, by as many"
    " threads of one client."
)
_PROCESSOR_NOTE = (
    "Processor time per update that was committed, by process; of the floor, that of the database."
)
_MEMORY_NOTE = (
    "Of all processes: the gateway, its workers, the database. What they share counts once. Under load is"
    " the most that was seen after any of the above."
)


class Sample(NamedTuple):
    """One load, and what the processes have spent on it."""

    load: Load
    spent: Spent

    def each(self, who: str | None = None) -> float:
        """Return the milliseconds of processor time per request, of all or of one."""
        seconds = sum(self.spent) if who is None else getattr(self.spent, who)
        return float(seconds) / self.load.answered * 1000


def measure(bench: Bench) -> list[Table]:
    """Load the gateway and the floors in turn."""
    samples: dict[tuple[str, int], list[Sample]] = {}
    # what the floor leaves in a database is not the product's
    with catalog() as jobs, catalog() as others, gateway(jobs) as up, accepting() as floor:
        ways = _Ways(bench, jobs, others, up, floor)
        rest = memory(up.pid, jobs.pid)
        most = rest
        turns = [(n, name) for n in SENDERS for name in ways.all] * bench.many(3, 1)
        for senders, name in bench.track(turns, "events by way of the gateway"):
            database = others.pid if name == _COMMIT_FLOOR else jobs.pid
            before = spent(up.pid, database)
            load = ways.all[name](senders)
            used = spent(up.pid, database).since(before)
            samples.setdefault((name, senders), []).append(Sample(load, used))
            most = max(most, memory(up.pid, jobs.pid))
            if name == _ACCEPT:
                ways.drain()
        drained = statistics.median(ways.drained)
    note = f"{_ACCEPT_NOTE} What was left then was handled at {drained:,.0f} events/s."
    columns = ["senders", "", "per s", "/ floor", "p50 ms", "p99 ms", "wanted per s", "wanted p99"]
    return [
        Table("Accepted", columns, _rows(samples, [_ACCEPT_FLOOR, _ACCEPT], ACCEPT_WANTED), note),
        Table(
            "Committed",
            columns,
            _rows(samples, [_COMMIT_FLOOR, _COMMIT, _COMMIT_MANY, _COMMIT_ID], COMMIT_WANTED),
            _COMMIT_NOTE,
        ),
        Table(
            "Processor time of a committed event",
            ["senders", "", "gateway ms", "workers ms", "database ms", "together ms", "wanted"],
            _processor(samples),
            _PROCESSOR_NOTE,
        ),
        Table(
            "Memory",
            ["", "MiB", "wanted"],
            [
                ["at rest", f"{rest:.0f}", at_most(rest, MAX_MEMORY)],
                ["under load", f"{most:.0f}", at_most(most, MAX_MEMORY)],
            ],
            _MEMORY_NOTE,
        ),
    ]


class _Ways:
    """What is loaded, each a function of the number of senders.

    Attributes:
        all: by name.
        drained: how many events a second the actor has handled that had been accepted before.
    """

    def __init__(
        self, bench: Bench, jobs: Catalog, others: Catalog, up: Gateway, floor: int
    ) -> None:
        self._seconds = bench.many(2.0, 0.1)
        self._jobs, self._up = jobs, up
        self._made = [jobs.running_job() for _ in range(max(SENDERS))]
        self._job = jobs.running_job()
        self._ids = map(str, itertools.count())
        body: dict[str, Any] = {"uuid": self._job["uuid"], "name": "update", "data": {"step": 1}}
        self._floor, self._floor_request = floor, post("/messages", body)
        self._bare = Bare(others, jobs.jobs.load(self._job["uuid"]))
        self.drained: list[float] = []
        self.all: dict[str, Callable[[int], Load]] = {
            _ACCEPT_FLOOR: self._accept_floor,
            _ACCEPT: self._accept,
            _COMMIT_FLOOR: self._commit_floor,
            _COMMIT: self._commit,
            _COMMIT_MANY: self._commit_many,
            _COMMIT_ID: self._commit_with_ids,
        }
        for way in (self._accept_floor, self._commit, self._commit_many):
            way(max(SENDERS))  # to begin warm

    def _accept_floor(self, senders: int) -> Load:
        requests = [[self._floor_request]] * senders
        return closed_loop(self._floor, requests, self._seconds, ACCEPTED)

    def _accept(self, senders: int) -> Load:
        requests = [[self._up.update(self._job, wait=False)]] * senders
        return closed_loop(self._up.port, requests, self._seconds, ACCEPTED)

    def _commit(self, senders: int) -> Load:
        requests = [[self._up.update(self._job, wait=True)]] * senders
        return closed_loop(self._up.port, requests, self._seconds, COMMITTED)

    def _commit_many(self, senders: int) -> Load:
        requests = [[self._up.update(job, wait=True)] for job in self._made[:senders]]
        return closed_loop(self._up.port, requests, self._seconds, COMMITTED)

    def _commit_with_ids(self, senders: int) -> Load:
        count = math.ceil(self._seconds * _MAX_RATE / senders)
        requests = [
            [self._up.update(self._job, wait=True, event_id=next(self._ids)) for _ in range(count)]
            for _ in range(senders)
        ]
        return closed_loop(self._up.port, requests, self._seconds, COMMITTED)

    def _commit_floor(self, senders: int) -> Load:
        """Update in as many threads, as long as the others do."""
        latencies: list[float] = []
        began = time.perf_counter()

        def send() -> None:
            while (begin := time.perf_counter()) < began + self._seconds:
                self._bare.update()
                latencies.append(time.perf_counter() - begin)

        threads = [threading.Thread(target=send) for _ in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Load(time.perf_counter() - began, latencies)

    def drain(self) -> None:
        """Wait until all that was accepted is handled."""
        before, began = self._revision(), time.perf_counter()
        # what has one uuid is handled in order: the answer to this comes last
        closed_loop(self._up.port, [[self._up.update(self._job, wait=True)]], 0.0, COMMITTED)
        self.drained.append((self._revision() - before) / (time.perf_counter() - began))

    def _revision(self) -> int:
        revision: int = self._jobs.jobs.load(self._job["uuid"])["_properties"]["revision"]
        return revision


def _rows(
    samples: dict[tuple[str, int], list[Sample]], names: list[str], wanted: dict[int, int]
) -> list[list[str]]:
    """Return a row for each number of senders and way; the first way is the floor."""
    rows = []
    for senders in SENDERS:
        floor = statistics.median(each.load.rate for each in samples[names[0], senders])
        for name in names:
            loads = [each.load for each in samples[name, senders]]
            rate = statistics.median(load.rate for load in loads)
            p50, p99 = (
                statistics.median(load.at(share) for load in loads) for share in (0.5, 0.99)
            )
            row = [f"{senders}", name, f"{rate:,.0f}", f"{rate / floor:.2f}"]
            row += [milliseconds(p50), milliseconds(p99)]
            row += [at_least(rate, wanted[senders]) if name != names[0] else ""]
            limited = name in MAX_P99 and senders == max(SENDERS)
            rows.append([*row, at_most(p99 * 1000, MAX_P99[name]) if limited else ""])
    return rows


def _processor(samples: dict[tuple[str, int], list[Sample]]) -> list[list[str]]:
    """Return a row for each number of senders and way; of the floor, the database alone."""
    rows = []
    for senders in SENDERS:
        for name in (_COMMIT_FLOOR, _COMMIT, _COMMIT_MANY, _COMMIT_ID):
            found = samples[name, senders]
            row = [f"{senders}", name]
            if name == _COMMIT_FLOOR:
                row += ["", "", f"{statistics.median(each.each('database') for each in found):.2f}"]
                rows.append([*row, "", ""])
                continue
            for who in Spent._fields:
                row.append(f"{statistics.median(each.each(who) for each in found):.2f}")
            together = statistics.median(each.each() for each in found)
            rows.append([*row, f"{together:.2f}", at_most(together, MAX_PROCESSOR)])
    return rows


if __name__ == "__main__":
    alone(measure)
