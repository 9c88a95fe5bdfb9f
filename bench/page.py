"""Does the list of jobs on the page come as soon with 10,000 jobs as with 100, against a bare query?"""

from __future__ import annotations

import datetime
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from bson import ObjectId
from rich.progress import track

from bench.catalog import Catalog, catalog
from bench.running import ROOT, SECONDS, address_of, serving
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore.store import CREATED

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (100, 10_000)
ROUNDS = 20
APART = datetime.timedelta(minutes=1)
_BATCH = 500


def fill(jobs: Catalog, size: int) -> None:
    """See to it that there are so many jobs."""
    pattern: dict[str, Any] = jobs.jobs.load(jobs.running_job()["uuid"])
    properties = pattern["_properties"]
    while (there := jobs.jobs.coll.count_documents({})) < size:
        batch = [
            {
                **pattern,
                "_id": ObjectId(),
                "uuid": typeduuid.catalog_uuid(str(n), "pipelinejob"),
                "_properties": {
                    **properties,
                    "created_date": properties["created_date"] - n * APART,
                },
            }
            for n in range(there, min(there + _BATCH, size))
        ]
        jobs.jobs.coll.insert_many(batch)


def main() -> None:
    """Print the figures."""
    medians: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as folder, catalog() as jobs:
        image = {"folder": str(ROOT), "command": ["python3", "reactor.py"]}
        settings = {"data": "data", "setup": "pipelinejobs.up"}
        environ = {
            "_REACTOR_MONGODB_AUTHN": jobs.mongodb["authn"],
            "_REACTOR_MONGODB_DATABASE": jobs.mongodb["database"],
        }
        with serving(Path(folder), settings, {"pipelinejobs-manager": image}, environ) as lines:
            (token,) = [line.split()[1] for line in lines if line.startswith("token ")]
            with httpx.Client(base_url=address_of(lines), timeout=SECONDS) as browser:
                browser.post("/sign-in", data={"token": token})
                ways: dict[str, Callable[[], object]] = {
                    "bare": lambda: newest(jobs),
                    "page": lambda: browser.get("/").raise_for_status(),
                }
                for size in SIZES:
                    fill(jobs, size)
                    for name, way in ways.items():
                        way()
                        medians[name, size] = 0.0
                    seconds: dict[str, list[float]] = {name: [] for name in ways}
                    for _ in track(range(ROUNDS), description=f"{size:,} jobs"):
                        for name, way in ways.items():
                            begin = time.perf_counter()
                            way()
                            seconds[name].append(time.perf_counter() - begin)
                    for name in ways:
                        medians[name, size] = statistics.median(seconds[name])
    for (name, size), median in medians.items():
        print(f"{name}, {size:6,} jobs: {median * 1000:6.1f} ms (median)")
    few, many = SIZES
    print(f"ratio page / bare, {few:,} jobs: {medians['page', few] / medians['bare', few]:.2f}")
    print(
        f"ratio page, {many:,} jobs / {few:,}: {medians['page', many] / medians['page', few]:.2f}"
    )


def newest(jobs: Catalog) -> list[Any]:
    """Read as many jobs as the page shows, with nothing around it."""
    return list(jobs.jobs.coll.find({}, {"history": 0}, sort=[(CREATED, -1)], limit=50))


if __name__ == "__main__":
    main()
