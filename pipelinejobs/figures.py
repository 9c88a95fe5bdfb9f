"""What was counted, in rows for people: by pipeline, by state, over time; and small charts of text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipelinejob.fsm import STATES
from datacatalog.linkedstores.statistics.reader import FAILED, FINISHED, merged
from datacatalog.linkedstores.statistics.sums import quantile

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping, Sequence

    from datacatalog.linkedstores.statistics.reader import Cells, Figures, Period
    from pipelinejobs.backend import Backend

_BARS = "▁▂▃▄▅▆▇█"


class Totals:
    """How much of what happened in a span of time, but not how long it took."""

    def __init__(self) -> None:
        self.created = self.started = self.events = self.refused = 0
        self.ended: Counter[str] = Counter()

    def add(self, figures: Figures) -> None:
        """Add what happened to the jobs of a pipeline."""
        self.created += figures.created
        self.started += figures.started
        self.events += figures.events.total()
        self.refused += figures.refused
        for state, number in figures.ended.items():
            self.ended[state] += number


def totals_over_time(cells: Cells, period: Period) -> list[tuple[datetime.datetime, Totals]]:
    """Return how much happened in each span of a period, also where that is nothing."""
    found = {since: Totals() for since in period.spans()}
    for (since, _), figures in cells.items():
        found.setdefault(since, Totals()).add(figures)
    return sorted(found.items(), key=lambda item: item[0])


def over_time(cells: Cells, period: Period) -> list[tuple[datetime.datetime, Figures]]:
    """Return what happened in each span of a period, also where that is nothing."""
    by_span: dict[datetime.datetime, list[Figures]] = {since: [] for since in period.spans()}
    for (since, _), figures in cells.items():
        by_span.setdefault(since, []).append(figures)
    return [(since, merged(found)) for since, found in sorted(by_span.items())]


def by_pipeline(cells: Cells, period: Period) -> dict[str, tuple[Figures, list[int]]]:
    """Return what happened to the jobs of each pipeline, and how many ended in each span."""
    spans = period.spans()
    found: dict[str, dict[datetime.datetime, Figures]] = {}
    for (since, pipeline), figures in cells.items():
        found.setdefault(pipeline, {})[since] = figures
    return {
        pipeline: (
            merged(own.values()),
            [sum(own[span].ended.values()) if span in own else 0 for span in spans],
        )
        for pipeline, own in found.items()
    }


def pipeline_rows(
    backend: Backend, found: Mapping[str, tuple[Figures, list[int]]]
) -> list[dict[str, Any]]:
    """Return a row for each pipeline, the one with the most events first.

    Args:
        backend: where they are.
        found: as `by_pipeline` returned it.
    """
    names = backend.search.pipeline_names(found)
    ordered = sorted(found.items(), key=lambda item: -item[1][0].events.total())
    return [
        {
            "pipeline": names.get(uuid, uuid),
            "pipeline_uuid": uuid,
            **_row(figures),
            "ended": ended,
        }
        for uuid, (figures, ended) in ordered
    ]


def span_rows(cells: Cells, period: Period) -> list[dict[str, Any]]:
    """Return a row for each hour or day, the oldest first."""
    return [{"since": since, **_row(figures)} for since, figures in over_time(cells, period)]


def state_rows(cells: Cells, now: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a row for each state: how many jobs are in it, came and left, and stayed for how long.

    Args:
        cells: of a period.
        now: how many jobs are in which state.
    """
    figures = merged(cells.values())
    rows = []
    for state in STATES:
        left = figures.in_state(state)
        came = sum(n.total() for (_, after), n in figures.moves.items() if after == state)
        rows.append(
            {
                "state": state,
                "jobs": now.get(state, 0),
                "came": came + (figures.created if state == "CREATED" else 0),
                "left": left.total(),
                "median_seconds": rounded(quantile(left, 0.5)),
                "p95_seconds": rounded(quantile(left, 0.95)),
            }
        )
    return rows


def _row(figures: Figures) -> dict[str, Any]:
    ended, rate = figures.ended, figures.failure_rate
    return {
        "created": figures.created,
        "started": figures.started,
        "finished": ended[FINISHED],
        "failed": ended[FAILED],
        "failure_rate": None if rate is None else round(rate, 4),
        "median_seconds": rounded(figures.run_time(0.5)),
        "p95_seconds": rounded(figures.run_time(0.95)),
        "wait_seconds": rounded(figures.waiting_time(0.5)),
        "events": figures.events.total(),
        "refused": figures.refused,
    }


def rounded(seconds: float | None) -> float | None:
    """Return a time in three digits: more of it is not known."""
    return None if seconds is None else float(f"{seconds:.3g}")


def sparkline(numbers: Sequence[float], most_bars: int = 30) -> str:
    """Return a line of bars, the highest for the highest number; nothing is the lowest.

    Args:
        numbers: one after the other in time.
        most_bars: of more numbers, as many stand together in one bar as have to.
    """
    together = -(-len(numbers) // most_bars)
    if together > 1:
        # from the end, which is now: the first bar may stand for fewer
        ends = range(len(numbers), 0, -together)
        numbers = [sum(numbers[max(0, end - together) : end]) for end in reversed(ends)]
    most = max(numbers, default=0)
    if not most:
        return _BARS[0] * len(numbers)
    top = len(_BARS) - 1
    return "".join(_BARS[-(-round(top * 1000 * number / most) // 1000)] for number in numbers)


def share(rate: float | None) -> str:
    """Return a share in percent, such as `2.5 %`; nothing where there is none."""
    return "" if rate is None else f"{rate * 100:.1f} %"
