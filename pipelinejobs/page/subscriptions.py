"""Who is told what happens, and how far each is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manager.exceptions import InvalidSettings
from pipelinejobs import subscribing
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import rendering
from pipelinejobs.page.view import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipelinejobs.page.view import View

MAX_DEAD = 100
_LIVE = ("lag_seconds", "last_delivery", "delivered")


def version(view: View) -> object:
    """Return what changes when something is to be seen; not with every delivery."""
    rows = [{k: v for k, v in row.items() if k not in _LIVE} for row in _rows(view)]
    return rendering.digest([rows, subscribing.dead_letters(view.site, limit=MAX_DEAD)])


def show(view: View) -> Response:
    """List the subscriptions, and the dead letters of all."""
    return _show(view)


def _show(view: View, notice: str = "", problem: str = "", status: int = 200) -> Response:
    return view.render(
        "subscriptions.html",
        "Subscriptions",
        status,
        rows=_rows(view),
        dead=subscribing.dead_letters(view.site, limit=MAX_DEAD),
        notice=notice or _NOTICES.get(view.query.get("done", ""), ""),
        problem=problem,
    )


_NOTICES = {"test": "The test was accepted.", "replay": "What had failed is sent again."}


def change(view: View) -> Response:
    """Send a test, or tell again what has failed."""
    name, wanted = view.form.get("name", ""), view.form.get("do", "")
    try:
        if wanted == "test":
            subscribing.test(view.site, name)
        elif wanted == "replay":
            _, left = subscribing.replay(view.site, name, view.form.get("id") or None)
            if left:
                return _show(view, problem=f"{name}: {left} dead letters are left.", status=409)
        else:
            message = "There is no such action."
            raise Problem(message, 400)
    except CommandError as error:
        return _show(view, problem=str(error), status=409)
    return view.go(f"/subscriptions?done={wanted}")


def _rows(view: View) -> list[dict[str, Any]]:
    try:
        return [each.row() for each in subscribing.overview(view.site)]
    except InvalidSettings as error:
        raise Problem(str(error), 409) from error
