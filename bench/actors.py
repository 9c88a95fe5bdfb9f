"""What several workers of one actor bring, and what many actors cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.catalog import Catalog, catalog
from bench.load import closed_loop
from bench.measuring import Bench, Table, alone, milliseconds
from bench.running import COMMITTED, SECONDS, Gateway, gateway
from bench.usage import memory, spent

if TYPE_CHECKING:
    import httpx

WORKERS = (1, 2, 4)
ACTORS = (1, 10, 50)
_SENDERS = 32
_JOBS = 64
_WORKERS_NOTE = (
    f"{_SENDERS} senders who wait until their updates are in the database, on {_JOBS} jobs: what has one"
    " `uuid` is handled in order, what has different ones side by side."
)
_ACTORS_NOTE = (
    "The same, each job with one of the actors. An actor has one worker, a process of its own; the memory is"
    " that of the gateway with all of them and of the database."
)


def measure(bench: Bench) -> list[Table]:
    """Measure with one and with more workers, then with one and with more actors."""
    with catalog() as jobs, gateway(jobs) as up:
        made = [jobs.running_job() for _ in range(bench.many(_JOBS, _SENDERS))]
        counts = bench.track(bench.many(WORKERS, WORKERS[:1]), "workers")
        of_workers = [_with_workers(bench, jobs, up, made, count) for count in counts]
        actors: list[str] = []
        counts = bench.track(bench.many(ACTORS, ACTORS[:1]), "actors")
        of_actors = [_with_actors(bench, jobs, up, made, actors, count) for count in counts]
    columns = ["updates/s", "p50 ms", "p99 ms", "processor ms per update"]
    return [
        Table("Workers", ["workers", *columns], of_workers, _WORKERS_NOTE),
        Table("Growth: actors", ["actors", *columns, "MiB"], of_actors, _ACTORS_NOTE),
    ]


def _with_workers(
    bench: Bench, jobs: Catalog, up: Gateway, made: list[Any], count: int
) -> list[str]:
    actor = _register(jobs, up, workers=count)
    with up.client() as client:
        client.post(f"{_path(actor)}/workers", json={"num": count}).raise_for_status()
        _expect_workers(client, actor, count)
        found = _load(bench, jobs, up, made, [actor])
        client.delete(_path(actor)).raise_for_status()
    return [f"{count}", *found]


def _with_actors(
    bench: Bench, jobs: Catalog, up: Gateway, made: list[Any], actors: list[str], count: int
) -> list[str]:
    while len(actors) < count:
        actors.append(_register(jobs, up, workers=1))
    found = _load(bench, jobs, up, made, actors)
    return [f"{count}", *found, f"{memory(up.pid, jobs.pid):.0f}"]


def _load(
    bench: Bench, jobs: Catalog, up: Gateway, made: list[Any], actors: list[str]
) -> list[str]:
    """Send updates of all the jobs, each to one of the actors; return the cells of a row."""
    of_senders: list[list[bytes]] = [[] for _ in range(_SENDERS)]
    for number, job in enumerate(made):
        actor = actors[number % len(actors)]
        of_senders[number % _SENDERS].append(up.update(job, wait=True, actor=actor))
    closed_loop(up.port, of_senders, bench.many(1.0, 0.0), COMMITTED)  # to begin warm
    before = spent(up.pid, jobs.pid)
    load = closed_loop(up.port, of_senders, bench.many(4.0, 0.1), COMMITTED)
    used = sum(spent(up.pid, jobs.pid).since(before)) / load.answered * 1000
    times = [milliseconds(load.at(share)) for share in (0.5, 0.99)]
    return [f"{load.rate:,.0f}", *times, f"{used:.1f}"]


def _register(jobs: Catalog, up: Gateway, *, workers: int) -> str:
    """Register an actor like the one of `make up`; return its id when it is ready."""
    environment = {
        "_REACTOR_MONGODB_AUTHN": jobs.mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": jobs.mongodb["database"],
    }
    description = {
        "image": "pipelinejobs-manager",
        "maxWorkers": workers,
        "defaultEnvironment": environment,
    }
    with up.client() as client:
        reply = client.post("/actors/v2", json=description).raise_for_status()
        actor: str = reply.json()["result"]["id"]
        _expect_workers(client, actor, 1)
    return actor


def _expect_workers(client: httpx.Client, actor: str, count: int) -> None:
    """Return when an actor has a number of workers that wait for messages."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        workers = client.get(f"{_path(actor)}/workers").raise_for_status().json()["result"]
        if sum(each["status"] == "READY" for each in workers) >= count:
            return
        time.sleep(0.02)
    message = f"actor {actor} does not get {count} workers"
    raise TimeoutError(message)


def _path(actor: str) -> str:
    return f"/actors/v2/{actor}"


if __name__ == "__main__":
    alone(measure)
