"""How the pipelines are doing: a period in numbers and charts, each of which leads to what it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse, Response

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.statistics.reader import FAILED, FINISHED, merged
from pipelinejobs import figures, formatting, subscribing
from pipelinejobs.page import charts, filters, links, periods, plots, tables
from pipelinejobs.page.context import SEE_OTHER, Problem
from pipelinejobs.page.links import Link
from pipelinejobs.page.stuck import Stuck

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacatalog.linkedstores.statistics.reader import Cells, Figures, Period
    from pipelinejobs.page.context import Context

_NEWS_SECONDS = 5
_NONE = "none yet"
_stuck = Stuck()
_OWN = ("period", "from", "to", "of", "format")


def version(context: Context) -> object:
    """Return what changes when something was counted, every few seconds at most, and once more after the last."""
    counted = context.backend.statistics.counted()
    if counted is None:
        return None
    is_last = (now() - counted).total_seconds() > _NEWS_SECONDS
    return counted.timestamp() if is_last else int(counted.timestamp()) // _NEWS_SECONDS


def show(context: Context) -> Response:
    """Show a period; an address that this page had when it was the list leads to the list."""
    query = context.query
    if query and not any(name in query for name in _OWN):
        return RedirectResponse(f"/jobs?{context.request.url.query}", SEE_OTHER)
    asked = filters.Asked.of(context)
    if not asked.scope.is_counted:
        return _render(context, asked)
    period, pipelines = asked.period, asked.scope.pipelines
    cells = context.backend.statistics.cells(period, pipelines)
    name = query.get("of", "")
    if query.get("format") == "csv":
        if asked.problem:
            raise Problem(asked.problem, 400)
        return _csv(context, period, pipelines, cells, name)
    found = figures.by_pipeline(cells, period)
    total = merged(own for own, _ in found.values())
    return _render(
        context,
        asked,
        tiles=_tiles(context, period, pipelines, total),
        charts=plots.drawn(context.backend, period, pipelines, cells),
        table=_pipelines(period, figures.pipeline_rows(context.backend, found)),
    )


def _render(context: Context, asked: filters.Asked, **counted: object) -> Response:
    """Return the page.

    Args:
        context: the request.
        asked: which time and which jobs.
        counted: what the statistics know of them; nothing where they do not tell them from others.
    """
    stuck, more_stuck = _stuck.jobs(context.backend, asked.scope)
    return context.render(
        "overview.html",
        "Overview",
        400 if asked.problem else 200,
        asked=asked,
        counted=context.backend.statistics.counted(),
        chosen=periods.chosen(context.query),
        lengths=[*periods.LENGTHS],
        picker=filters.picker(context),
        gantt="/gantt?" + context.request.url.query,
        jobs=links.Paths(asked.period).with_fields(asked.scope.fields),
        stuck=stuck,
        more_stuck=more_stuck,
        **counted,
    )


def _tiles(
    context: Context, period: Period, pipelines: Sequence[str], total: Figures
) -> list[tuple[str, Link, str]]:
    """Return the numbers of a period: what each is, the number, and what is said beside it."""
    ended = total.ended
    behind = subscribing.behind(context.backend)
    times = {
        name: _NONE if seconds is None else formatting.duration(seconds)
        for name, seconds in (
            ("median", figures.rounded(total.run_time(0.5))),
            ("p95", figures.rounded(total.run_time(0.95))),
            ("wait", figures.rounded(total.waiting_time(0.5))),
            ("wait95", figures.rounded(total.waiting_time(0.95))),
        )
    }
    paths = links.Paths(period, pipelines)
    every = paths.jobs
    return [
        ("Created", Link(total.created, paths.created), ""),
        ("Started", Link(total.started, every), ""),
        ("Finished", Link(ended[FINISHED], paths.ended(FINISHED)), ""),
        (
            "Failed",
            Link(ended[FAILED], paths.ended(FAILED)),
            figures.share(total.failure_rate),
        ),
        (
            "Run time, median",
            Link(times["median"], paths.ended(FINISHED, FAILED)),
            f"95 % within {times['p95']}",
        ),
        (
            "Wait in CREATED, median",
            Link(times["wait"], every),
            f"95 % within {times['wait95']}",
        ),
        ("Events", Link(total.events.total(), every), ""),
        ("Refused events", Link(total.refused, paths.refused), ""),
        ("Subscribers behind", Link(len(behind), "/subscriptions"), ", ".join(behind[:3])),
    ]


def _pipelines(period: Period, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each pipeline, whose numbers are links."""
    shown = []
    for row in rows:
        paths = links.Paths(period, (row["pipeline_uuid"],))
        shown.append(
            {
                "name": row["pipeline"],
                "uuid": row["pipeline_uuid"],
                "started": Link(row["started"], paths.jobs),
                "finished": Link(row["finished"], paths.ended(FINISHED)),
                "failed": Link(row["failed"], paths.ended(FAILED)),
                "rate": figures.share(row["failure_rate"]),
                **{
                    name: None if row[name] is None else formatting.duration(row[name])
                    for name in ("median_seconds", "p95_seconds", "wait_seconds")
                },
                "events": Link(row["events"], paths.jobs),
                "refused": Link(row["refused"], paths.refused),
                "trend": charts.sparkline(row["ended"]),
                "ended": row["ended"],
            }
        )
    return shown


def _csv(
    context: Context, period: Period, pipelines: Sequence[str], cells: Cells, name: str
) -> Response:
    """Return the table behind a chart, or that of the pipelines, as CSV."""
    if name in ("", "pipelines"):
        rows = figures.pipeline_rows(context.backend, figures.by_pipeline(cells, period))
        columns = [key for key in (rows[0] if rows else {"pipeline": ""}) if key != "ended"]
        lines = [[row[key] for key in columns] for row in rows]
    else:
        chart = next(
            (
                each
                for each in plots.drawn(context.backend, period, pipelines, cells)
                if each.name == name
            ),
            None,
        )
        if chart is None:
            message = f"There is no chart {name:.40}."
            raise Problem(message, 404)
        columns, lines = [*chart.columns], [[*row] for row in chart.rows]
    return tables.csv_reply(f"{name or 'pipelines'}.csv", columns, lines)
