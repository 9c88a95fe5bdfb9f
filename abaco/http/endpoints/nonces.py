"""Nonces of actors and aliases (docs/reference/abaco.md#nonces)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.exceptions import BadRequest
from abaco.http import envelope
from abaco.http.arguments import Argument
from abaco.http.call import NONCE, Call, Endpoint, Reply
from abaco.store import nonces, permissions
from abaco.store.nonces import UNLIMITED
from abaco.store.permissions import EXECUTE, LEVELS, READ, UPDATE

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from abaco.store.records import Record
    from abaco.store.rows import Nonce

_HIDDEN = ("tenant", "kind", "subject")
_ARGUMENTS = (
    Argument("level", "text", "Permission level of the nonce.", choices=LEVELS),
    Argument("maxUses", "integer", "How often it may be used; -1 for no limit."),
    Argument("description", "text", "What it is for."),
)


def create(call: Call) -> Reply:
    """Make a nonce with the sender's roles."""
    kind, subject = call.subject.key
    levels = LEVELS if kind == permissions.ACTOR else LEVELS[: LEVELS.index(UPDATE)]
    level = call.arguments.get("level", EXECUTE).upper()
    if level not in levels:
        message = (
            "Invalid nonce description. The level attribute must be one of: "
            f"({', '.join(map(repr, levels))})"
        )
        raise BadRequest(message)
    most = call.arguments.get("maxUses", UNLIMITED)
    if most < 1 and most != UNLIMITED:
        message = (
            "The max uses parameter must be a positive integer or -1 (to denote unlimited uses)."
        )
        raise BadRequest(message)
    with call.gateway.database.write() as tx:
        nonce = nonces.create(
            tx,
            call.tenant,
            kind,
            subject,
            owner=call.principal.user,
            roles=list(call.principal.roles),
            level=level,
            max_uses=most,
            description=call.arguments.get("description", ""),
        )
    return Reply(_show(call, nonce), f"{kind.capitalize()} nonce created successfully.")


def list_nonces(call: Call) -> Reply:
    """List the nonces that the sender may make anyway, since their identifiers are credentials."""
    kind, subject = call.subject.key
    call.gateway.uses.write(call.gateway.database)
    with call.gateway.database.read() as tx:
        found = nonces.all_of(tx, call.tenant, kind, subject)
        shown = [_show(call, nonce) for nonce in found if _may_see(tx, call, nonce)]
    return Reply(shown, f"{kind.capitalize()} nonces retrieved successfully.")


def get(call: Call) -> Reply:
    """Return a nonce."""
    kind, _ = call.subject.key
    return Reply(_show(call, _find(call)), f"{kind.capitalize()} nonce retrieved successfully.")


def delete(call: Call) -> Reply:
    """Revoke a nonce."""
    kind, _ = call.subject.key
    nonce = _find(call)
    with call.gateway.database.write() as tx:
        nonces.remove(tx, nonce)
    return Reply(None, f"{kind.capitalize()} nonce deleted successfully.")


def _find(call: Call) -> Nonce:
    kind, subject = call.subject.key
    call.gateway.uses.write(call.gateway.database)
    with call.gateway.database.read() as tx:
        nonce = nonces.find(tx, call.tenant, kind, subject, call.path["nonce"])
        visible = nonce is not None and _may_see(tx, call, nonce)
    if nonce is None or not visible:
        message = "Nonce not found."
        raise BadRequest(message)
    return nonce


def _may_see(tx: Connection, call: Call, nonce: Nonce) -> bool:
    """Tell whether a nonce is the one that was sent, or one that the sender may make.

    A level of one's own is not enough: it may end before the nonce does, by which others act as its owner.
    """
    principal = call.principal
    if principal.nonce:
        return bool(nonce["id"] == call.parameters[NONCE])
    if principal.admin or principal.user == nonce["owner"]:
        return True
    whose = (call.tenant, nonce["kind"], nonce["subject"])
    return permissions.allows(tx, *whose, principal.user, UPDATE)


def _show(call: Call, nonce: Nonce) -> Record:
    alias = call.subject.alias
    whose = {"alias": alias["alias"]} if alias else {"actorId": call.actor["id"]}
    base = ("aliases", alias["alias"]) if alias else (call.actor["id"],)
    shown = envelope.show(nonce, without=_HIDDEN)
    shown.setdefault("lastUseTime", "None")
    return {
        **shown,
        **whose,
        "apiServer": call.gateway.api_server(call.tenant),
        "_links": {
            "self": call.link(*base, "nonces", nonce["id"]),
            "owner": call.profile(nonce["owner"]),
            "actor": call.link(call.actor["id"]),
        },
    }


def _endpoints(base: str) -> tuple[Endpoint, ...]:
    every, one = f"{base}/nonces", f"{base}/nonces/{{nonce}}"
    return (
        Endpoint("GET", every, list_nonces, READ, "List nonces", result="Nonces"),
        Endpoint(
            "POST",
            every,
            create,
            UPDATE,
            "Make a nonce",
            thing="nonce",
            result="Nonce",
            arguments=_ARGUMENTS,
        ),
        Endpoint("GET", one, get, READ, "Return a nonce", result="Nonce"),
        Endpoint("DELETE", one, delete, UPDATE, "Revoke a nonce"),
    )


ENDPOINTS = (*_endpoints("/actors/aliases/{alias}"), *_endpoints("/actors/{actor}"))
