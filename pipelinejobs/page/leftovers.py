"""What is left over: events that were refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manager.exceptions import Refusal
from pipelinejobs import deeds
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
