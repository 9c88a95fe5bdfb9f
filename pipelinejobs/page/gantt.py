"""The jobs of a period, one below the other: when each was created, ran and ended, and what it is a child of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob.fsm import FIRST_STATE, STATES
from datacatalog.linkedstores.pipelinejob.search import Filters
from datacatalog.linkedstores.statistics.reader import ENDED, merged
from pipelinejobs.page import filters, links, listing, periods, rendering, spans, tables, timeline
from pipelinejobs.page.context import Problem
from pipelinejobs.page.links import Link

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from starlette.responses import Response

    from datacatalog.mongo import Document
    from pipelinejobs.page.context import Context
    from pipelinejobs.page.filters import Asked
    from pipelinejobs.page.spans import Span

MAX_JOBS = 100
"""Jobs that are drawn: the newest."""
_SECONDS = 0.5
"""For how long jobs of an owner or a session are looked for, which have no index."""
_OPEN = (FIRST_STATE, *timeline.AT_WORK)
"""States that a job is to leave: it lasts until now."""
_COLUMNS = ("Job", "Title", "Pipeline", "State", "Created", "Until", "Seconds of run", "Child of")


def show(context: Context) -> Response:
    """Show the jobs that were created in a period; with `format=csv`, their table."""
    asked = filters.Asked.of(context)
    is_table = context.query.get("format") == "csv"
    if asked.problem and is_table:
        raise Problem(asked.problem, 400)
    page = context.backend.search.jobs(
        Filters(
            pipelines=asked.scope.pipelines,
            owners=asked.scope.owners,
            sessions=asked.scope.sessions,
            created_after=asked.period.since,
            created_before=asked.period.until,
        ),
        limit=MAX_JOBS,
        seconds=_SECONDS,
    )
    found = spans.arranged(_spans(context, listing.titled(context.backend, page.rows), now()))
    if is_table:
        return tables.csv_reply("gantt.csv", _COLUMNS, _rows(found))
    return context.render(
        "gantt.html",
        "Gantt chart",
        400 if asked.problem else 200,
        asked=asked,
        chosen=periods.chosen(context.query),
        lengths=[*periods.LENGTHS],
        picker=filters.picker(context),
        overview="/?" + context.request.url.query,
        jobs=links.Paths(asked.period).with_fields(asked.scope.fields, created=True),
        left_out=_left_out(context, asked, len(found)) if page.cursor else "",
        axis=spans.axis(found) if found else (),
        drawing=rendering.svg(spans.svg(found)),
        kinds=[state for state in STATES if any(span.state == state for span in found)],
        columns=_COLUMNS,
        rows=_rows(found),
    )


def _spans(context: Context, jobs: Sequence[Document], moment: datetime.datetime) -> list[Span]:
    uuids = [job["uuid"] for job in jobs]
    parents, runs = (
        context.backend.search.parents(uuids),
        context.backend.statistics.last_runs(uuids),
    )
    found = []
    for job in jobs:
        state, run = str(job["state"]), runs.get(job["uuid"])
        created = job["_properties"]["created_date"]
        until = moment if state in _OPEN else job.get("updated") or created
        found.append(
            spans.Span(
                job["uuid"],
                job["title"],
                job["pipeline"],
                state,
                created,
                max(until, created),
                run[ENDED] if run else None,
                run["seconds"] if run else None,
                tuple(uuid for uuid in parents.get(job["uuid"], ()) if uuid in uuids),
            )
        )
    return found


def _left_out(context: Context, asked: Asked, shown: int) -> str:
    """Return how many jobs are not drawn, as far as the statistics can tell."""
    if not asked.scope.is_counted:
        return "more"
    cells = context.backend.statistics.cells(asked.period, asked.scope.pipelines)
    return f"{max(1, merged(cells.values()).created - shown):,}"


def _rows(found: Sequence[Span]) -> list[list[object]]:
    return [
        [
            Link(span.uuid, span.path),
            span.title,
            span.pipeline,
            span.state,
            span.created,
            span.until,
            span.seconds,
            " ".join(span.parents),
        ]
        for span in found
    ]
