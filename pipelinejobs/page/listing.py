"""The list of jobs: its filters, which other pages share, and how jobs are called in it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlencode

from starlette.responses import JSONResponse, Response

from datacatalog.linkedstores.basestore.paging import Page
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS, STATES
from datacatalog.linkedstores.pipelinejob.history import MAX_ENTRIES
from datacatalog.linkedstores.pipelinejob.search import Filters
from pipelinejobs import progress, values
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import columns, periods
from pipelinejobs.page.counting import Counter

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Sequence

    from datacatalog.mongo import Document
    from pipelinejobs.page.view import View
    from pipelinejobs.site import Site

T = TypeVar("T")
PAGE = 50
"""Jobs in a list."""
AGES = {"": "at any time", "1h": "last hour", "1d": "last day", "7d": "last 7 days"}
IDLE = {"": "any", "1h": "idle for 1 h", "1d": "idle for 1 day", "7d": "idle for 7 days"}
MAX_PICKED = 200
"""Pipelines that can be picked; others are in the list of pipelines."""
_SEARCH_SECONDS = 0.5
_SHORT = 8
_WORKING = "RUNNING"
_LOOKED_AT = 4
"""Of the newest events of a job, where its progress is looked for."""
KEPT = ("created_from", "created_to", "sort", "order")
"""Parameters that have no field of their own, and stay when others change."""
FILTERS = ("state", "pipeline", "text", "created", "idle", "from", "to", "hidden", *KEPT, "columns")
"""All parameters that a view of the list is made of."""
_NO_FILTERS = ("sort", "order", "columns")
_counter = Counter()


class Choice(NamedTuple):
    """A pipeline that can be picked."""

    uuid: str
    name: str
    is_chosen: bool


def version(view: View) -> object:
    """Return what changes with any job or pipeline, or when an event is refused."""
    return view.changes.total()


def show(view: View) -> Response:
    """List jobs."""
    return shown(view)


def shown(view: View, *, problem: str = "", status: int = 200, **more: object) -> Response:
    """Return the list.

    Args:
        view: the request.
        problem: why something else was not done, from which this leads back.
        status: of the answer.
        more: for the template.
    """
    mistakes: dict[str, str] = {}
    wanted, sorting = _filters(view, mistakes), columns.sorting(view)
    page = Page([], None)
    if not mistakes:
        page = view.site.search.jobs(
            wanted,
            order=sorting.column,
            oldest_first=sorting.oldest_first,
            cursor=view.query.get("cursor") or None,
            back=view.query.get("back") == "yes",
            limit=PAGE,
            seconds=_SEARCH_SECONDS if wanted.text else None,
        )
    rows = titled(view.site, page.rows)
    names = columns.chosen(view)
    if "progress" in names:
        rows = _with_progress(view.site, rows)
    return view.render(
        "jobs.html",
        "Jobs",
        400 if mistakes else status,
        problem=problem or mistakes.get("state", ""),
        mistakes=mistakes,
        rows=rows,
        **_neighbours(view, len(rows), page.cursor, page.back),
        chosen=_states(view),
        toggled={state: _toggled(view, state) for state in STATES},
        picker=picker(view),
        ages=AGES,
        idle=IDLE,
        kept=KEPT,
        columns=columns.COLUMNS,
        names=names,
        usual=columns.USUAL,
        sorting=sorting,
        sorted_by=columns.sorted_by(view),
        events=MESSAGE_EVENTS,
        searched=MAX_ENTRIES,
        address=saved(view),
        views=view.site.views.all(),
        **more,
    )


def _neighbours(view: View, count: int, cursor: str | None, back: str | None) -> dict[str, object]:
    """Return where the pages before and after this one are, and the numbers of the jobs in it."""
    before = values.number(view.query.get("place")) or 0
    if back is None and (view.query.get("back") or not view.query.get("cursor")):
        before = 0
    onward = view.link(cursor=cursor, place=str(before + count)) if cursor else ""
    behind = ""
    if back is not None:
        behind = view.link(cursor=back, back="yes", place=str(max(0, before - PAGE)))
    return {"first": before + 1, "last": before + count, "onward": onward, "behind": behind}


def saved(view: View) -> str:
    """Return the filters, columns and order of an address, without its place in the list."""
    pairs = view.request.query_params.multi_items()
    return urlencode([(name, value) for name, value in pairs if name in FILTERS and value])


def _with_progress(site: Site, rows: Sequence[Document]) -> list[Document]:
    working = [row["uuid"] for row in rows if row.get("state") == _WORKING]
    found = site.search.newest_data(working, _LOOKED_AT) if working else {}
    return [{**row, "progress": progress.of(found.get(row["uuid"], ()))} for row in rows]


def _states(view: View) -> list[str]:
    return [state.upper() for state in view.every("state") if state]


def _toggled(view: View, state: str) -> str:
    """Return this address with a state more, or less."""
    chosen = _states(view)
    rest = [each for each in chosen if each != state]
    return view.link(state=rest if state in chosen else [*chosen, state])


def _filters(view: View, mistakes: dict[str, str]) -> Filters:
    """Return which jobs an address is about.

    Args:
        view: the request.
        mistakes: is given what is wrong, by the names of the parameters.
    """
    query = view.query

    def read(name: str, how: Callable[[], T], otherwise: T) -> T:
        try:
            return how()
        except CommandError as error:
            mistakes[name] = str(error)
            return otherwise

    def age(name: str) -> datetime.datetime | None:
        return read(name, lambda: values.moment(query.get(name) or None), None)

    def moment(name: str) -> datetime.datetime | None:
        return read(name, lambda: periods.moment(query.get(name)), None)

    return Filters(
        states=read("state", lambda: values.states(_states(view)), ()),
        pipelines=read("pipeline", lambda: pipelines(view), ()),
        created_after=age("created") or moment("created_from"),
        created_before=moment("created_to"),
        updated_after=moment("from"),
        updated_before=_earlier(age("idle"), moment("to")),
        text=query.get("text", "").strip(),
        hidden=query.get("hidden") == "yes",
    )


def _earlier(
    one: datetime.datetime | None, other: datetime.datetime | None
) -> datetime.datetime | None:
    found = [moment for moment in (one, other) if moment is not None]
    return min(found, default=None)


def pipelines(view: View) -> tuple[str, ...]:
    """Return the UUIDs of the pipelines that an address names by UUID or id.

    Raises:
        CommandError: there is no such pipeline.
    """
    named = [name.strip() for name in view.every("pipeline")]
    return tuple(view.site.pipeline_uuid(name) for name in named if name)


def picker(view: View) -> list[Choice]:
    """Return the pipelines that can be picked, those that are chosen in any case."""
    chosen = {name.strip() for name in view.every("pipeline")} - {""}
    rows = view.site.search.named_pipelines(MAX_PICKED)
    found = [
        Choice(
            row["uuid"], str(row.get("name")), not chosen.isdisjoint({row["uuid"], row.get("id")})
        )
        for row in rows
    ]
    known = {name for row in rows for name in (row["uuid"], row.get("id"))}
    return [*found, *(Choice(name, name, is_chosen=True) for name in sorted(chosen - known))]


def titled(site: Site, rows: Sequence[Document]) -> list[Document]:
    """Return jobs as a list shows them: with `title`, `short`, `pipeline` and `run_seconds`."""
    names = site.search.pipeline_names(str(row.get("pipeline_uuid")) for row in rows)
    runs = site.statistics.run_times([row["uuid"] for row in rows])
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


def counts(view: View) -> Response:
    """Count the jobs that the other filters leave in each state; asked for by a script.

    The state that is chosen leaves nothing out, so that the others can be told as well.
    """
    mistakes: dict[str, str] = {}
    filters = dataclasses.replace(_filters(view, mistakes), states=())
    if any(name != "state" for name in mistakes):
        return JSONResponse(mistakes, 400)
    pairs = view.request.query_params.multi_items()
    left_out = (*_NO_FILTERS, "state")
    key = sorted(pair for pair in pairs if pair[0] in FILTERS and pair[0] not in left_out)
    found, is_whole = _counter.counts(view.site, view.changes, urlencode(key), filters)
    return JSONResponse({"counts": found, "whole": is_whole})
