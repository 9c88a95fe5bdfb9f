"""Numbers that the updates of a job have in their data: how each has changed over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelinejobs import formatting
from pipelinejobs.page import charts

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Mapping, Sequence

    from markupsafe import Markup

    from datacatalog.linkedstores.pipelinejob.search import JobSearch
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

EVENT = "update"
MAX_ENTRIES = 500
"""Entries of a history that are read for numbers: the newest."""
MAX_BYTES = 1024 * 1024
"""Of these entries: where that is exceeded, older ones are not read."""
MAX_CHARTS = 6
MAX_POINTS = 60
"""In a chart: of more values, some are left out, evenly."""
_AT_ONCE = 100
_FIRST = ("progress", "percent", "step")
_LEAST = 2
"""Updates, and different values of a key, that make a line."""
_TOO_LARGE = 1e15


class Numbers(NamedTuple):
    """The numbers of a job, and the table behind the charts."""

    charts: Sequence[tuple[str, Markup]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    """oldest first: the number of the event, its moment, and a value or None for each chart"""
    left_out: int = 0
    """keys whose numbers change as well"""


def read(
    search: JobSearch, job: StoredJob, newest: Sequence[Document], total: int
) -> list[Document]:
    """Return the newest updates of a job with their data, oldest first.

    Args:
        search: where its history is.
        job: as it is stored.
        newest: its newest entries, oldest first, without data.
        total: how many entries it has.
    """
    places = [entry["position"] for entry in newest if entry["name"] == EVENT]
    if len(places) < _LEAST:
        return []
    first, end = max(places[0], total - MAX_ENTRIES), total
    found: list[Document] = []
    read_bytes = 0
    while end > first and read_bytes < MAX_BYTES:
        begin = max(first, end - _AT_ONCE)
        some = list(search.entries(job, begin, end - begin))
        read_bytes += sum(len(str(entry["data"])) for entry in some)
        found = [entry for entry in some if entry["name"] == EVENT] + found
        end = begin
    return found


def table(updates: Sequence[Document]) -> Numbers:
    """Return the numbers that updates hold and that change, without charts.

    Args:
        updates: as `read` returned them.
    """
    values: dict[str, list[float]] = {}
    for update in updates:
        for key, value in _numbers(update.get("data")):
            values.setdefault(key, []).append(value)
    changing = [key for key, found in values.items() if len(set(found)) >= _LEAST]
    keys = sorted(changing, key=lambda key: (key not in _FIRST, key))
    shown = keys[:MAX_CHARTS]
    rows = []
    for update in updates:
        found = dict(_numbers(update.get("data")))
        if any(key in found for key in shown):
            rows.append([update["position"], update["date"], *(found.get(key) for key in shown)])
    return Numbers((), ("Event", "Date", *shown), rows, len(keys) - len(shown))


def drawn(updates: Sequence[Document]) -> Numbers:
    """Return the numbers that updates hold and that change, each with a line chart.

    Args:
        updates: as `read` returned them.
    """
    found = table(updates)
    lines = []
    for column, key in enumerate(found.columns[2:], start=2):
        points = [(row[1], row[column]) for row in found.rows if row[column] is not None]
        lines.append((key, _chart(key, _fewer(points))))
    return found._replace(charts=lines)


def _numbers(data: Any) -> Iterable[tuple[str, float]]:
    """Yield the keys of data that have numbers, and these."""
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and abs(value) < _TOO_LARGE and math.isfinite(value):
            yield str(key), value


def _fewer(points: Sequence[tuple[datetime.datetime, float]]) -> list[tuple[Any, float]]:
    """Return at most `MAX_POINTS` of some points, the first and the last in any case."""
    if len(points) <= MAX_POINTS:
        return list(points)
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(number * step)] for number in range(MAX_POINTS)]


def _chart(key: str, points: Sequence[tuple[datetime.datetime, float]]) -> Markup:
    begin, end = points[0][0], points[-1][0]
    length = max(1.0, (end - begin).total_seconds())
    form = "%H:%M:%S" if begin.date() == end.date() else "%d %b %H:%M"
    labels: Mapping[float, str] = {0.0: f"{begin:{form}}", length: f"{end:{form}}"}
    shown = [
        {
            "value": ((date - begin).total_seconds(), value),
            "label": f"{value:g}, {formatting.shown(date)}",
        }
        for date, value in points
    ]
    return charts.curve(key, shown, labels)
