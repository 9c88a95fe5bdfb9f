"""The list of jobs, and how jobs are called in it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from datacatalog.linkedstores.basestore.paging import Page
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS, STATES
from datacatalog.linkedstores.pipelinejob.history import MAX_ENTRIES
from pipelinejobs import parsing, progress
from pipelinejobs.page import columns, filters
from pipelinejobs.page.counting import Counter

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from datacatalog.mongo import Document
    from pipelinejobs.backend import Backend
    from pipelinejobs.page.context import Context

PAGE = 50
"""Jobs in a list."""
AGES = {"": "at any time", "1h": "last hour", "1d": "last day", "7d": "last 7 days"}
IDLE = {"": "any", "1h": "idle for 1 h", "1d": "idle for 1 day", "7d": "idle for 7 days"}
_SEARCH_SECONDS = 0.5
_SHORT = 8
_WORKING = "RUNNING"
_LOOKED_AT = 4
"""Of the newest events of a job, where its progress is looked for."""
KEPT = ("created_from", "created_to", "sort", "order")
"""Parameters that have no field of their own, and stay when others change."""
FILTERS = (
    "state",
    *filters.SHARED,
    "text",
    "created",
    "idle",
    "from",
    "to",
    "hidden",
    *KEPT,
    "columns",
)
"""All parameters that a view of the list is made of."""
_NO_FILTERS = ("sort", "order", "columns")
_counter = Counter()


def version(context: Context) -> object:
    """Return what changes with any job or pipeline, or when an event is refused."""
    return context.changes.total()


def show(context: Context, *, status: int = 200, **more: object) -> Response:
    """List jobs.

    Args:
        context: the request.
        status: of the answer.
        more: for the template.
    """
    mistakes: dict[str, str] = {}
    wanted, sorting = filters.read(context, mistakes), columns.sorting(context)
    names = columns.chosen(context)
    page = Page([], None)
    if not mistakes:
        page = context.backend.search.jobs(
            wanted,
            order=sorting.column,
            oldest_first=sorting.oldest_first,
            cursor=context.query.get("cursor") or None,
            back=context.query.get("back") == "yes",
            limit=PAGE,
            seconds=_SEARCH_SECONDS if wanted.text else None,
            events=_LOOKED_AT if "progress" in names else 0,
        )
    rows = _with_progress(titled(context.backend, page.rows))
    return context.render(
        "jobs.html",
        "Jobs",
        400 if mistakes else status,
        problem=mistakes.get("state", ""),
        mistakes=mistakes,
        rows=rows,
        **_neighbours(context, len(rows), page.cursor, page.back),
        chosen=filters.states(context),
        toggled={state: _toggled(context, state) for state in STATES},
        picker=filters.picker(context),
        ages=AGES,
        idle=IDLE,
        kept=KEPT,
        between=_between(context),
        columns=columns.COLUMNS,
        names=names,
        usual=columns.USUAL,
        phone=names if context.every("columns") else columns.ON_PHONES,
        sorting=sorting,
        sorted_by=columns.sorted_by(context),
        events=MESSAGE_EVENTS,
        searched=MAX_ENTRIES,
        address=saved(context),
        views=context.backend.views.all(),
        **more,
    )


def _neighbours(
    context: Context, count: int, cursor: str | None, back: str | None
) -> dict[str, object]:
    """Return where the pages before and after this one are, and the numbers of the jobs in it."""
    before = parsing.number(context.query.get("place")) or 0
    goes_back = bool(context.query.get("back"))
    if back is None and (goes_back or not context.query.get("cursor")):
        before = 0
    # a page before this one, or this one where nothing was found in it yet
    earlier, later = before - PAGE, before + count
    if goes_back and not count:
        earlier, later = before, before + PAGE
    onward = context.link(cursor=cursor, place=str(later)) if cursor else ""
    behind = ""
    if back is not None:
        behind = context.link(cursor=back, back="yes", place=str(max(0, earlier)))
    return {
        "first": before + 1,
        "last": before + count,
        "onward": onward,
        "behind": behind,
        "goes_back": goes_back,
    }


def _between(
    context: Context,
) -> tuple[datetime.datetime | None, datetime.datetime | None] | None:
    """Return when the jobs were created that an address of the overview leads to; None where it says nothing."""
    names = ("created_from", "created_to")
    if not any(context.query.get(name) for name in names):
        return None
    return filters.Reader({}).span(context.query, *names)


def saved(context: Context) -> str:
    """Return the filters, columns and order of an address, without its place in the list."""
    pairs = context.request.query_params.multi_items()
    return urlencode([(name, value) for name, value in pairs if name in FILTERS and value])


def _with_progress(rows: Sequence[Document]) -> list[Document]:
    """Return jobs with the `progress` of those that work, where the data of their newest events was read."""
    return [
        {**row, "progress": progress.of(row.get("newest_data", ()))}
        if row.get("state") == _WORKING
        else row
        for row in rows
    ]


def _toggled(context: Context, state: str) -> str:
    """Return this address with a state more, or less."""
    chosen = filters.states(context)
    rest = [each for each in chosen if each != state]
    return context.link(state=rest if state in chosen else [*chosen, state])


def titled(backend: Backend, rows: Sequence[Document]) -> list[Document]:
    """Return jobs as a list shows them: with `title`, `short`, `pipeline` and `run_seconds`."""
    names = backend.search.pipeline_names(str(row.get("pipeline_uuid")) for row in rows)
    runs = backend.statistics.run_times([row["uuid"] for row in rows])
    shown = []
    for row in rows:
        pipeline = names.get(str(row.get("pipeline_uuid")), str(row.get("pipeline_uuid")))
        more = {
            "short": row["uuid"][:_SHORT],
            "pipeline": pipeline,
            "title": row.get("title") or pipeline,
            "run_seconds": runs.get(row["uuid"]),
        }
        shown.append({**row, **more})
    return shown


def counts(context: Context) -> Response:
    """Count the jobs that the other filters leave in each state; asked for by a script.

    The state that is chosen leaves nothing out, so that the others can be told as well.
    """
    mistakes: dict[str, str] = {}
    wanted = dataclasses.replace(filters.read(context, mistakes), states=())
    if any(name != "state" for name in mistakes):
        return JSONResponse(mistakes, 400)
    pairs = context.request.query_params.multi_items()
    left_out = (*_NO_FILTERS, "state")
    key = sorted(pair for pair in pairs if pair[0] in FILTERS and pair[0] not in left_out)
    found, is_whole = _counter.counts(context.backend, context.changes, urlencode(key), wanted)
    return JSONResponse({"counts": found, "whole": is_whole})
