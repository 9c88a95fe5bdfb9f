"""What is left over: events that were refused, and announcements that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manager.exceptions import InvalidSettings, Refusal
from pipelinejobs import deeds
from pipelinejobs.page import rendering
from pipelinejobs.page.view import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipelinejobs.page.view import View

PAGE = 50
_SEARCH_SECONDS = 3.0


def show_rejected(view: View) -> Response:
    """List the events that the state of a job did not allow."""
    return _show_rejected(view)


def _show_rejected(view: View, problem: str = "", status: int = 200) -> Response:
    page = view.site.search.rejected(
        settled=view.query.get("settled") == "yes",
        cursor=view.query.get("cursor") or None,
        limit=PAGE,
        seconds=_SEARCH_SECONDS,
    )
    return view.render(
        "rejected.html",
        "Rejected events",
        status,
        rows=page.rows,
        cursor=page.cursor,
        problem=problem,
        notice="The event was applied." if view.query.get("retried") else "",
    )


def show_rejection(view: View) -> Response:
    """Show an event that was refused, whole."""
    found = view.site.search.rejection(view.path["rejected"])
    if found is None:
        message = "There is no such event among those that were refused."
        raise Problem(message, 404)
    return view.json(found)


def retry(view: View) -> Response:
    """Apply an event that was refused."""
    try:
        deeds.retry(view.site, view.form.get("id", ""))
    except Refusal as refusal:
        return _show_rejected(view, str(refusal), 409)
    return view.go("/rejected?retried=yes")


def version_of_outbox(view: View) -> object:
    """Return what changes with what waits."""
    return rendering.digest([_outboxes(view, None)])


def show_outbox(view: View) -> Response:
    """List the jobs that have something to announce."""
    rows, cursor = _outboxes(view, view.query.get("cursor") or None)
    emptied, left = view.query.get("emptied", ""), view.query.get("left", "")
    notice = ""
    if emptied.isdecimal() and left.isdecimal():
        notice = f"Jobs whose announcements went out: {emptied}; that still wait: {left}."
    return view.render("outbox.html", "Outbox", rows=rows, cursor=cursor, notice=notice)


def _outboxes(view: View, cursor: str | None) -> tuple[list[dict[str, object]], str | None]:
    search = view.site.search
    removed = [] if cursor is not None else search.outboxes(removed=True, limit=PAGE).rows
    page = search.outboxes(cursor=cursor, limit=PAGE)
    return [*removed, *page.rows], page.cursor


def drain(view: View) -> Response:
    """Announce what waits."""
    try:
        emptied, left = deeds.drain(view.site)
    except InvalidSettings as error:
        raise Problem(str(error), 409) from error
    return view.go(f"/outbox?emptied={emptied}&left={left}")
