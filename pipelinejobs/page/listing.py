"""The list of jobs: its filters, which other pages share, and how jobs are called in it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import JSONResponse, Response

from datacatalog.linkedstores.pipelinejob.fsm import STATES
from datacatalog.linkedstores.pipelinejob.search import Filters
from pipelinejobs import values
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import periods

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from datacatalog.linkedstores.changes import Changes
    from datacatalog.mongo import Document
    from pipelinejobs.page.view import View
    from pipelinejobs.site import Site

PAGE = 50
"""Jobs in a list."""
AGES = {"": "at any time", "1h": "last hour", "1d": "last day", "7d": "last 7 days"}
IDLE = {"": "any", "1h": "idle for 1 h", "1d": "idle for 1 day", "7d": "idle for 7 days"}
MAX_PICKED = 200
"""Pipelines that can be picked; others are in the list of pipelines."""
_SEARCH_SECONDS = 0.5
_COUNT_SECONDS = 2.0
_SHORT = 8
KEPT = ("created_from", "created_to")
"""Filters that have no field of their own, and stay when others change."""


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
    problem, rows, cursor = "", [], None
    try:
        wanted = _filters(view)
        page = view.site.search.jobs(
            wanted,
            cursor=view.query.get("cursor") or None,
            limit=PAGE,
            seconds=_SEARCH_SECONDS if wanted.text else None,
        )
        rows, cursor = page.rows, page.cursor
    except CommandError as error:
        problem = str(error)
    return view.render(
        "jobs.html",
        "Jobs",
        400 if problem else 200,
        problem=problem,
        rows=titled(view.site, rows),
        cursor=cursor,
        chosen=_states(view),
        toggled={state: _toggled(view, state) for state in STATES},
        picker=picker(view),
        ages=AGES,
        idle=IDLE,
        kept=KEPT,
    )


def _states(view: View) -> list[str]:
    return [state.upper() for state in view.every("state") if state]


def _toggled(view: View, state: str) -> str:
    """Return this address with a state more, or less."""
    chosen = _states(view)
    rest = [each for each in chosen if each != state]
    return view.link(state=rest if state in chosen else [*chosen, state])


def _filters(view: View) -> Filters:
    query = view.query
    idle, until = values.moment(query.get("idle") or None), periods.moment(query.get("to"))
    return Filters(
        states=values.states(_states(view)),
        pipelines=pipelines(view),
        created_after=values.moment(query.get("created") or None)
        or periods.moment(query.get("created_from")),
        created_before=periods.moment(query.get("created_to")),
        updated_after=periods.moment(query.get("from")),
        updated_before=_earlier(idle, until),
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
    """Count the jobs in each state; asked for by a script, since it looks at every job."""
    return JSONResponse(_counter.counts(view.site, view.changes))


class _Counter:
    """Counts again only where something has changed, and not all the time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[Changes, int, float, dict[str, int]] | None = None

    def counts(self, site: Site, changes: Changes) -> dict[str, int]:
        with self._lock:
            total = changes.total()
            if self._known is not None and self._known[0] is changes:
                _, then, moment, found = self._known
                if then == total or time.monotonic() - moment < _COUNT_SECONDS:
                    return found
            found = site.search.counts()
            self._known = (changes, total, time.monotonic(), found)
            return found


_counter = _Counter()
