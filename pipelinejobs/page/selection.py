"""Jobs that are moved or deleted together: first shown with what would be refused, then done."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.pipelinejob import EventRefused, fsm
from pipelinejobs import parsing
from pipelinejobs.exceptions import CommandError, UsageError
from pipelinejobs.page import listing
from pipelinejobs.page.context import Problem, is_of_token

if TYPE_CHECKING:
    from starlette.responses import Response

    from datacatalog.mongo import Document
    from pipelinejobs.page.context import Context

HIDE, REMOVE = "hide", "remove"
_MAX_KEY = 64


def preview(context: Context) -> Response:
    """Show what an action would do to each of the selected jobs, and which would be refused, and why."""
    action, rows = _action(context), _selected(context)
    for row in rows:
        row["outcome"], row["refusal"] = _expected(row, action)
    return _render(context, rows)


def apply(context: Context) -> Response:
    """Do it to each of the selected jobs, in the name of whoever is signed in."""
    action, rows, token = (
        _action(context),
        _selected(context),
        context.form.get("token", "").strip(),
    )
    if not token and not context.is_trusted:
        return _ask_again(context, rows, "A token is needed here.", 400)
    shown = {"token": token} if token else {}
    for row in rows:
        row["outcome"], row["refusal"] = _done(context, {"uuid": row["uuid"], **shown}, action)
    if token and all(is_of_token(row["refusal"]) for row in rows):
        mistake = f"No job was changed. Of the first one: {rows[0]['refusal']}"
        return _ask_again(context, rows, mistake, 409)
    return _render(context, rows, done=True)


def _ask_again(context: Context, rows: list[Document], mistake: str, status: int) -> Response:
    """Show once more what would be done, with what is wrong with the token."""
    for row in rows:
        row["outcome"], row["refusal"] = _expected(row, _action(context))
    return _render(context, rows, status, mistake=mistake)


def _render(
    context: Context,
    rows: list[Document],
    status: int = 200,
    *,
    mistake: str = "",
    done: bool = False,
) -> Response:
    action, address = _action(context), listing.saved(context)
    # who comes back sees the list, and is not asked whether to send the form again
    context.at = f"/jobs?{address}" if address else "/jobs"
    return context.render(
        "selection.html",
        "Selected jobs",
        status,
        rows=rows,
        action=action,
        accepted=sum(not row["refusal"] for row in rows),
        administrative=action in fsm.TRANSITIONS and fsm.TRANSITIONS[action].administrative,
        mistake=mistake,
        done=done,
        # a second press on the button is a second delivery of the same events
        key=context.form.get("key") or secrets.token_hex(8),
        address=address,
    )


def _action(context: Context) -> str:
    wanted = context.form.get("do", "")
    try:
        return wanted if wanted in (HIDE, REMOVE) else parsing.event(wanted)
    except UsageError as error:
        raise Problem(str(error), 400) from error


def _selected(context: Context) -> list[Document]:
    """Return the jobs that a form names, as the list shows them."""
    named = dict.fromkeys(context.form.getlist("job"))
    found = context.backend.search.these(named)
    for name in named:
        if name not in found:
            message = f"There is no job {name:.60}."
            raise Problem(message, 404)
    rows = [found[name] for name in named]
    if not rows:
        message = "Select at least one job in the list first."
        raise Problem(message, 400)
    return listing.titled(context.backend, rows)


def _expected(row: Document, action: str) -> tuple[str, str]:
    """Return the state that an action would lead to, and why it would be refused instead."""
    if action == REMOVE:
        return "REMOVED", ""
    if row.get(VISIBLE) is False:
        return "", "the job is hidden already" if action == HIDE else "the job is hidden"
    if action == HIDE:
        return "HIDDEN", ""
    try:
        return fsm.next_state(str(row.get("state")), action), ""
    except EventRefused as refusal:
        return "", str(refusal)


def _done(context: Context, body: dict[str, Any], action: str) -> tuple[str, str]:
    """Send a message; return the state it has led to, and why it was refused instead."""
    try:
        if action in (HIDE, REMOVE):
            context.api.send({**body, "action": "delete", "force": action == REMOVE})
            return "HIDDEN" if action == HIDE else "REMOVED", ""
        key = f"{context.form.get('key', '')[:_MAX_KEY]}:{body['uuid']}"
        answer = context.api.send({**body, "name": action, "data": {}}, {"event_id": key})
    except CommandError as error:
        return "", str(error)
    return str(answer.get("state", "")), ""
