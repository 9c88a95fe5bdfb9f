"""Events of actors and executions, for the linked actor and the webhook.

The rules are in docs/reference/abaco.md#events.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from abaco import clock, identifiers
from abaco.store import actors, executions, permissions, posts, registrations

if TYPE_CHECKING:
    import httpx
    from sqlalchemy import Connection

    from abaco.store.database import Database
    from abaco.store.executions import Accepted
    from abaco.store.posts import Way
    from abaco.store.rows import Actor, Post

ACTOR_READY = "ACTOR_READY"
ACTOR_ERROR = "ACTOR_ERROR"
EXECUTION_COMPLETE = "EXECUTION_COMPLETE"
SENDER = "Abaco Event"
_SECONDS = 10.0
_AT_ONCE, _AT_ONCE_EACH = 50, 10
"""How many posts are under way at a time, and how many of those for the actors of one owner."""

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


class Webhooks:
    """Delivers events by POST, those of one actor to one URL in order, each until it is taken or given up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._client: httpx.AsyncClient | None = None
        self._posting: dict[Way, asyncio.Task[None]] = {}
        self._owners: dict[Way, str] = {}
        """whose actors those are"""

    async def deliver(self) -> None:
        """Begin to post what is due now; who is slow, at however many URLs, keeps nobody else waiting."""
        for way, owner in await asyncio.to_thread(self._due):
            if way in self._posting or len(self._posting) >= _AT_ONCE:
                continue
            if [*self._owners.values()].count(owner) < _AT_ONCE_EACH:
                self._owners[way] = owner
                self._posting[way] = asyncio.create_task(self._post_all(way))

    async def close(self) -> None:
        """Stop; what is under way is posted again after the next start."""
        tasks = list(self._posting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _due(self) -> list[tuple[Way, str]]:
        with self._database.read() as tx:
            return posts.due(tx)

    def _first(self, way: Way) -> Post | None:
        with self._database.read() as tx:
            return posts.first(tx, way)

    async def _post_all(self, way: Way) -> None:
        try:
            while (post := await asyncio.to_thread(self._first, way)) is not None:
                await self._post(post)
        except SQLAlchemyError as error:
            _logger.error("webhooks: the database: %s", type(error).__name__)
        finally:
            del self._posting[way], self._owners[way]

    async def _post(self, post: Post) -> None:
        import httpx  # noqa: PLC0415 - takes 60 ms and 4 MB; most gateways have no webhooks

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False)
        try:
            # however slowly it answers, piece by piece
            answering = self._status(self._client, post)
            status = await asyncio.wait_for(answering, _SECONDS)
            taken, reason = httpx.codes.is_success(status), f"status {status}"
        except (asyncio.TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            taken, reason = False, type(error).__name__
        await asyncio.to_thread(self._settle, post, taken=taken, reason=reason)

    @staticmethod
    async def _status(client: httpx.AsyncClient, post: Post) -> int:
        async with client.stream("POST", post["url"], json=post["body"]) as response:
            return response.status_code

    def _settle(self, post: Post, *, taken: bool, reason: str) -> None:
        with self._database.write() as tx:
            if taken:
                posts.delivered(tx, post)
                return
            given_up = posts.failed(tx, post)
        kind = post["body"]["event_type"]
        outcome = "given up" if given_up else "tried again later"
        if given_up > 1:
            outcome += f", with {given_up - 1} that waited for too long behind it"
        # a webhook's URL may hold a nonce
        _logger.warning(
            "event %s of actor %s not taken by its webhook (%s): %s",
            kind,
            post["actor_id"],
            reason,
            outcome,
        )
