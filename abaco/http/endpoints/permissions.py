"""Permissions on actors, aliases and configs (docs/reference/abaco.md#permissions)."""

from __future__ import annotations

from abaco.exceptions import BadRequest
from abaco.http.arguments import Argument
from abaco.http.call import Call, Endpoint, Reply
from abaco.store import permissions
from abaco.store.permissions import LEVELS, READ, UPDATE

_MAX_LENGTH = 255
_ARGUMENTS = (
    Argument("user", "text", "User owning the permission.", required=True),
    Argument("level", "text", "Level of the permission.", required=True, choices=LEVELS),
)


def get(call: Call) -> Reply:
    """Return the level of each user."""
    with call.gateway.database.read() as tx:
        found = permissions.of(tx, call.tenant, *call.subject.key)
    return Reply(found, "Permissions retrieved successfully.")


def grant(call: Call) -> Reply:
    """Give a user a level; NONE takes it away."""
    user, level = call.arguments["user"], call.arguments["level"].upper()
    if level not in LEVELS:
        message = f"Invalid permission level: {level:.50}. Use one of: {', '.join(LEVELS)}."
        raise BadRequest(message)
    if not 0 < len(user) <= _MAX_LENGTH:
        message = f"Invalid permission description: a user has 1 to {_MAX_LENGTH} characters."
        raise BadRequest(message)
    with call.gateway.database.write() as tx:
        permissions.grant(tx, call.tenant, *call.subject.key, user, level)
        found = permissions.of(tx, call.tenant, *call.subject.key)
    return Reply(found, "Permission added successfully.")


def _endpoints(base: str) -> tuple[Endpoint, ...]:
    path = f"{base}/permissions"
    return (
        Endpoint("GET", path, get, READ, "Return permissions", result="Permissions"),
        Endpoint(
            "POST",
            path,
            grant,
            UPDATE,
            "Give a user a level",
            thing="permission",
            result="Permissions",
            arguments=_ARGUMENTS,
        ),
    )


ENDPOINTS = (
    *_endpoints("/actors/aliases/{alias}"),
    *_endpoints("/actors/configs/{config}"),
    *_endpoints("/actors/{actor}"),
)
