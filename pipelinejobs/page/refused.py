"""Events that were refused, and whether a retry can work now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.pipelinejob import fsm
from manager.exceptions import Refusal
from pipelinejobs import in_process, parsing
from pipelinejobs.page import filters, listing, live
from pipelinejobs.page.context import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from datacatalog.mongo import Document
    from pipelinejobs.page.context import Context

PAGE = 50
MAX_RETRIED = 500
"""Events that are looked at by one press on the button for all."""
_SEARCH_SECONDS = 3.0


def show(context: Context, problem: str = "", status: int = 200) -> Response:
    """List the events that the state of a job did not allow."""
    mistakes: dict[str, str] = {}
    rows, cursor = _found(context, context.query.get("cursor") or None, mistakes)
    rows = _with_prospects(context, rows)
    return context.render(
        "refused.html",
        "Refused events",
        400 if mistakes else status,
        rows=rows,
        cursor=cursor,
        problem=problem,
        mistakes=mistakes,
        notice=_notice(context),
        events=fsm.MESSAGE_EVENTS,
        picker=filters.picker(context),
        most=MAX_RETRIED,
        again=context.link(retried=None, left=None),
    )


def _found(
    context: Context, cursor: str | None, mistakes: dict[str, str]
) -> tuple[list[Document], str | None]:
    """Return a page of the events that the filters leave, and where the next one begins."""
    query = context.query
    job, event = query.get("job", "").strip(), query.get("event", "")
    read = filters.Reader(mistakes)
    uuid = read("job", lambda: parsing.job_uuid(job) if job else "", "")
    scope = read("pipeline", lambda: filters.Scope.of(context), filters.Scope())
    after, before = read.span(query, "from", "to")
    if mistakes:
        return [], None
    page = context.backend.search.rejected(
        job_uuid=uuid or None,
        event=event or None,
        settled=query.get("settled") == "yes",
        pipelines=scope.pipelines,
        after=after,
        before=before,
        cursor=cursor,
        limit=PAGE,
        seconds=_SEARCH_SECONDS,
    )
    return page.rows, page.cursor


def _with_prospects(context: Context, rows: Sequence[Document]) -> list[Document]:
    """Return refused events with the state of their job now, whether a retry can work, and why not."""
    jobs = context.backend.search.these(str(row["uuid"]) for row in rows)
    shown = []
    for row in rows:
        job = jobs.get(str(row["uuid"]), {})
        obstacle = _obstacle(row, job)
        can = not obstacle and row["applied"] is None
        shown.append({**row, "now": job.get("state"), "obstacle": obstacle, "can": can})
    return shown


def _obstacle(row: Document, job: Document) -> str:
    """Return why a retry would be refused; empty where it can work."""
    if not job:
        return "the job is gone"
    if job.get(VISIBLE) is False:
        return "the job is hidden"
    if row["event"] not in fsm.TRANSITIONS:
        return "the report does not say what happened: use `pipelinejobs refused retry --as`"
    state = str(job.get("state"))
    if state not in fsm.TRANSITIONS[row["event"]].sources:
        return f"not while the job is {state}"
    return ""


def _notice(context: Context) -> str:
    applied = parsing.number(context.query.get("retried"))
    if applied is None:
        return ""
    left = parsing.number(context.query.get("left")) or 0
    rest = f" {left} were refused again." if left else ""
    return ("The event was applied." if applied == 1 else f"{applied} events were applied.") + rest


def show_one(context: Context) -> Response:
    """Show an event that was refused, whole."""
    found = context.backend.search.rejection(context.path["refused"])
    if found is None:
        message = "There is no such event among those that were refused."
        raise Problem(message, 404)
    return context.json(found)


def retry(context: Context) -> Response:
    """Apply an event that was refused, or all that the filters leave and the jobs allow now."""
    if context.form.get("all") == "yes":
        applied, left = _retry_all(context)
        return context.go(context.link(retried=str(applied), left=str(left)))
    try:
        in_process.retry(context.backend, context.form.get("id", ""))
    except Refusal as refusal:
        context.at, context.version = "/refused", live.version(listing.version(context))
        return show(context, str(refusal), 409)
    return context.go(context.link(retried="1", left=None))


def _retry_all(context: Context) -> tuple[int, int]:
    """Apply what can be applied, the oldest first; return how many were, and how many refused again."""
    rows: list[Document] = []
    cursor: str | None = None
    while len(rows) < MAX_RETRIED:
        found, cursor = _found(context, cursor, {})
        rows += found
        if cursor is None:
            break
    applied = left = 0
    for row in reversed(rows):
        # one event may allow the next one, so look again each time
        if not _with_prospects(context, [row])[0]["can"]:
            continue
        try:
            in_process.retry(context.backend, row["id"])
            applied += 1
        except Refusal:
            left += 1
    return applied, left
