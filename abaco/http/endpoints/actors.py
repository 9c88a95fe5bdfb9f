"""Endpoints for actors: register, describe, delete (docs/reference/abaco.md#actors)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import addresses
from abaco import events
from abaco.exceptions import ActorDeleted, BadRequest
from abaco.http import envelope
from abaco.http.call import NONCE, ROLE, Call, Endpoint, Reply
from abaco.http.endpoints import description, search
from abaco.store import actors, executions, permissions
from abaco.store.permissions import EXECUTE, READ, UPDATE
from abaco.workers import admission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from abaco.store.records import Record
    from abaco.store.rows import Actor

_HIDDEN = ("tenant", "wanted_workers")


def show(call: Call, actor: Actor, *, whole: bool = True) -> Record:
    """Return an actor as clients see it.

    Args:
        call: the request.
        actor: the actor's record.
        whole: show the values of its environment, which may be secrets.
    """
    shown = description.shown_environment(actor, whole=whole)
    return {
        **envelope.show(
            {**actor, **search.NO_ACCOUNT, "default_environment": shown},
            without=_HIDDEN,
            missing=call.snake,
        ),
        "mounts": [],
        "_links": {
            "self": call.link(actor["id"]),
            "owner": call.profile(actor["owner"]),
            "executions": call.link(actor["id"], "executions"),
        },
    }


def list_actors(call: Call) -> Reply:
    """List the actors that the sender may read; with parameters, search among them."""
    if any(name != NONCE for name in call.parameters):
        return search.search_in(call, "actors")
    is_admin, user = call.principal.admin, call.principal.user
    whose = (call.tenant, permissions.ACTOR, user)
    with call.gateway.database.read() as tx:
        found = actors.all_of(tx, call.tenant, None if is_admin else user)
        changeable = permissions.subjects(tx, *whose, UPDATE)
    shown = [show(call, actor, whole=is_admin or actor["id"] in changeable) for actor in found]
    return Reply(shown, "Actors retrieved successfully.")


def create(call: Call) -> Reply:
    """Register an actor and start its workers."""
    described = description.read(call)
    _check_image(call, described["image"], described.get("default_environment", {}))
    _check_webhook(call, described.get("webhook", ""))
    with call.gateway.database.write() as tx:
        _check_link(tx, call, described.get("link", ""))
        actor = actors.create(tx, call.tenant, call.principal.registrant, described)
    call.gateway.on_loop(call.gateway.engine.adopt(actor["id"]))
    return Reply(show(call, actor), "Actor created successfully.")


def get(call: Call) -> Reply:
    """Return an actor; the values of its environment are for those who may change it."""
    with call.gateway.database.read() as tx:
        whole = call.may(tx, UPDATE, call.actor["id"])
    # a nonce that is good for reading is not good for the secrets of its owner
    shown = show(call, call.actor, whole=whole and not call.principal.nonce)
    return Reply(shown, "Actor retrieved successfully.")


def update(call: Call) -> Reply:
    """Replace the description of an actor: what is left out gets its default back."""
    described = description.read(call)
    _check_image(call, described["image"], described.get("default_environment", {}))
    _check_webhook(call, described.get("webhook", ""))
    force = bool(call.arguments.get("force"))
    with call.gateway.database.write() as tx:
        # what others have made of it since it was found counts
        actor = actors.lock(tx, call.actor["id"])
        if actor is None or actor["status"] == actors.SHUTTING_DOWN:
            raise ActorDeleted(call.actor["id"])
        if not actor["stateless"] and described.get("stateless", True):
            message = (
                "Invalid actor description: an actor that was not stateless cannot be updated to be "
                "stateless."
            )
            raise BadRequest(message)
        # whoever may not register what the actor is made of changes nothing of how it runs
        _check_image(call, actor["image"], ())
        _check_link(tx, call, described.get("link", ""))
        actors.describe(tx, actor, call.principal.registrant, described, force=force)
        user = call.principal.user
        if not permissions.allows(tx, call.tenant, permissions.ACTOR, actor["id"], user, UPDATE):
            permissions.grant(tx, call.tenant, permissions.ACTOR, actor["id"], user, UPDATE)
        changed = actors.get(tx, actor["id"]) or actor
        if events.come_back(tx, changed):
            message = "Error: this update would result in a cycle of linked actors."
            raise BadRequest(message)
    call.gateway.on_loop(call.gateway.engine.adopt(actor["id"]))
    shown = show(call, changed, whole=not call.principal.nonce)
    return Reply(shown, "Actor updated successfully.")


async def delete(call: Call) -> Reply:
    """Remove an actor when what its workers are doing has ended, at most 20 seconds later."""
    await asyncio.to_thread(_shut_down, call)
    await call.gateway.engine.dismiss(call.actor["id"])
    await asyncio.to_thread(_remove, call)
    return Reply(None, "Actor deleted successfully.")


def _shut_down(call: Call) -> None:
    with call.gateway.database.write() as tx:
        actors.change(tx, call.actor["id"], status=actors.SHUTTING_DOWN)


def _remove(call: Call) -> None:
    with call.gateway.database.write() as tx:
        dropped = executions.abandon(tx, call.actor["id"])
        actors.remove(tx, call.actor)
    call.gateway.announce_ended(dropped)


def utilization(call: Call) -> Reply:
    """Count what there is in the tenant."""
    with call.gateway.database.read() as tx:
        mine = actors.ids_of(tx, call.tenant)
        waiting = sum(executions.waiting(tx, actor_id) for actor_id in mine)
        total = actors.ever(tx, call.tenant)
    workers = sum(len(call.gateway.workers_of(actor_id)) for actor_id in mine)
    result = {
        "currentActors": len(mine),
        "totalActors": total,
        "workers": workers,
        "commandQueue": waiting,
    }
    return Reply(result, "Abaco utilization returned successfully.")


def _check_image(call: Call, name: str, variables: Iterable[str]) -> None:
    """Refuse an image that the sender may not register; one that is not known yet is checked later."""
    try:
        image = admission.find(call.gateway.settings, name)
        if image is None:
            return
        admission.check(image, call.principal.registrant, variables)
    except admission.ImageRefused as error:
        raise description.Invalid(str(error)) from None
    except admission.NotAdmitted as error:
        message = f"Not authorized -- {error}"
        raise BadRequest(message) from None


def _check_webhook(call: Call, webhook: str) -> None:
    """Refuse an address of a private network; that of a name is looked up when it is posted to."""
    host = urlsplit(webhook).hostname or ""
    is_admin, settings = call.principal.registrant.admin, call.gateway.settings
    if addresses.is_named_private(host) and not (is_admin or settings.private_webhooks):
        message = (
            "Not authorized -- only administrators may register a webhook that leads to a private "
            f"network: {host}."
        )
        raise BadRequest(message)


def _check_link(tx: Connection, call: Call, link: str) -> None:
    if not link:
        return
    target = events.find_linked(tx, call.tenant, link)
    if target is None:
        message = f"Invalid link parameter; unable to retrieve linked actor data: {link:.200}"
        raise BadRequest(message)
    if not call.may(tx, EXECUTE, target["id"]):
        message = "Not authorized -- you do not have access to the actor in the link parameter."
        raise BadRequest(message)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/actors",
        list_actors,
        ROLE,
        "List actors, or search among them where there are parameters",
        result="ActorsOrSearch",
        parameters=search.PARAMETERS,
        scans=True,
    ),
    Endpoint(
        "POST",
        "/actors",
        create,
        ROLE,
        "Register an actor",
        thing="actor",
        result="Actor",
        arguments=description.ARGUMENTS,
    ),
    Endpoint(
        "GET",
        "/actors/utilization",
        utilization,
        ROLE,
        "Count",
        result="Utilization",
        scans=True,
    ),
    Endpoint("GET", "/actors/{actor}", get, READ, "Return an actor", result="Actor"),
    Endpoint(
        "PUT",
        "/actors/{actor}",
        update,
        UPDATE,
        "Replace the description of an actor",
        thing="actor",
        result="Actor",
        arguments=description.ARGUMENTS,
    ),
    Endpoint("DELETE", "/actors/{actor}", delete, UPDATE, "Remove an actor"),
)
