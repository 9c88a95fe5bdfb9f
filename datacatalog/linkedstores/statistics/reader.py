"""Reads what was counted: the price depends on the spans of time and the pipelines, not on the jobs."""

from __future__ import annotations

import datetime
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from datacatalog.linkedstores.basestore.paging import Listing
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob.fsm import FIRST_EVENT, FIRST_STATE
from datacatalog.linkedstores.pipelinejob.store import REMOVED
from datacatalog.linkedstores.statistics.sums import DAY, EVER, HOUR, RUN, beginning, quantile
from datacatalog.linkedstores.statistics.tally import CELLS, JOURNAL, REFUSED, RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from datacatalog.mongo import Db, Document

T = TypeVar("T")
BY_HOUR = datetime.timedelta(days=2)
"""The longest time of which the hours are looked at; of a longer one, the days."""
FINISHED, FAILED, REJECTED, RESET = "FINISHED", "FAILED", "REJECTED", "RESET"
ENDED = "ended"
"""Where a run has the moment of its end."""
_SETTLED = datetime.timedelta(seconds=5)
"""After which what was counted is in all cells, and with the runs."""
_MAX_SECONDS, _MAX_KNOWN = 60.0, 16
"""For how long an answer holds that was read, and how many are kept."""
_RUN_ENDS = (FINISHED, FAILED)


