"""How the pipelines are doing: a period in numbers and charts, each of which leads to what it counts."""

from __future__ import annotations

import csv
import datetime
import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.statistics.reader import FAILED, FINISHED, REJECTED, RESET, merged
from datacatalog.linkedstores.statistics.sums import HOUR
from pipelinejobs import figures, output, subscribing
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import charts, listing, periods
from pipelinejobs.page.stuck import Stuck
from pipelinejobs.page.view import SEE_OTHER, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from markupsafe import Markup

    from datacatalog.linkedstores.statistics.reader import Figures, Period
    from pipelinejobs.page.view import View

ENDS = (FINISHED, FAILED, REJECTED, RESET)
MOST_POINTS = 200
_NEWS_SECONDS = 5
_MARKS = (0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86_400, 10 * 86_400, 100 * 86_400, 1000 * 86_400)
"""Durations, in seconds, at which a chart may have a line."""
_NONE = "none yet"
_stuck = Stuck()
_OWN = ("period", "from", "to", "of", "format")


class Link(NamedTuple):
    """A number or a name that leads to what it stands for."""

    text: Any
    path: str


class Chart(NamedTuple):
    """A chart, and the table behind it."""

    name: str
    title: str
    drawing: Markup
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


def version(view: View) -> object:
    """Return what changes when something was counted, every few seconds at most."""
    counted = view.site.statistics.counted()
    return None if counted is None else int(counted.timestamp()) // _NEWS_SECONDS


def show(view: View) -> Response:
    """Show a period; an address that this page had when it was the list leads to the list."""
    query = view.query
    if query and not any(name in query for name in _OWN):
        return RedirectResponse(f"/jobs?{view.request.url.query}", SEE_OTHER)
    problem = ""
    try:
        period, pipelines = periods.read(query), listing.pipelines(view)
    except CommandError as error:
        period, pipelines, problem = periods.read({}), (), str(error)
    cells = view.site.statistics.cells(period, pipelines)
    name = query.get("of", "")
    if query.get("format") == "csv":
        return _csv(view, period, pipelines, cells, name)
    total = merged(cells.values())
    rows = figures.pipeline_rows(view.site, cells, period)
    return view.render(
        "overview.html",
        "Overview",
        400 if problem else 200,
        problem=problem,
        counted=view.site.statistics.counted(),
        period=period,
        chosen=periods.chosen(query),
        lengths=[*periods.LENGTHS],
        picker=listing.picker(view),
        pipelines=pipelines,
        tiles=_tiles(view, period, pipelines, total),
        charts=_charts(view, period, pipelines, cells),
        table=_pipelines(period, rows),
        stuck=_stuck.jobs(view.site, pipelines),
        now=now(),
    )


def _to_jobs(period: Period, pipelines: Sequence[str], **more: Any) -> str:
    """Return the address of the list of jobs to which something happened in a period."""
    times = {"from": periods.plain(period.since), "to": _end(period.until)}
    fields = {**times, "pipeline": [*pipelines], **more}
    return "/jobs?" + urlencode(fields, doseq=True)


def _end(moment: datetime.datetime) -> str:
    """Return the minute after a moment, so that the minute itself is in the period."""
    return periods.plain(moment + datetime.timedelta(minutes=1))


