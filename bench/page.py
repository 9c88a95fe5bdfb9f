"""The page: does the overview take longer when there are many jobs?"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from bench.catalog import Catalog, catalog
from bench.measuring import Bench, Table, alone, at_most, median_p99
from bench.running import Gateway, gateway
from bench.usage import own_time
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.statistics.reader import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob


SIZES = (100, 100_000)
PIPELINES = 20
ACTIVE = 300
"""Jobs that run when somebody looks."""
AGE = timedelta(days=30)
MAX_MS = 100.0
PAGES = ("/", "/?period=week", "/?period=month", "/jobs")
_BATCH = 1_000
_SECONDS = 600.0
_NOTE = (
    f"The page of a gateway, asked by one browser after the other, the pages in turn. The jobs are of {PIPELINES}"
    f" pipelines and of the last {AGE.days} days, {ACTIVE} of them run; they are made in bulk. All of them"
    " are counted again when the gateway starts, which is what the last column says. Nothing happens meanwhile, so"
    " after the first time what was counted is not read again and the charts are not drawn again: p99 has them."
)


def measure(bench: Bench) -> list[Table]:
    """Compare the pages with few and with many jobs."""
    rows: list[list[str]] = []
    for size in bench.many(SIZES, (20, 60)):
        with catalog() as jobs:
            _fill(jobs, size, bench)
            began = time.monotonic()
            with gateway(jobs) as started, started.client() as client:
                counted = _until_counted(jobs) - began
                _sign_in(client, started)
                found: dict[str, list[float]] = {path: [] for path in PAGES}
                used = dict.fromkeys(PAGES, 0.0)
                for _ in bench.track(range(bench.many(40, 2)), f"pages with {size:,} jobs"):
                    for path, seconds in found.items():
                        before = own_time(started.pid)
                        seconds.append(_timed(client, path))
                        used[path] += own_time(started.pid) - before
        for path, seconds in found.items():
            wanted = at_most(statistics.median(seconds) * 1000, MAX_MS) if path != "/jobs" else ""
            each = f"{1000 * used[path] / len(seconds):.0f}"
            times = (*median_p99(seconds), each)
            rows.append([f"`{path}`", f"{size:,}", *times, wanted, f"{counted:.1f}"])
    columns = ["page", "jobs", "median ms", "p99 ms", "of the gateway's processor, ms"]
    columns += ["wanted of median ms", "recount, s"]
    return [Table("The page", columns, rows, _NOTE)]


def _fill(jobs: Catalog, size: int, bench: Bench) -> None:
    """Make jobs, each of which has had three events, but for those that run."""
    store = PipelineStore(jobs.mongodb)
    pipelines = [
        store.add_update_document(
            {
                "name": f"Pipeline {number}",
                "id": f"pipeline-{number}",
                "components": [{"id": f"bench-{number}", "inputs": {}, "parameters": {}}],
                "processing_levels": ["1"],
            }
        )["uuid"]
        for number in range(PIPELINES)
    ]
    pattern = jobs.jobs.load(jobs.running_job()["uuid"])
    pattern.pop("_untold", None)
    made = _jobs(pattern, pipelines, size)
    for _ in bench.track(range(0, size, _BATCH), f"{size:,} jobs"):
        if some := [*itertools.islice(made, _BATCH)]:
            jobs.jobs.coll.insert_many(some)


def _jobs(pattern: StoredJob, pipelines: list[str], size: int) -> Iterator[StoredJob]:
    dice, end = random.Random(1), now()  # noqa: S311 - the same jobs each time, no secret
    created, run = pattern["history"]
    for number in range(size):
        age = AGE * (number + 1) / size
        began = end - age
        started = began + timedelta(seconds=dice.expovariate(1 / 30))
        ended = started + timedelta(seconds=dice.lognormvariate(5, 1))
        state = "FAILED" if number % 10 == 0 else "FINISHED"
        history: list[dict[str, Any]] = [{**created, "date": began}, {**run, "date": started}]
        if number >= ACTIVE:
            name = "fail" if state == "FAILED" else "finish"
            history.append({**run, "name": name, "date": ended, "_state": state, "_revision": 2})
        last = history[-1]
        yield {
            **pattern,
            "_id": ObjectId(),
            "uuid": typeduuid.catalog_uuid(str(number), "pipelinejob"),
            "pipeline_uuid": pipelines[number % len(pipelines)],
            "state": last["_state"],
            "last_event": last["name"],
            "updated": last["date"],
            "history": history,
            "_properties": {
                **pattern["_properties"],
                "created_date": began,
                "revision": last["_revision"],
            },
        }


def _until_counted(jobs: Catalog) -> float:
    """Return when everything was counted."""
    reader = Statistics(jobs.jobs.db)
    deadline = time.monotonic() + _SECONDS
    while reader.counted() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return time.monotonic()


def _sign_in(client: httpx.Client, started: Gateway) -> None:
    client.post("/sign-in", data={"token": started.token})


def _timed(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - began


if __name__ == "__main__":
    alone(measure)