class Period(NamedTuple):
    """A time that is looked at: whole hours, or whole days."""

    since: datetime.datetime
    until: datetime.datetime
    span: str

    @classmethod
    def of(cls, since: datetime.datetime, until: datetime.datetime) -> Period:
        """Return the hours or days in which a time lies."""
        span = HOUR if until - since <= BY_HOUR else DAY
        return cls(beginning(span, since), until, span)

    @property
    def step(self) -> datetime.timedelta:
        """The length of each span."""
        return datetime.timedelta(hours=1) if self.span == HOUR else datetime.timedelta(days=1)

    def spans(self) -> list[datetime.datetime]:
        """Return when each hour or day begins."""
        count = -((self.since - self.until) // self.step)
        return [self.since + number * self.step for number in range(max(1, count))]


class Figures:
    """What happened in some cells."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.refused = 0
        self.moves: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
        """by the states before and after: how many jobs had been in the first for how long"""

    def copy(self) -> Figures:
        """Return the same events and moves, to which only refusals may be added."""
        made = Figures()
        made.events, made.moves, made.refused = self.events, self.moves, self.refused
        return made

    def add(self, cell: Mapping[str, Any]) -> None:
        """Add what is in a cell."""
        self.events.update(cell.get("events") or {})
        for name, histogram in (cell.get("moves") or {}).items():
            before, _, after = name.partition(">")
            numbers = zip(map(int, histogram), histogram.values(), strict=True)
            self.moves[before, after].update(dict(numbers))

    @property
    def created(self) -> int:
        """How many jobs were created."""
        return self.events[FIRST_EVENT]

    @property
    def started(self) -> int:
        """How many runs began."""
        return sum(n.total() for (_, after), n in self.moves.items() if after == RUN)

    @property
    def ended(self) -> dict[str, int]:
        """How many runs ended in which state; and what failed or was rejected before or after one."""
        found: Counter[str] = Counter()
        for (before, after), histogram in self.moves.items():
            if after in (FAILED, REJECTED) or (before == RUN and after in (FINISHED, RESET)):
                found[after] += histogram.total()
        return {state: found[state] for state in (FINISHED, FAILED, REJECTED, RESET)}

    @property
    def failure_rate(self) -> float | None:
        """Which share of what finished or failed has failed."""
        ended = self.ended
        count = ended[FINISHED] + ended[FAILED]
        return ended[FAILED] / count if count else None

    @property
    def runs(self) -> Counter[int]:
        """The histogram of how long the runs took that finished or failed."""
        found: Counter[int] = Counter()
        for end in _RUN_ENDS:
            found.update(self.moves.get((RUN, end), {}))
        return found

    @property
    def waits(self) -> Counter[int]:
        """The histogram of how long jobs waited to be started."""
        return self.moves.get((FIRST_STATE, RUN), Counter())

    def in_state(self, state: str) -> Counter[int]:
        """Return the histogram of how long jobs were in a state that they have left."""
        found: Counter[int] = Counter()
        for (before, _), histogram in self.moves.items():
            if before == state:
                found.update(histogram)
        return found

    def run_time(self, share: float) -> float | None:
        """Return the seconds that such a share of the runs did not exceed."""
        return quantile(self.runs, share)

    def waiting_time(self, share: float) -> float | None:
        """Return the seconds that such a share of the jobs did not wait longer than."""
        return quantile(self.waits, share)


Cells = dict[tuple[datetime.datetime, str], Figures]
"""What happened, by the beginning of a span of time and the pipeline."""


class _Known(NamedTuple):
    """An answer, the batch that was counted last before it was read, and when that was."""

    batch: Document
    read: float
    answer: Any


class Statistics:
    """What was counted in a database.

    Args:
        db: the database.
    """

    def __init__(self, db: Db) -> None:
        self._db = db
        self._known: dict[tuple[Hashable, ...], _Known] = {}

    def counted(self) -> datetime.datetime | None:
        """Return when something was counted last; None where everything has to be counted again."""
        found = self._db[JOURNAL].find_one({}, {"date": 1})
        return None if found is None else found["date"]

    def cells(self, period: Period, pipelines: Iterable[str] = ()) -> Cells:
        """Return what happened, by the beginning of each span of time and the pipeline.

        Args:
            period: which spans.
            pipelines: UUIDs; none for all.
        """
        named = tuple(sorted(pipelines))
        found: Cells = defaultdict(Figures)
        counted: Cells = self._since_counted(
            period, (CELLS, named), lambda: self._read(period, named)
        )
        for place, figures in counted.items():
            found[place] = figures.copy()
        wanted: Document = {"since": _between(period), **_of(named)}
        for cell in self._db[REFUSED].find(wanted):
            since = beginning(period.span, cell["since"])
            found[since, cell["pipeline"]].refused += cell["count"]
        return found

    def _read(self, period: Period, pipelines: tuple[str, ...]) -> Cells:
        """Return what happened, but for what was refused."""
        found: Cells = defaultdict(Figures)
        wanted = {"span": period.span, "since": _between(period), **_of(pipelines)}
        for cell in self._db[CELLS].find(wanted):
            found[cell["since"], cell["pipeline"]].add(cell)
        return found

    def _since_counted(
        self, period: Period, what: tuple[Hashable, ...], read: Callable[[], T]
    ) -> T:
        """Return what was read of a period; read again only if something was counted since."""
        batch = self._db[JOURNAL].find_one({}, {"batch": 1, "date": 1}) or {}
        # of what has happened after that, nothing was counted, but by a clock that is ahead
        until = min(period.until, batch.get("date", period.until))
        asked = (*what, period.span, period.since, period.spans()[-1], until)
        known, moment = self._known.get(asked), time.monotonic()
        if known and known.batch == batch and moment - known.read < _MAX_SECONDS:
            kept: T = known.answer
            return kept
        answer = read()
        # the journal is written before the rest: what has just been counted may not be in all of it
        if batch and now() - batch["date"] > _SETTLED:
            self._known[asked] = _Known(batch, moment, answer)
            while len(self._known) > _MAX_KNOWN:
                self._known.pop(next(iter(self._known)), None)
        return answer

    def ever(self) -> dict[str, Figures]:
        """Return all that happened to the jobs of each pipeline."""
        found: dict[str, Figures] = defaultdict(Figures)
        for cell in self._db[CELLS].find({"span": EVER}):
            found[cell["pipeline"]].add(cell)
        return found

    def states(self) -> dict[str, Counter[str]]:
        """Return how many jobs are in which state, hidden ones too, by pipeline."""
        found: dict[str, Counter[str]] = {}
        for pipeline, figures in self.ever().items():
            states = Counter({FIRST_STATE: figures.created})
            for (before, after), histogram in figures.moves.items():
                states[after] += histogram.total()
                states[before] -= histogram.total()
            found[pipeline] = states
        for removed in self._db[REMOVED].find():
            found.setdefault(removed["_id"], Counter()).subtract(removed.get("states") or {})
        return {pipeline: +states for pipeline, states in found.items()}

    def runs(
        self,
        period: Period,
        limit: int,
        pipelines: Iterable[str] = (),
        within: datetime.timedelta | None = None,
    ) -> list[Document]:
        """Return runs that ended, the newest first: `uuid`, `pipeline`, `state`, `ended`, `seconds`.

        Args:
            period: when.
            limit: how many at most.
            pipelines: UUIDs; none for all.
            within: in which time there are likely to be so many.
        """
        named = tuple(sorted(pipelines))
        # a server may sort all that is in a range, so it is asked for a part of it at first
        listing = Listing(
            self._db[RUNS], ENDED, rest=_of(named), after=period.since, before=period.until
        )
        if within:
            listing = listing._replace(width=within)
        what = (RUNS, named, limit)
        rows: list[Document] = self._since_counted(
            period, what, lambda: listing.page(None, limit).rows
        )
        return [{**row} for row in rows]

    def last_runs(self, job_uuids: Iterable[str]) -> dict[str, Document]:
        """Return the last run, as of `runs`, of jobs that have ended one, by the UUIDs of the jobs."""
        names = dict.fromkeys(("uuid", "pipeline", "state", ENDED, "seconds"), 1)
        found = self._db[RUNS].find({"uuid": {"$in": [*job_uuids]}}, names)
        return {run["uuid"]: run for run in sorted(found, key=lambda run: run[ENDED])}

    def run_times(self, job_uuids: Iterable[str]) -> dict[str, float]:
        """Return how many seconds the last run took, by the UUIDs of jobs that have ended one."""
        return {uuid: run["seconds"] for uuid, run in self.last_runs(job_uuids).items()}


def merged(figures: Iterable[Figures]) -> Figures:
    """Return what happened in all of them."""
    made = Figures()
    for each in figures:
        made.events.update(each.events)
        made.refused += each.refused
        for move, histogram in each.moves.items():
            made.moves[move].update(histogram)
    return made


def _of(pipelines: tuple[str, ...]) -> Document:
    return {"pipeline": {"$in": [*pipelines]}} if pipelines else {}


def _between(period: Period) -> Document:
    return {"$gte": period.since, "$lt": period.until}