def _tiles(
    view: View, period: Period, pipelines: Sequence[str], total: Figures
) -> list[tuple[str, Link, str]]:
    """Return the numbers of a period: what each is, the number, and what is said beside it."""
    ended = total.ended
    own = {"pipeline": [*pipelines]} if pipelines else {}
    born = {"created_from": periods.plain(period.since), "created_to": _end(period.until)}
    behind = subscribing.behind(view.site)
    times = {
        name: _NONE if seconds is None else output.duration(seconds)
        for name, seconds in (
            ("median", total.run_time(0.5)),
            ("p95", total.run_time(0.95)),
            ("wait", total.waiting_time(0.5)),
            ("wait95", total.waiting_time(0.95)),
        )
    }
    finished = _to_jobs(period, pipelines, state=[FINISHED, FAILED])
    every = _to_jobs(period, pipelines)
    return [
        ("Created", Link(total.created, "/jobs?" + urlencode({**born, **own}, doseq=True)), ""),
        ("Started", Link(total.started, every), ""),
        ("Finished", Link(ended[FINISHED], _to_jobs(period, pipelines, state=FINISHED)), ""),
        (
            "Failed",
            Link(ended[FAILED], _to_jobs(period, pipelines, state=FAILED)),
            figures.share(total.failure_rate),
        ),
        ("Run time, median", Link(times["median"], finished), f"95 % within {times['p95']}"),
        (
            "Wait in CREATED, median",
            Link(times["wait"], _to_jobs(period, pipelines, state="CREATED")),
            f"95 % within {times['wait95']}",
        ),
        ("Events", Link(total.events.total(), every), ""),
        ("Refused events", Link(total.refused, "/rejected"), ""),
        ("Subscribers behind", Link(len(behind), "/subscriptions"), ", ".join(behind[:3])),
    ]


def _charts(
    view: View, period: Period, pipelines: Sequence[str], cells: figures.Cells
) -> list[Chart]:
    spans = figures.over_time(cells, period)
    return [
        _ends(period, pipelines, spans),
        _begins(period, pipelines, spans),
        _events(period, pipelines, spans),
        _runs(view, period, pipelines),
    ]


def _label(period: Period, since: datetime.datetime) -> str:
    return f"{since:%H:%M}" if period.span == HOUR else f"{since:%d %b}"


def _within(period: Period, since: datetime.datetime) -> Period:
    """Return one hour or day of a period."""
    return period._replace(since=since, until=since + period.step)


Spans = list[tuple[datetime.datetime, "Figures"]]


def _ends(period: Period, pipelines: Sequence[str], spans: Spans) -> Chart:
    def cell(since: datetime.datetime, state: str, number: int) -> dict[str, Any]:
        path = _to_jobs(_within(period, since), pipelines, state=state)
        label = f"{number} {state}, {_label(period, since)}"
        return {"value": number, "label": label, "xlink": path}

    shown = _up_to_last({state for _, found in spans for state, n in found.ended.items() if n})
    series = {
        state: [cell(since, state, found.ended[state]) for since, found in spans] for state in shown
    }
    rows = [
        [
            since,
            *(
                Link(found.ended[state], _to_jobs(_within(period, since), pipelines, state=state))
                for state in ENDS
            ),
        ]
        for since, found in spans
    ]
    labels = [_label(period, since) for since, _ in spans]
    return Chart("ended", "Runs that ended", charts.bars(labels, series), ("Since", *ENDS), rows)


def _up_to_last(found: Collection[str]) -> Sequence[str]:
    """Return ends of runs, each in its place and so in its colour, as far as there are any."""
    return ENDS[: max((ENDS.index(state) + 1 for state in found if state in ENDS), default=2)]


def _begins(period: Period, pipelines: Sequence[str], spans: Spans) -> Chart:
    labels = [_label(period, since) for since, _ in spans]
    series = {
        "created": [found.created for _, found in spans],
        "started": [found.started for _, found in spans],
    }
    rows = [
        [
            since,
            *(
                Link(number, _to_jobs(_within(period, since), pipelines))
                for number in (found.created, found.started)
            ),
        ]
        for since, found in spans
    ]
    drawing = charts.lines(labels, series)
    title = "Jobs that were created and started"
    return Chart("started", title, drawing, ("Since", "created", "started"), rows)


def _events(period: Period, pipelines: Sequence[str], spans: Spans) -> Chart:
    labels = [_label(period, since) for since, _ in spans]
    series = {"events": [found.events.total() for _, found in spans]}
    if any(found.refused for _, found in spans):
        series["refused"] = [found.refused for _, found in spans]
    rows = [
        [
            since,
            Link(found.events.total(), _to_jobs(_within(period, since), pipelines)),
            Link(found.refused, "/rejected"),
        ]
        for since, found in spans
    ]
    drawing = charts.bars(labels, series)
    return Chart("events", "Events", drawing, ("Since", "events", "refused"), rows)


