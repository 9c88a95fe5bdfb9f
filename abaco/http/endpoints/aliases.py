"""Endpoints for aliases: names that stand for actors (docs/reference/abaco.md#aliases)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco import events, identifiers
from abaco.exceptions import BadRequest, NotFound
from abaco.http.arguments import Argument
from abaco.http.call import ROLE, Call, Endpoint, Reply
from abaco.store import actors, aliases, configs, nonces, permissions
from abaco.store.permissions import READ, UPDATE

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from abaco.store.records import Record
    from abaco.store.rows import Actor, Alias

_FORBIDDEN = "\\ \":/?#[]@!$&'()*+,;="
_RESERVED = (
    "executions",
    "nonces",
    "logs",
    "messages",
    "adapters",
    "admin",
    # further first parts of paths
    "aliases",
    "configs",
    "search",
    "utilization",
    "v2",
)
_MAX_LENGTH = 255
_ACTOR = Argument("actorId", "text", "The id of the actor for this alias.", required=True)
_ALIAS = Argument("alias", "text", "The alias.", required=True)
_ONE = "/actors/aliases/{alias}"


def list_aliases(call: Call) -> Reply:
    """List the aliases of the tenant."""
    with call.gateway.database.read() as tx:
        found = aliases.all_of(tx, call.tenant)
    return Reply([_show(call, alias) for alias in found], "Aliases retrieved successfully.")


def create(call: Call) -> Reply:
    """Name an actor."""
    alias = call.arguments["alias"]
    _check(alias)
    with call.gateway.database.write() as tx:
        actor = _find_target(tx, call)
        if aliases.find(tx, call.tenant, alias) is not None:
            message = f"Alias {alias} already exists."
            raise BadRequest(message)
        user = call.principal.user
        record = aliases.create(tx, call.tenant, alias, actor["id"], user)
        if not call.principal.admin:
            # of whoever had it before
            nonces.remove_of_others(tx, call.tenant, permissions.ALIAS, alias, user)
        configs.let_go(tx, call.tenant, alias, actor["id"], former=None, user=user)
        _check_links(tx, actor)
    return Reply(_show(call, record), "Actor alias created successfully.")


def get(call: Call) -> Reply:
    """Return an alias."""
    return Reply(_show(call, call.subject.alias), "Alias retrieved successfully.")


def update(call: Call) -> Reply:
    """Let an alias stand for another actor."""
    if "alias" in call.fields:
        message = (
            "Invalid alias update description. The alias itself cannot be updated in a PUT request."
        )
        raise BadRequest(message)
    alias = call.subject.alias
    with call.gateway.database.write() as tx:
        actor = _find_target(tx, call)
        aliases.point(tx, call.tenant, alias["alias"], actor["id"])
        former, user = alias["actor_id"], call.principal.user
        configs.let_go(tx, call.tenant, alias["alias"], actor["id"], former=former, user=user)
        _check_links(tx, actor)
    changed: Alias = {**alias, "actor_id": actor["id"]}
    return Reply(_show(call, changed), "Actor alias updated successfully.")


def delete(call: Call) -> Reply:
    """Remove an alias."""
    alias = call.subject.alias["alias"]
    with call.gateway.database.write() as tx:
        aliases.remove(tx, call.tenant, alias)
    return Reply(None, f"Alias {alias} deleted successfully.")


def _check(alias: str) -> None:
    if alias in _RESERVED:
        message = f"{alias} is a reserved word. The following reserved words cannot be used for "
        message += f"an alias: {', '.join(_RESERVED)}."
        raise BadRequest(message)
    for character in alias:
        if character in _FORBIDDEN or not character.isprintable():
            message = f"{character!r} is a forbidden character. The following characters cannot "
            message += f"be used for an alias: {_FORBIDDEN}"
            raise BadRequest(message)
    if not 0 < len(alias) <= _MAX_LENGTH or set(alias) == {"."}:
        message = f"Invalid alias description. An alias has 1 to {_MAX_LENGTH} characters."
        raise BadRequest(message)
    if identifiers.is_identifier(alias):
        message = "Invalid alias description. Alias cannot be an Abaco hash id."
        raise BadRequest(message)


def _find_target(tx: Connection, call: Call) -> Actor:
    actor_id = call.arguments["actorId"]
    actor = actors.find(tx, call.tenant, actor_id)
    if actor is None:
        message = f"No actor found with id: {actor_id:.100}."
        raise NotFound(message)
    if not call.may(tx, UPDATE, actor["id"]):
        message = (
            "Not authorized -- you do not have UPDATE access to the actor you want to associate "
            f"with this alias: that needs UPDATE on {actor['id']}."
        )
        raise BadRequest(message)
    return actor


def _check_links(tx: Connection, actor: Actor) -> None:
    """Refuse an alias that is an actor's link, if events would come back by it."""
    if events.come_back(tx, actor):
        message = "Error: this alias would result in a cycle of linked actors."
        raise BadRequest(message)


def _show(call: Call, record: Alias) -> Record:
    return {
        "alias": record["alias"],
        "actorId": record["actor_id"],
        "owner": record["owner"],
        "_links": {
            "self": call.link("aliases", record["alias"]),
            "owner": call.profile(record["owner"]),
            "actor": call.link(record["actor_id"]),
        },
    }


ENDPOINTS = (
    Endpoint("GET", "/actors/aliases", list_aliases, ROLE, "List aliases", result="Aliases"),
    Endpoint(
        "POST",
        "/actors/aliases",
        create,
        ROLE,
        "Name an actor",
        thing="alias",
        result="Alias",
        arguments=(_ALIAS, _ACTOR),
    ),
    Endpoint("GET", _ONE, get, READ, "Return an alias", result="Alias"),
    Endpoint(
        "PUT",
        _ONE,
        update,
        UPDATE,
        "Let an alias stand for another actor",
        thing="alias",
        result="Alias",
        arguments=(_ACTOR,),
    ),
    Endpoint("DELETE", _ONE, delete, UPDATE, "Remove an alias"),
)
