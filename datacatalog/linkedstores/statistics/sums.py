"""What is counted of histories: events, and how jobs have moved from state to state, by hour and pipeline.

A cell is one span of time of one pipeline. It has the number of events by name (`events.run`), and for
each way from one state to another a histogram of the time that the jobs had spent in the first
(`moves.RUNNING>FINISHED.87`): so the run durations, and how long jobs wait to be started, are in the
same numbers as what was started and what has ended. Histograms and counts of cells add up.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.linkedstores.pipelinejob.fsm import STATES, TRANSITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

GROWTH = 1.1
"""How much longer each bucket of a histogram reaches than the one before: a quantile is at most 5 % off."""
HOUR, DAY, EVER = "hour", "day", "ever"
SPANS = (HOUR, DAY, EVER)
_BEGINNING = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_LONGEST = 400
"""The last bucket: more than the age of any job."""
RUN = "RUNNING"


def bucket(seconds: float) -> int:
    """Return the number of the bucket of a histogram to which a time belongs."""
    milliseconds = seconds * 1000
    if milliseconds <= 1:
        return 0
    return min(_LONGEST, math.ceil(math.log(milliseconds, GROWTH)))


def bound(number: int) -> float:
    """Return the longest time, in seconds, of a bucket."""
    return GROWTH**number / 1000


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the time, in seconds, that such a share of the times does not exceed; None if there is none."""
    wanted, found = share * sum(histogram.values()), 0
    for number in sorted(histogram):
        found += histogram[number]
        if found >= wanted:
            # the middle of the bucket, by its ratio to both ends
            return bound(number) * 2 / (1 + GROWTH)
    return None


class Cell(NamedTuple):
    """A span of time of a pipeline."""

    span: str
    since: datetime.datetime
    pipeline: str

    @property
    def key(self) -> str:
        """Under which it is stored."""
        return f"{self.span}:{self.since:%Y-%m-%dT%H}:{self.pipeline}"


def beginning(span: str, date: datetime.datetime) -> datetime.datetime:
    """Return when the span of time began in which a moment is."""
    if span == EVER:
        return _BEGINNING
    hour = date.replace(minute=0, second=0, microsecond=0)
    return hour if span == HOUR else hour.replace(hour=0)


class Sums:
    """What is to be added to cells, and the runs that have ended."""

    def __init__(self) -> None:
        self.cells: dict[Cell, Counter[str]] = defaultdict(Counter)
        self.runs: list[Document] = []

    def count(
        self,
        job: StoredJob,
        entries: Iterable[Any],
        number: int,
        before: Iterable[Any],
    ) -> None:
        """Count entries of the history of a job; all of them, or none if one cannot be read.

        Args:
            job: with `_id`, `uuid` and `pipeline_uuid`.
            entries: which follow one another.
            number: of the first of them, in the history.
            before: those before them, the newest first, read only as far as is needed.
        """
        pipeline = str(job.get("pipeline_uuid"))
        found: list[tuple[datetime.datetime, str]] = []
        runs: list[Document] = []
        state: str | None = None
        since: datetime.datetime | None = None
        stay: _Stay | None = None
        for position, entry in enumerate(entries, start=number):
            if not _is_readable(entry):
                continue
            name, date = entry["name"], entry["date"]
            found.append((date, f"events.{name}"))
            after = state_after(entry)
            if state is None and position:
                stay = _Stay(before)
                state = stay.state
            if after in (None, state):
                continue
            if state:
                if since is None and stay is not None:
                    since = stay.since()
                seconds = max(0.0, (date - since).total_seconds()) if since else 0.0
                found.append((date, f"moves.{state}>{after}.{bucket(seconds)}"))
                if state == RUN:
                    runs.append(
                        {
                            "_id": f"{job['_id']}:{position}",
                            "uuid": str(job.get("uuid")),
                            "pipeline": pipeline,
                            "state": after,
                            "ended": date,
                            "seconds": seconds,
                        }
                    )
            state, since = after, date
        for date, path in found:
            for span in SPANS:
                self.cells[Cell(span, beginning(span, date), pipeline)][path] += 1
        self.runs += runs


class _Stay:
    """The state of a job after an entry, and since when it has been in it.

    Args:
        newest_first: the entries from this one back to the beginning of the history.
    """

    def __init__(self, newest_first: Iterable[Any]) -> None:
        self._moves = (
            (after, entry["date"])
            for entry in newest_first
            if _is_readable(entry) and (after := state_after(entry)) is not None
        )
        self._since: datetime.datetime | None
        self.state, self._since = next(self._moves, ("", None))

    def since(self) -> datetime.datetime | None:
        """Return since when, once: a job that is told much may have been in its state for long."""
        for state, date in self._moves:
            if state != self.state:
                break
            self._since = date
        return self._since


def state_after(entry: Mapping[str, Any]) -> str | None:
    """Return the state of a job after an entry; None where that is the one before."""
    stored = entry.get("_state")
    if stored in STATES:
        return str(stored)
    transition = TRANSITIONS.get(str(entry.get("name")))
    return transition.target if transition else None


def _is_readable(entry: Any) -> bool:
    """Tell whether something is an entry, and nothing that another program has written."""
    return (
        isinstance(entry, dict)
        and entry.get("name") in TRANSITIONS
        and isinstance(entry.get("date"), datetime.datetime)
    )
