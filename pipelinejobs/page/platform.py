"""The platform: actors, their executions with logs, their nonces and workers; all asked of its API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response

from abaco.store.permissions import LEVELS
from pipelinejobs import values
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import folding, live, rendering
from pipelinejobs.page.view import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelinejobs.page.view import View

PAGE = 50
NONCE_LEVELS = LEVELS[1:]
_JOB = re.compile(r"\b107[0-9a-f]{5}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_MAX_JOBS = 20
_ENDED = ("COMPLETE", "ERROR", "STOPPED")


def version_of_actors(view: View) -> object:
    """Return what changes with the actors."""
    return rendering.digest(_actors(view))


def show_actors(view: View) -> Response:
    """List the actors."""
    return view.render("actors.html", "Platform", actors=_actors(view))


def _actors(view: View) -> list[dict[str, Any]]:
    aliases, actors = _aliases(view), view.api.ask("GET")
    return [{**actor, "aliases": aliases.get(actor["id"], [])} for actor in actors]


def _aliases(view: View) -> dict[str, list[str]]:
    """Return the aliases of each actor by its id."""
    found: dict[str, list[str]] = {}
    for alias in view.api.ask("GET", "aliases"):
        found.setdefault(alias["actorId"], []).append(alias["alias"])
    return found


def version_of_actor(view: View) -> object:
    """Return what changes with an actor, its workers and its executions."""
    actor = view.path["actor"]
    return rendering.digest(
        [
            view.api.ask("GET", actor),
            view.api.ask("GET", actor, "workers"),
            view.api.ask("GET", actor, "messages")["postponed"],
            _executions(view),
        ]
    )


def show_actor(view: View) -> Response:
    """Show an actor."""
    return _show_actor(view)


def _show_actor(
    view: View,
    *,
    made: dict[str, Any] | None = None,
    problem: str = "",
    status: int = 200,
    mistakes: Mapping[str, str] | None = None,
) -> Response:
    name = view.path["actor"]
    if not view.version:
        # a form has led here
        view.at, view.version = _address(view), live.version(version_of_actor(view))
    actor = view.api.ask("GET", name)
    executions, total, skip = _executions(view)
    nonces: list[dict[str, Any]] = []
    hidden = ""
    try:
        nonces = _nonces(view, actor["id"])
    except CommandError as error:
        hidden = str(error)
    return view.render(
        "actor.html",
        f"Actor {actor.get('name') or actor['id']}",
        status,
        actor=actor,
        workers=view.api.ask("GET", name, "workers"),
        postponed=view.api.ask("GET", name, "messages")["postponed"],
        nonces=nonces,
        hidden=hidden,
        made=made,
        problem=problem,
        mistakes=mistakes or {},
        levels=NONCE_LEVELS,
        address=view.address,
        executions=executions[::-1],
        total=total,
        newer=skip + PAGE < total,
        older=skip or None,
    )


def _nonces(view: View, actor_id: str) -> list[dict[str, Any]]:
    """Return the nonces of an actor and of its aliases, each with `alias`; empty for the id's own."""
    found = [{**nonce, "alias": ""} for nonce in view.api.ask("GET", actor_id, "nonces")]
    for alias in _aliases(view).get(actor_id, []):
        of_alias = view.api.ask("GET", "aliases", alias, "nonces")
        found += [{**nonce, "alias": alias} for nonce in of_alias]
    return found


def _executions(view: View) -> tuple[list[dict[str, Any]], int, int]:
    """Return a page of an actor's executions, how many there are, and how many are older."""
    path = (view.path["actor"], "executions")
    total = int(view.api.ask("GET", *path, params={"limit": 0})["_metadata"]["totalCount"])
    before = values.number(view.query.get("before"))
    end = total if before is None else min(before, total)
    skip = max(0, end - PAGE)
    found = view.api.ask("GET", *path, params={"skip": skip, "limit": end - skip})
    return found["search"], total, skip


def create_nonce(view: View) -> Response:
    """Make a nonce, and show it: once, since it is a credential."""
    typed = view.form.get("uses", "").strip()
    uses = values.number(typed)
    if typed and not uses:
        message = f"{typed!r:.40} is not a number of uses, such as 10: leave it out for any number"
        return _show_actor(view, status=400, mistakes={"uses": message})
    wanted = {
        "level": view.form.get("level", ""),
        "maxUses": uses or -1,
        "description": view.form.get("description", "").strip(),
    }
    try:
        made = view.api.ask("POST", view.path["actor"], "nonces", json=wanted)
    except CommandError as error:
        # what the form says of its field, the API says of the key of the same meaning
        field = "level" if "level" in str(error) else "description"
        return _show_actor(view, status=400, mistakes={field: str(error)})
    return _show_actor(view, made=made)


def delete_nonce(view: View) -> Response:
    """End a nonce."""
    alias = view.form.get("alias")
    subject = ("aliases", alias) if alias else (view.path["actor"],)
    view.api.ask("DELETE", *subject, "nonces", view.form.get("nonce", ""))
    return view.go(_address(view))


def add_worker(view: View) -> Response:
    """Add a worker to an actor."""
    name = view.path["actor"]
    try:
        wanted = len(view.api.ask("GET", name, "workers")) + 1
        view.api.ask("POST", name, "workers", json={"num": wanted})
    except CommandError as error:
        return _show_actor(view, problem=str(error), status=400)
    return view.go(_address(view))


def version_of_execution(view: View) -> object:
    """Return what changes with an execution and its log."""
    return rendering.digest(_execution(view))


def show_execution(view: View) -> Response:
    """Show an execution with what it has written, also while it runs."""
    execution, logs = _execution(view)
    return view.render(
        "execution.html",
        f"Execution {execution['id']}",
        actor=view.path["actor"],
        execution=execution,
        log=folding.end_of(logs),
        jobs=[*dict.fromkeys(_JOB.findall(logs))][:_MAX_JOBS],
        ended=execution["status"] in _ENDED,
    )


def show_log(view: View) -> Response:
    """Show what an execution has written, whole."""
    return Response(_execution(view)[1], media_type="text/plain")


def _execution(view: View) -> tuple[dict[str, Any], str]:
    path = (view.path["actor"], "executions", view.path["execution"])
    try:
        return view.api.ask("GET", *path), view.api.ask("GET", *path, "logs")["logs"]
    except CommandError as error:
        raise Problem(str(error), 404) from error


def stop_execution(view: View) -> Response:
    """Force an execution to end."""
    view.api.ask("DELETE", view.path["actor"], "executions", view.path["execution"])
    return view.go(f"{_address(view)}/executions/{quote(view.path['execution'])}")


def _address(view: View) -> str:
    return f"/platform/{quote(view.path['actor'])}"
