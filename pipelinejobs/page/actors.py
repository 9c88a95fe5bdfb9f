"""Actors, their executions with logs, their nonces and workers; all asked of the platform's API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response

from abaco.store.permissions import LEVELS
from pipelinejobs import parsing
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import folding, live, rendering
from pipelinejobs.page.context import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelinejobs.page.context import Context

PAGE = 50
NONCE_LEVELS = LEVELS[1:]
_JOB = re.compile(r"\b107[0-9a-f]{5}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_MAX_JOBS = 20
_ENDED = ("COMPLETE", "ERROR", "STOPPED")


def version_of_actors(context: Context) -> object:
    """Return what changes with the actors."""
    return rendering.digest(_actors(context))


def show_actors(context: Context) -> Response:
    """List the actors."""
    return context.render("actors.html", "Platform", actors=_actors(context))


def _actors(context: Context) -> list[dict[str, Any]]:
    aliases, actors = _aliases(context), context.api.ask("GET")
    return [{**actor, "aliases": aliases.get(actor["id"], [])} for actor in actors]


def _aliases(context: Context) -> dict[str, list[str]]:
    """Return the aliases of each actor by its id."""
    found: dict[str, list[str]] = {}
    for alias in context.api.ask("GET", "aliases"):
        found.setdefault(alias["actorId"], []).append(alias["alias"])
    return found


def version_of_actor(context: Context) -> object:
    """Return what changes with an actor, its workers and its executions."""
    actor = context.path["actor"]
    return rendering.digest(
        [
            context.api.ask("GET", actor),
            context.api.ask("GET", actor, "workers"),
            context.api.ask("GET", actor, "messages")["postponed"],
            _executions(context),
        ]
    )


def show_actor(
    context: Context,
    *,
    made: dict[str, Any] | None = None,
    problem: str = "",
    status: int = 200,
    mistakes: Mapping[str, str] | None = None,
) -> Response:
    """Show an actor; after a form, with the nonce that was made, or with what is wrong."""
    name = context.path["actor"]
    if not context.version:
        # a form has led here
        context.at, context.version = _address(context), live.version(version_of_actor(context))
    actor = context.api.ask("GET", name)
    executions, total, skip = _executions(context)
    nonces: list[dict[str, Any]] = []
    hidden = ""
    try:
        nonces = _nonces(context, actor["id"])
    except CommandError as error:
        hidden = str(error)
    return context.render(
        "actor.html",
        f"Actor {actor.get('name') or actor['id']}",
        status,
        actor=actor,
        workers=context.api.ask("GET", name, "workers"),
        postponed=context.api.ask("GET", name, "messages")["postponed"],
        nonces=nonces,
        hidden=hidden,
        made=made,
        problem=problem,
        mistakes=mistakes or {},
        levels=NONCE_LEVELS,
        address=context.address,
        executions=executions[::-1],
        total=total,
        newer=skip + PAGE < total,
        older=skip or None,
    )


def _nonces(context: Context, actor_id: str) -> list[dict[str, Any]]:
    """Return the nonces of an actor and of its aliases, each with `alias`; empty for the id's own."""
    found = [{**nonce, "alias": ""} for nonce in context.api.ask("GET", actor_id, "nonces")]
    for alias in _aliases(context).get(actor_id, []):
        of_alias = context.api.ask("GET", "aliases", alias, "nonces")
        found += [{**nonce, "alias": alias} for nonce in of_alias]
    return found


def _executions(context: Context) -> tuple[list[dict[str, Any]], int, int]:
    """Return a page of an actor's executions, how many there are, and how many are older."""
    path = (context.path["actor"], "executions")
    total = int(context.api.ask("GET", *path, params={"limit": 0})["_metadata"]["totalCount"])
    before = parsing.number(context.query.get("before"))
    end = total if before is None else min(before, total)
    skip = max(0, end - PAGE)
    found = context.api.ask("GET", *path, params={"skip": skip, "limit": end - skip})
    return found["search"], total, skip


def create_nonce(context: Context) -> Response:
    """Make a nonce, and show it: once, since it is a credential."""
    typed = context.form.get("uses", "").strip()
    uses = parsing.number(typed)
    if typed and not uses:
        message = f"{typed!r:.40} is not a number of uses, such as 10: leave it out for any number"
        return show_actor(context, status=400, mistakes={"uses": message})
    wanted = {
        "level": context.form.get("level", ""),
        "maxUses": uses or -1,
        "description": context.form.get("description", "").strip(),
    }
    try:
        made = context.api.ask("POST", context.path["actor"], "nonces", json=wanted)
    except CommandError as error:
        # what the form says of its field, the API says of the key of the same meaning
        field = "level" if "level" in str(error) else "description"
        return show_actor(context, status=400, mistakes={field: str(error)})
    return show_actor(context, made=made)


def delete_nonce(context: Context) -> Response:
    """End a nonce."""
    alias = context.form.get("alias")
    subject = ("aliases", alias) if alias else (context.path["actor"],)
    context.api.ask("DELETE", *subject, "nonces", context.form.get("nonce", ""))
    return context.go(_address(context))


def add_worker(context: Context) -> Response:
    """Add a worker to an actor."""
    name = context.path["actor"]
    try:
        wanted = len(context.api.ask("GET", name, "workers")) + 1
        context.api.ask("POST", name, "workers", json={"num": wanted})
    except CommandError as error:
        return show_actor(context, problem=str(error), status=400)
    return context.go(_address(context))


def version_of_execution(context: Context) -> object:
    """Return what changes with an execution and its log."""
    return rendering.digest(_execution(context))


def show_execution(context: Context) -> Response:
    """Show an execution with what it has written, also while it runs."""
    execution, logs = _execution(context)
    return context.render(
        "execution.html",
        f"Execution {execution['id']}",
        actor=context.path["actor"],
        execution=execution,
        log=folding.end_of(logs),
        jobs=[*dict.fromkeys(_JOB.findall(logs))][:_MAX_JOBS],
        ended=execution["status"] in _ENDED,
    )


def show_log(context: Context) -> Response:
    """Show what an execution has written, whole."""
    return Response(_execution(context)[1], media_type="text/plain")


def _execution(context: Context) -> tuple[dict[str, Any], str]:
    path = (context.path["actor"], "executions", context.path["execution"])
    try:
        return context.api.ask("GET", *path), context.api.ask("GET", *path, "logs")["logs"]
    except CommandError as error:
        raise Problem(str(error), 404) from error


def stop_execution(context: Context) -> Response:
    """Force an execution to end."""
    context.api.ask("DELETE", context.path["actor"], "executions", context.path["execution"])
    return context.go(f"{_address(context)}/executions/{quote(context.path['execution'])}")


def _address(context: Context) -> str:
    return f"/platform/{quote(context.path['actor'])}"
