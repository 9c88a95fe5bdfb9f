"""Events of actors and executions, for the linked actor and the webhook (spec: abaco-v2, 1.11)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx

from abaco import clock, identifiers
from abaco.store import actors, executions, posts

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from abaco.store.database import Database
    from abaco.store.records import Record

ACTOR_READY = "ACTOR_READY"
ACTOR_ERROR = "ACTOR_ERROR"
EXECUTION_COMPLETE = "EXECUTION_COMPLETE"
SENDER = "Abaco Event"
_SECONDS = 10.0
_AT_ONCE = 50

_logger = logging.getLogger(__name__)


def emit(
    tx: Connection, actor: Record, event_type: str, api_server: str, **facts: Any
) -> str | None:
    """Queue an event for the actor's link and webhook, where it has them.

    Args:
        tx: the transaction in which the thing happened.
        actor: the actor that it happened to.
        event_type: one of the names above.
        api_server: what the linked actor is told.
        facts: what is special to the event.

    Returns:
        The id of the linked actor if it has a new message.
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
    if linked is None:
        return None
    environment = {
        "_abaco_username": SENDER,
        "_abaco_Content_Type": executions.JSON,
        "_abaco_api_server": api_server,
    }
    message = executions.Message(repr(event).encode(), executions.JSON, environment)
    executions.submit(tx, linked, SENDER, message)
    return str(linked["id"])


def find_linked(tx: Connection, tenant: str, name: str) -> Record | None:
    """Return the actor that a `link` names, by its id or alias."""
    if identifiers.is_identifier(name):
        return actors.find(tx, tenant, name)
    return actors.find_by_alias(tx, tenant, name)


class Webhooks:
    """Delivers events by POST, those of one URL in order, each until it is taken or given up."""

    def __init__(self, database: Database, stopping: Callable[[], bool]) -> None:
        self._database = database
        self._stopping = stopping

    async def deliver(self) -> None:
        """Post what is due now."""
        due = await asyncio.to_thread(self._due)
        if not due:
            return
        async with httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client:
            await asyncio.gather(*(self._post(client, post) for post in due))

    def _due(self) -> list[Record]:
        with self._database.read() as tx:
            return posts.due(tx, _AT_ONCE)

    async def _post(self, client: httpx.AsyncClient, post: Record) -> None:
        try:
            async with client.stream("POST", post["url"], json=post["body"]) as response:
                taken = response.is_success
                reason = f"status {response.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            taken, reason = False, type(error).__name__
        if self._stopping():
            return
        await asyncio.to_thread(self._settle, post, taken=taken, reason=reason)

    def _settle(self, post: Record, *, taken: bool, reason: str) -> None:
        with self._database.write() as tx:
            if taken:
                posts.delivered(tx, post)
                return
            given_up = posts.failed(tx, post)
        kind = post["body"]["event_type"]
        outcome = "given up" if given_up else "tried again later"
        # a webhook's URL may hold a nonce
        _logger.warning(
            "event %s of actor %s not taken by its webhook (%s): %s",
            kind,
            post["actor_id"],
            reason,
            outcome,
        )
