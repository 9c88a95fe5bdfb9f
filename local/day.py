"""A day of plausible jobs, for a database in which there are none: what `make up DEMO=1` shows.

The same seed makes the same jobs, but for their dates, which end now.
"""

from __future__ import annotations

import datetime
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob.past import Happened, Past
from datacatalog.linkedstores.statistics.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore

JOBS = 300
DAY = datetime.timedelta(days=1)
_STUCK = 4
_CHATTY_UPDATES = 400
_OWNERS = ("amelia", "jonas", "priya", "sd2eadm")
_ANIMALS = ("brisk-otter", "calm-heron", "eager-lynx", "keen-gecko", "quiet-ibis")
_SOME_REFUSED = 0.08
_MINUTE = 60.0


class Kind(NamedTuple):
    """What is run, and how it goes."""

    id: str
    name: str
    description: str
    share: int
    """how many of all runs are its own, compared with the others"""
    minutes: float
    """a run takes, about"""
    failing: float
    """the share of runs that fail"""
    steps: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """messages, each with the last line of its trace"""
    parent: str = ""
    """the id of what runs before it, for the same sample"""


KINDS = (
    Kind(
        "rnaseq-align:2.4",
        "RNA-seq alignment",
        "Aligns reads to a genome and sorts them",
        4,
        42,
        0.07,
        ("fetch", "trim", "align", "sort", "index"),
        (
            (
                "the aligner ran out of memory",
                "MemoryError: cannot allocate 31.2 GiB for the index",
            ),
            ("the reads are truncated", "EOFError: Compressed file ended before its end was found"),
        ),
    ),
    Kind(
        "rnaseq-counts:1.1",
        "Gene counts",
        "Counts reads for each gene",
        3,
        9,
        0.03,
        ("load", "count", "write"),
        (("two samples have the same name", "ValueError: sample 'S114' is there twice"),),
        "rnaseq-align:2.4",
    ),
    Kind(
        "flow-cytometry:5.0",
        "Flow cytometry gating",
        "Gates events by controls, and reports populations",
        4,
        6,
        0.12,
        ("read", "compensate", "gate", "report"),
        (
            ("there is no blank control", "KeyError: 'blank_control'"),
            ("a channel is saturated", "GatingError: 92 % of events are at the limit of FL1-A"),
        ),
    ),
    Kind(
        "plate-reader:3.2",
        "Plate reader normalization",
        "Brings absorbance and fluorescence to standard units",
        5,
        1.5,
        0.02,
        ("read", "fit", "write"),
        (("the standard curve does not fit", "RuntimeError: no fit after 800 evaluations"),),
    ),
    Kind(
        "design-sweep:0.9",
        "Circuit design sweep",
        "Simulates variants of a genetic circuit",
        2,
        130,
        0.18,
        ("sample", "simulate", "score"),
        (
            (
                "the node was taken away",
                "ConnectionResetError: [Errno 104] Connection reset by peer",
            ),
            ("time is over", "TimeoutError: the queue allows 04:00:00"),
        ),
    ),
)


def fill(jobs: PipelineJobStore, now: datetime.datetime, *, seed: int = 1) -> int:
    """Fill an empty database with a day of jobs, and count them; return how many there are.

    Where there is a job already, nothing is done, and 0 is returned.

    Args:
        jobs: the store.
        now: when the day ends.
        seed: of what is left to chance.
    """
    if jobs.coll.find_one({}, {"_id": 1}) is not None:
        return 0
    store = PipelineStore(jobs.db, catalog=jobs.catalog)
    uuids = {kind.id: store.add_update_document(_pipeline(kind))["uuid"] for kind in KINDS}
    past, day = Past(jobs), _Day(random.Random(seed), now)  # noqa: S311 - jobs, no secrets
    parents: dict[str, list[tuple[str, str, datetime.datetime]]] = {kind.id: [] for kind in KINDS}
    for number in range(JOBS):
        kind = day.kind(number)
        sample, created, child_of = f"S{101 + number}", day.moment(number), []
        waiting = [each for each in parents.get(kind.parent, []) if each[2] < now]
        if waiting:
            parent, sample, created = waiting[0]
            parents[kind.parent].remove(waiting[0])
            child_of = [parent]
        events = [event for event in day.events(kind, created, number) if event.date <= now]
        given = {
            "pipeline_uuid": uuids[kind.id],
            "archive_path": f"/products/v2/{kind.id.partition(':')[0]}/{sample}/{number}",
            "data": {"name": f"{kind.name} of {sample}", "sample": sample, "run": number},
            "session": f"{day.choice(_ANIMALS)}-{created:%d}",
            "child_of": child_of,
        }
        uuid = past.add(given, created, events, owner=day.choice(_OWNERS))
        finished = [event.date for event in events if event.name == "finish"]
        if finished:
            parents[kind.id].append((uuid, sample, finished[0]))
    past.write()
    Tally(jobs).rebuild()
    return JOBS