def _runs(view: View, period: Period, pipelines: Sequence[str]) -> Chart:
    found = view.site.statistics.runs(period, MOST_POINTS, pipelines)
    series: dict[str, list[dict[str, Any]]] = {}
    for run in found:
        took = output.duration(run["seconds"])
        point = {
            "value": ((run["ended"] - period.since).total_seconds(), _height(run["seconds"])),
            "label": f"{run['state']} after {took}, {output.shown(run['ended'])}",
            "xlink": f"/jobs/{run['uuid']}",
        }
        series.setdefault(run["state"], []).append(point)
    marks = [period.since + (period.until - period.since) * part / 4 for part in range(5)]
    drawing = charts.scatter(
        {state: series.get(state, []) for state in _up_to_last(series)},
        {(mark - period.since).total_seconds(): _moment(period, mark) for mark in marks},
        _durations([run["seconds"] for run in found]),
    )
    rows = [
        [Link(run["uuid"], f"/jobs/{run['uuid']}"), run["state"], run["ended"], run["seconds"]]
        for run in found
    ]
    note = f"The newest {MOST_POINTS} runs." if len(found) == MOST_POINTS else ""
    columns = ("Job", "State after it", "Ended", "Seconds")
    return Chart("runs", "How long runs took", drawing, columns, rows, note)


def _height(seconds: float) -> float:
    """Return how high a time is drawn: ten times as long is as much higher, wherever it is."""
    return math.log10(max(seconds, _MARKS[0]))


def _durations(found: Sequence[float]) -> dict[float, str]:
    """Return the marks between which some times are, by their heights."""
    longest = max(found, default=1)
    last = next((i for i, mark in enumerate(_MARKS) if mark >= longest), len(_MARKS) - 1)
    least = min(found, default=1)
    first = max((i for i, mark in enumerate(_MARKS[:last]) if mark <= least), default=0)
    return {_height(mark): output.duration(mark) for mark in _MARKS[first : last + 1]}


def _moment(period: Period, date: datetime.datetime) -> str:
    return f"{date:%H:%M}" if period.span == HOUR else f"{date:%d %b %H:%M}"


def _pipelines(period: Period, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each pipeline, whose numbers are links."""
    shown = []
    for row in rows:
        one = (row["pipeline_uuid"],)
        shown.append(
            {
                "name": row["pipeline"],
                "uuid": row["pipeline_uuid"],
                "started": Link(row["started"], _to_jobs(period, one)),
                "finished": Link(row["finished"], _to_jobs(period, one, state=FINISHED)),
                "failed": Link(row["failed"], _to_jobs(period, one, state=FAILED)),
                "rate": figures.share(row["failure_rate"]),
                **{
                    name: None if row[name] is None else output.duration(row[name])
                    for name in ("median_seconds", "p95_seconds", "wait_seconds")
                },
                "events": Link(row["events"], _to_jobs(period, one)),
                "refused": Link(row["refused"], "/rejected"),
                "trend": charts.sparkline(row["ended"]),
                "ended": row["ended"],
            }
        )
    return shown


def _csv(
    view: View, period: Period, pipelines: Sequence[str], cells: figures.Cells, name: str
) -> Response:
    """Return the table behind a chart, or that of the pipelines, as CSV."""
    if name in ("", "pipelines"):
        rows = figures.pipeline_rows(view.site, cells, period)
        columns = [key for key in (rows[0] if rows else {"pipeline": ""}) if key != "ended"]
        lines = [[row[key] for key in columns] for row in rows]
    else:
        chart = next(
            (each for each in _charts(view, period, pipelines, cells) if each.name == name), None
        )
        if chart is None:
            message = f"There is no chart {name:.40}."
            raise Problem(message, 404)
        columns, lines = [*chart.columns], [[*row] for row in chart.rows]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        values = [cell.text if isinstance(cell, Link) else cell for cell in line]
        writer.writerow([output.csv_cell(value) for value in values])
    file = f"{name or 'pipelines'}.csv"
    return Response(
        text.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{file}"'},
    )
