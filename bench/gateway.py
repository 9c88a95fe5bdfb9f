"""What does an event cost by way of the gateway, warm and cold, against a bare loop on the database?"""

from __future__ import annotations

import concurrent.futures
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.progress import track

from abaco.roles import ROLES
from abaco.settings import load
from abaco.store import tokens
from abaco.store.database import Database
from bench.catalog import Catalog, catalog
from bench.running import CONFIGURATION, ROOT, SECONDS, address_of, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 5
CONCURRENCY = 8
ONE_BY_ONE = {"bare": 100, "warm": 100, "cold": 8}
AT_ONCE = {"bare": 200, "warm": 200, "cold": 16}


class Sender:
    """Sends events of one job to an actor.

    Args:
        client: of the gateway, with a token.
        image: the image of the actor.
        jobs: where the job is made.
    """

    def __init__(self, client: httpx.Client, image: str, jobs: Catalog) -> None:
        self._client = client
        self._job = jobs.running_job()
        environment = {
            "_REACTOR_MONGODB_AUTHN": jobs.mongodb["authn"],
            "_REACTOR_MONGODB_DATABASE": jobs.mongodb["database"],
        }
        description = {"image": image, "defaultEnvironment": environment}
        self._actor = self._call("POST", "", json=description)["id"]

    def event(self, *, wait: bool) -> None:
        """Send an event; wait until it has been carried out, or only until it is accepted."""
        event = {
            "uuid": self._job["uuid"],
            "name": "update",
            "token": self._job["_update_token"],
            "data": {"step": 1},
        }
        parameters = {"_abaco_synchronous": "true"} if wait else {}
        path = f"/actors/v2/{self._actor}/messages"
        reply = self._client.post(path, json=event, params=parameters).raise_for_status()
        if wait and reply.json().get("state") != "RUNNING":
            sys.exit(f"unexpected answer: {reply.text}")

    def finish(self) -> None:
        """Wait until the mailbox is empty and the last event has been carried out."""
        self.event(wait=True)

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        reply = self._client.request(method, f"/actors/v2{path}", **options).raise_for_status()
        result: dict[str, Any] = reply.json()["result"]
        return result


class Bare:
    """Reads a job and updates it, with nothing in between."""

    def __init__(self, jobs: Catalog) -> None:
        self._collection = jobs.jobs.coll
        self._uuid = jobs.running_job()["uuid"]

    def event(self, *, wait: bool) -> None:
        """Do it; it has always been carried out when this returns."""
        del wait
        self._collection.find_one({"uuid": self._uuid})
        self._collection.find_one_and_update({"uuid": self._uuid}, {"$inc": {"n": 1}})

    def finish(self) -> None:
        """There is nothing to wait for."""


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[httpx.Client]:
    """Give a client of a gateway that runs this repository's actor, warm and cold."""
    actor: dict[str, Any] = {"folder": str(ROOT), "command": ["python3", "reactor.py"]}
    images = {"cold": actor, "warm": {**actor, "mode": "warm", "handler": "reactor:main"}}
    with serving(folder, {"data": "data"}, images) as lines:
        headers = {"Authorization": f"Bearer {_token(load(folder / CONFIGURATION).database)}"}
        with httpx.Client(base_url=address_of(lines), headers=headers, timeout=SECONDS) as client:
            yield client


def _token(url: str) -> str:
    database = Database(url)
    with database.write() as tx:
        access = tokens.create(tx, "SD2E", "bench", list(ROLES), lifetime=3600).access
    database.close()
    return access


def one_by_one(event: Callable[[], None], count: int) -> list[float]:
    """Return the seconds of each event."""
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        event()
        seconds.append(time.perf_counter() - begin)
    return seconds


def at_once(way: Sender | Bare, count: int) -> tuple[float, list[float]]:
    """Send events from several threads; return events a second, and the seconds of each POST."""
    begin = time.perf_counter()

    def send(_number: int) -> float:
        return one_by_one(lambda: way.event(wait=False), 1)[0]

    with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as threads:
        seconds = list(threads.map(send, range(count)))
    way.finish()
    return count / (time.perf_counter() - begin), seconds


def main() -> None:
    """Print the figures."""
    latencies: dict[str, list[float]] = {name: [] for name in ONE_BY_ONE}
    rates: dict[str, list[float]] = {name: [] for name in ONE_BY_ONE}
    posts: dict[str, list[float]] = {name: [] for name in ONE_BY_ONE}
    with (
        tempfile.TemporaryDirectory() as folder,
        catalog() as jobs,
        gateway(Path(folder)) as client,
    ):
        ways: dict[str, Sender | Bare] = {
            "bare": Bare(jobs),
            "warm": Sender(client, "warm", jobs),
            "cold": Sender(client, "cold", jobs),
        }
        for way in ways.values():
            way.finish()
        for _ in track(range(ROUNDS), description="in turn"):
            for name, way in ways.items():
                event = _waiting(way)
                latencies[name] += one_by_one(event, ONE_BY_ONE[name])
                rate, seconds = at_once(way, AT_ONCE[name])
                rates[name].append(rate)
                posts[name] += seconds
    for name in ways:
        median, last = _quantiles(latencies[name])
        text = f"{name}: one by one {median:6.1f} ms (median), {last:6.1f} ms (p99)"
        text += f"; {statistics.median(rates[name]):6.1f} events/s from {CONCURRENCY} senders"
        if name != "bare":
            text += f", a POST is answered in {_quantiles(posts[name])[1]:.1f} ms (p99)"
        print(text)
    for name in ("warm", "cold"):
        latency = statistics.median(latencies[name]) / statistics.median(latencies["bare"])
        rate = statistics.median(rates["bare"]) / statistics.median(rates[name])
        print(f"ratio {name} / bare: latency {latency:.1f}, time per event at once {rate:.1f}")


def _waiting(way: Sender | Bare) -> Callable[[], None]:
    return lambda: way.event(wait=True)


def _quantiles(seconds: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
    return statistics.median(ordered) * 1000, last * 1000


if __name__ == "__main__":
    main()
