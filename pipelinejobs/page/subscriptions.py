"""Who is told what happens, and how far each is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manager.exceptions import InvalidSettings
from pipelinejobs import subscribing
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import rendering
from pipelinejobs.page.context import Problem

if TYPE_CHECKING:
    from starlette.responses import Response

    from pipelinejobs.page.context import Context

MAX_DEAD = 100
_LIVE = ("lag_seconds", "last_delivery", "delivered")
_NOTICES = {"test": "The test was accepted.", "replay": "What had failed is sent again."}


def version(context: Context) -> object:
    """Return what changes when something is to be seen; not with every delivery."""
    rows = [{k: v for k, v in row.items() if k not in _LIVE} for row in _rows(context)]
    return rendering.digest([rows, subscribing.dead_letters(context.backend, limit=MAX_DEAD)])


def show(context: Context, problem: str = "", status: int = 200) -> Response:
    """List the subscriptions, and the dead letters of all."""
    return context.render(
        "subscriptions.html",
        "Subscriptions",
        status,
        rows=_rows(context),
        dead=subscribing.dead_letters(context.backend, limit=MAX_DEAD),
        notice=_NOTICES.get(context.query.get("done", ""), ""),
        problem=problem,
    )


def change(context: Context) -> Response:
    """Send a test, or tell again what has failed."""
    name, wanted = context.form.get("name", ""), context.form.get("do", "")
    try:
        if wanted == "test":
            subscribing.test(context.backend, name)
        elif wanted == "replay":
            key = context.form.get("id") or None
            if left := subscribing.replay(context.backend, name, key).left:
                are = "letter is" if left == 1 else "letters are"
                return show(context, problem=f"{name}: {left} dead {are} left.", status=409)
        else:
            message = "There is no such action."
            raise Problem(message, 400)
    except CommandError as error:
        return show(context, problem=str(error), status=409)
    return context.go(f"/subscriptions?done={wanted}")


def _rows(context: Context) -> list[dict[str, Any]]:
    try:
        return [each.row() for each in subscribing.overview(context.backend)]
    except InvalidSettings as error:
        raise Problem(str(error), 409) from error
