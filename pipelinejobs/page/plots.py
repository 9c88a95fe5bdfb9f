"""What the overview draws: what started and ended over time, events, and how long runs took."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.linkedstores.statistics.reader import FAILED, FINISHED, REJECTED, RESET
from datacatalog.linkedstores.statistics.sums import HOUR
from pipelinejobs import figures, formatting
from pipelinejobs.page import charts, links, ticks
from pipelinejobs.page.links import Link

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from markupsafe import Markup

    from datacatalog.linkedstores.statistics.reader import Cells, Period
    from pipelinejobs.backend import Backend

ENDS = (FINISHED, FAILED, REJECTED, RESET)
MAX_POINTS = 200
_MARGIN = 1.2
"""How much longer than expected is looked at first."""
_MARKS = (0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86_400, 10 * 86_400, 100 * 86_400, 1000 * 86_400)
"""Durations, in seconds, at which a chart may have a line."""


class Chart(NamedTuple):
    """A chart, and the table behind it."""

    name: str
    title: str
    drawing: Markup
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    axis: tuple[datetime.datetime, datetime.datetime]
    """the moments at its left and at its right edge"""
    note: str = ""


class Slot(NamedTuple):
    """An hour or a day."""

    since: datetime.datetime
    until: datetime.datetime
    label: str
    totals: figures.Totals
    paths: links.Paths
    """to what is counted in it"""


def drawn(backend: Backend, period: Period, pipelines: Sequence[str], cells: Cells) -> list[Chart]:
    """Return the charts of a period.

    Args:
        backend: where the jobs are.
        period: which.
        pipelines: UUIDs; none for all.
        cells: what happened.
    """
    slots = []
    for since, found in figures.totals_over_time(cells, period):
        within = period._replace(since=since, until=since + period.step)
        paths = links.Paths(within, pipelines)
        label = f"{since:%H:%M}" if period.span == HOUR else f"{since:%d %b}"
        slots.append(Slot(since, within.until, label, found, paths))
    return [_ends(slots), _begins(slots), _events(slots), _runs(backend, period, pipelines, slots)]


def _ends(slots: Sequence[Slot]) -> Chart:
    def point(slot: Slot, state: str) -> dict[str, Any]:
        number = slot.totals.ended[state]
        label = f"{number} {state}, {slot.label} UTC"
        return {"value": number or None, "label": label, "xlink": slot.paths.ended(state)}

    shown = _up_to_last(
        {state for slot in slots for state, number in slot.totals.ended.items() if number}
    )
    series = {state: [point(slot, state) for slot in slots] for state in shown}
    drawing = charts.bars(_labels(slots), series)
    rows = [
        [
            slot.since,
            *(Link(slot.totals.ended[state], slot.paths.ended(state)) for state in ENDS),
        ]
        for slot in slots
    ]
    return Chart("ended", "Runs that ended", drawing, ("Since", *ENDS), rows, _whole(slots))


def _up_to_last(found: Collection[str]) -> Sequence[str]:
    """Return ends of runs, each in its place and so in its colour, as far as there are any."""
    return ENDS[: max((ENDS.index(state) + 1 for state in found if state in ENDS), default=2)]


def _begins(slots: Sequence[Slot]) -> Chart:
    numbers = [(slot.totals.created, slot.totals.started) for slot in slots]
    series = {
        "created": [created for created, _ in numbers],
        "started": [started for _, started in numbers],
    }
    drawing = charts.lines(_labels(slots), series)
    rows = [
        [slot.since, Link(created, slot.paths.created), Link(started, slot.paths.jobs)]
        for slot, (created, started) in zip(slots, numbers, strict=True)
    ]
    title = "Jobs that were created and started"
    # each point of a line stands where its hour or day begins
    axis = (slots[0].since, slots[-1].since)
    return Chart("started", title, drawing, ("Since", "created", "started"), rows, axis)


def _events(slots: Sequence[Slot]) -> Chart:
    numbers = [(slot.totals.events, slot.totals.refused) for slot in slots]
    series = {"events": [events or None for events, _ in numbers]}
    if any(refused for _, refused in numbers):
        series["refused"] = [refused or None for _, refused in numbers]
    drawing = charts.bars(_labels(slots), series)
    rows = [
        [slot.since, Link(events, slot.paths.jobs), Link(refused, slot.paths.refused)]
        for slot, (events, refused) in zip(slots, numbers, strict=True)
    ]
    columns = ("Since", "events", "refused")
    return Chart("events", "Events", drawing, columns, rows, _whole(slots))


def _labels(slots: Sequence[Slot]) -> list[str]:
    return [
        charts.label(slot.since, slot.label, int((slot.until - slot.since).total_seconds()))
        for slot in slots
    ]


def _whole(slots: Sequence[Slot]) -> tuple[datetime.datetime, datetime.datetime]:
    return slots[0].since, slots[-1].until


def _runs(
    backend: Backend, period: Period, pipelines: Sequence[str], slots: Sequence[Slot]
) -> Chart:
    found = backend.statistics.runs(
        period, MAX_POINTS, pipelines, _time_of(MAX_POINTS, slots, period)
    )
    series: dict[str, list[dict[str, Any]]] = {}
    for run in found:
        took = formatting.duration(run["seconds"])
        point = {
            "value": ((run["ended"] - period.since).total_seconds(), _height(run["seconds"])),
            "label": f"{run['state']} after {took}, {formatting.shown(run['ended'])} UTC",
            "xlink": f"/jobs/{run['uuid']}",
        }
        series.setdefault(run["state"], []).append(point)
    # to the end of an hour or day, so that the chart stays as it is while nothing happens
    length = len(period.spans()) * period.step
    begin, end = period.since, period.since + length
    marks = ticks.between(begin, end)
    drawing = charts.scatter(
        {state: series.get(state, []) for state in _up_to_last(series)},
        (end - begin).total_seconds(),
        {
            (mark.date - begin).total_seconds(): charts.label(*mark, marks.step)
            for mark in marks.marks
        },
        _durations([run["seconds"] for run in found]),
    )
    rows = [
        [Link(run["uuid"], f"/jobs/{run['uuid']}"), run["state"], run["ended"], run["seconds"]]
        for run in found
    ]
    note = f"The newest {MAX_POINTS} runs." if len(found) == MAX_POINTS else ""
    columns = ("Job", "State after it", "Ended", "Seconds")
    return Chart("runs", "How long runs took", drawing, columns, rows, (begin, end), note)


def _time_of(runs: int, slots: Sequence[Slot], period: Period) -> datetime.timedelta:
    """Return in which time before the end of a period so many runs have ended, about."""
    left, time = runs, datetime.timedelta()
    for slot in reversed(slots):
        ended = sum(slot.totals.ended[state] for state in (FINISHED, FAILED))
        length = min(slot.until, period.until) - slot.since
        if ended >= left:
            return time + length * left / ended * _MARGIN
        left, time = left - ended, time + length
    return time


def _height(seconds: float) -> float:
    """Return how high a time is drawn: ten times as long is as much higher, wherever it is."""
    return math.log10(max(seconds, _MARKS[0]))


def _durations(found: Sequence[float]) -> dict[float, str]:
    """Return the marks between which some times are, by their heights."""
    longest = max(found, default=1)
    last = next((i for i, mark in enumerate(_MARKS) if mark >= longest), len(_MARKS) - 1)
    least = min(found, default=1)
    first = max((i for i, mark in enumerate(_MARKS[:last]) if mark <= least), default=0)
    return {_height(mark): formatting.duration(mark) for mark in _MARKS[first : last + 1]}