def _pipeline(kind: Kind) -> dict[str, Any]:
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "components": [{"id": kind.id, "inputs": {}, "parameters": {}}],
        "processing_levels": ["1"],
    }


class _Day:
    """What is left to chance."""

    def __init__(self, chance: random.Random, now: datetime.datetime) -> None:
        self._chance = chance
        self._now = now.replace(microsecond=0)
        self.choice = chance.choice

    def kind(self, number: int) -> Kind:
        """Return what a job is a run of: the first ones are the long and the stuck ones."""
        if number <= _STUCK:
            return KINDS[-1] if number == 0 else KINDS[number % 3]
        return self._chance.choices(KINDS, [kind.share for kind in KINDS])[0]

    def moment(self, number: int) -> datetime.datetime:
        """Return when a job is created; most of them in the busier half of the day."""
        if number <= _STUCK:
            return self._now - DAY * (0.32 if number == 0 else 0.5 + 0.1 * number)
        share = self._chance.triangular(0.0, 1.0, 0.35)
        return self._now - DAY * share

    def events(self, kind: Kind, created: datetime.datetime, number: int) -> Iterator[Happened]:
        """Yield what happens to a job, in the order of time, also after now."""
        if number == 0:
            yield from self._chatty(created)
            return
        at = created + self._seconds(40)
        yield Happened(at, "run", {"host": f"c{self._chance.randint(1, 48):03}", "slots": 8})
        length = self._chance.lognormvariate(0, 0.45) * kind.minutes * _MINUTE
        fails = self._chance.random() < kind.failing and number > _STUCK
        reached = self._chance.uniform(0.2, 0.9) if fails else 1.0
        for place, step in enumerate(kind.steps):
            share = place / len(kind.steps)
            if share >= reached:
                break
            at = at + datetime.timedelta(seconds=length / len(kind.steps))
            yield Happened(at, "update", {"step": step, "percent": round(100 * share)})
            if 0 < number <= _STUCK and place:
                # nothing is heard of it any more
                return
        at = at + self._seconds(20)
        if fails:
            yield Happened(at, "fail", self._failure(kind, step))
            if self._chance.random() < _SOME_REFUSED * 4:
                yield Happened(at + self._seconds(90), "update", {"step": step})
            return
        yield Happened(at, "finish", {"files": self._chance.randint(2, 40)})
        if self._chance.random() < _SOME_REFUSED:
            yield Happened(at + self._seconds(60), "run", {"host": "c007"})
        yield from self._afterwards(at + self._seconds(300))

    def _afterwards(self, at: datetime.datetime) -> Iterator[Happened]:
        if self._chance.random() < 0.5:  # noqa: PLR2004 - of every two runs, one is looked at
            return
        yield Happened(at, "validate", {"by": self.choice(_OWNERS)})
        at = at + self._seconds(600)
        if self._chance.random() < _SOME_REFUSED:
            yield Happened(at, "reject", {"reason": "controls are out of range"})
            return
        yield Happened(at, "validated", {})
        yield Happened(at + self._seconds(60), "finalize", {})

    def _chatty(self, at: datetime.datetime) -> Iterator[Happened]:
        yield Happened(at, "run", {"host": "c001", "slots": 48})
        length = (self._now - at) / (_CHATTY_UPDATES + 2)
        for number in range(1, _CHATTY_UPDATES + 1):
            score = round(1 - 0.9 * 0.99**number + self._chance.uniform(-0.02, 0.02), 3)
            percent = round(100 * number / (_CHATTY_UPDATES + 20), 1)
            data = {"step": "simulate", "percent": percent, "score": score}
            yield Happened(at + length * number, "update", data)

    def _failure(self, kind: Kind, step: str) -> dict[str, Any]:
        message, last = self.choice(kind.failures)
        line = self._chance.randint(20, 400)
        trace = (
            "Traceback (most recent call last):\n"
            f'  File "/opt/pipeline/main.py", line {line}, in <module>\n    main()\n'
            f'  File "/opt/pipeline/{step}.py", line {line // 2}, in {step}\n'
            f"    {step}_all(samples)\n{last}"
        )
        return {"message": message, "step": step, "exit_code": 1, "traceback": trace}

    def _seconds(self, mean: float) -> datetime.timedelta:
        return datetime.timedelta(seconds=1 + round(self._chance.expovariate(1 / mean)))
