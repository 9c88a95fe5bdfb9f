"""Events of actors and executions, for the linked actor and, queued, for the webhook.

The rules are in docs/reference/abaco.md#events.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from abaco import clock, identifiers
from abaco.store import actors, executions, permissions, posts, registrations

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from abaco.store.executions import Accepted
    from abaco.store.rows import Actor

ACTOR_READY = "ACTOR_READY"
ACTOR_ERROR = "ACTOR_ERROR"
EXECUTION_COMPLETE = "EXECUTION_COMPLETE"
SENDER = "Abaco Event"

_logger = logging.getLogger(__name__)


def emit(
    tx: Connection, actor: Actor, event_type: str, api_server: str, **facts: Any
) -> Accepted | None:
    """Queue an event for the actor's link and webhook, where it has them.

    Args:
        tx: the transaction in which the thing happened.
        actor: the actor that it happened to.
        event_type: one of the names above.
        api_server: what the linked actor is told.
        facts: what is special to the event.

    Returns:
        The message to the linked actor, if there is one.
    """
    if not actor["link"] and not actor["webhook"]:
        return None
    moment = clock.now()
    event = {
        "event_type": event_type,
        "event_time_utc": moment.timestamp(),
        "event_time_display": clock.iso(moment),
        "actor_id": actor["id"],
        "actor_dbid": f"{actor['tenant']}_{actor['id']}",
        "tenant_id": actor["tenant"],
        **facts,
        "_abaco_link": actor["link"],
        "_abaco_webhook": actor["webhook"],
    }
    if actor["webhook"]:
        posts.add(tx, actor["id"], actor["webhook"], event)
    linked = find_linked(tx, actor["tenant"], actor["link"]) if actor["link"] else None
    if linked is None or not _may_tell(tx, actor, linked):
        return None
    environment = {
        "_abaco_username": SENDER,
        "_abaco_Content_Type": executions.JSON,
        "_abaco_api_server": api_server,
    }
    message = executions.Message(repr(event).encode(), executions.JSON, environment)
    try:
        return executions.submit(tx, linked, SENDER, message)
    except LookupError:
        # it is being deleted
        return None


def _may_tell(tx: Connection, actor: Actor, linked: Actor) -> bool:
    """Tell whether whoever has set the link of an actor may still send the other one messages."""
    who = registrations.of(tx, actor)
    kind, level = permissions.ACTOR, permissions.EXECUTE
    if who.admin or permissions.allows(tx, linked["tenant"], kind, linked["id"], who.user, level):
        return True
    _logger.warning(
        "actor %s: its link %s is told nothing: %s needs EXECUTE on it",
        actor["id"],
        linked["id"],
        who.user,
    )
    return False


def find_linked(tx: Connection, tenant: str, name: str) -> Actor | None:
    """Return the actor that a `link` names, by its id or alias."""
    if identifiers.is_identifier(name):
        return actors.find(tx, tenant, name)
    return actors.find_by_alias(tx, tenant, name)


def come_back(tx: Connection, actor: Actor) -> bool:
    """Tell whether the events of an actor are sent, from link to link, to itself."""
    seen: set[str] = set()
    linked: Actor | None = actor
    while linked is not None and linked["id"] not in seen:
        seen.add(linked["id"])
        linked = find_linked(tx, linked["tenant"], linked["link"]) if linked["link"] else None
    return linked is not None and linked["id"] == actor["id"]
