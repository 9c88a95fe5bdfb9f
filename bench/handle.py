"""An event in process: `PipelineJobStore.handle` against a bare `find_one` and `update_one`.

Both in collections of one server, in turn; the bare one's has only the index of the `uuid`, and a
document that is as large.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.bare import Bare
from bench.catalog import Catalog, catalog
from bench.measuring import Bench, Table, alone, at_most
from bench.usage import own_time
from datacatalog.linkedstores.pipelinejob import history

if TYPE_CHECKING:
    from collections.abc import Callable

BEFORE = 20
MAX_RATIO = 1.5
_FLOOR = "bare find_one and update_one"
_NOTE = (
    "In one process, one event after the other, on a job whose older entries move to buckets every"
    f" {history.MOVED_ENTRIES} events, which is in it. Means; the ratio is the median of the rounds."
)


class Cost(NamedTuple):
    """Of one event, in milliseconds."""

    wall: float
    own: float
    server: float


def measure(bench: Bench) -> list[Table]:
    """Compare what an event costs in several ways with the floor."""
    with catalog() as jobs:
        ways = _ways(jobs)
        samples: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in bench.track(range(bench.many(12, 1)), "an event in process"):
            for name, event in ways.items():
                samples[name].append(_cost(event, jobs.pid, bench.many(40, 3)))
    rows = []
    for name, costs in samples.items():
        means = [statistics.mean(column) for column in zip(*costs, strict=True)]
        pairs = zip(costs, samples[_FLOOR], strict=True)
        ratio = statistics.median(ours.wall / floor.wall for ours, floor in pairs)
        wanted = at_most(ratio, MAX_RATIO) if name == "handle" else ""
        rows.append([name, *(f"{mean:.2f}" for mean in means), f"{ratio:.2f}", wanted])
    columns = ["", "ms", "own processor ms", "database processor ms", "/ bare", "wanted"]
    return [Table("An event in process", columns, rows, _NOTE)]


def _cost(event: Callable[[], None], server: int, events: int) -> Cost:
    """Return what an event costs on the average of some."""
    began, own, theirs = time.perf_counter(), time.process_time(), own_time(server)
    for _ in range(events):
        event()
    ended = time.perf_counter(), time.process_time(), own_time(server)
    return Cost(
        *((b - a) / events * 1000 for a, b in zip((began, own, theirs), ended, strict=True))
    )


def _ways(jobs: Catalog) -> dict[str, Callable[[], None]]:
    made = [jobs.running_job() for _ in range(4)]
    for job in made:
        for number in range(BEFORE):
            jobs.update(job, number)
    bare = Bare(jobs, jobs.jobs.load(made[0]["uuid"]))
    event: dict[str, Any] = {"name": "update", "data": {"step": 1, "note": "well"}}
    first, second, third, fourth = made
    numbers = iter(range(history.MAX_ENTRIES, 10**9))

    def handle() -> None:
        jobs.jobs.handle({**event, "uuid": first["uuid"]}, first["_update_token"])

    def apply() -> None:
        head = jobs.jobs.load_head(second["uuid"])
        jobs.jobs.apply(head, "update", event["data"], key=f"e:{next(numbers)}", first=True)

    def apply_again() -> None:
        uuid, key = fourth["uuid"], f"e:{next(numbers)}"
        known = jobs.jobs.heads.take(uuid)
        head = known or jobs.jobs.load_head(uuid)
        made = jobs.jobs.new_event(head, "update", event["data"], key=key, first=True)
        jobs.jobs.apply_event(head, made, remembered=known is not None)

    return {
        _FLOOR: bare.both,
        "handle": handle,
        "as the actor: first event of a job": apply,
        "as the actor, warm: a further event": apply_again,
        "handle, with an event_id": lambda: jobs.update(third, next(numbers)),
    }


if __name__ == "__main__":
    alone(measure)
