"""Events on their way to webhooks: each is posted until it is taken or given up.

The rules are in docs/reference/abaco.md#events.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from abaco.store import actors, posts, registrations
from addresses import is_public

if TYPE_CHECKING:
    import httpx
    from sqlalchemy import Connection

    from abaco.store.database import Database
    from abaco.store.posts import Way
    from abaco.store.rows import Post

_SECONDS = 10.0
_AT_ONCE, _AT_ONCE_EACH = 50, 10
"""How many posts are under way at a time, and how many of those for the actors of one owner."""
_logger = logging.getLogger(__name__)


class _Next(NamedTuple):
    """A post whose turn it is, and whether it may go to this machine and to private networks."""

    post: Post
    anywhere: bool


class _Private(OSError):
    """The host is on this machine or in a private network."""


class Webhooks:
    """Delivers events by POST, those of one actor to one URL in order.

    Args:
        database: of the platform.
        private: whether webhooks may lead to private networks whoever has registered the actor;
            those of administrators always may.
    """

    def __init__(self, database: Database, *, private: bool) -> None:
        self._database = database
        self._private = private
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

    def _next(self, way: Way) -> _Next | None:
        with self._database.read() as tx:
            post = posts.first(tx, way)
            if post is None:
                return None
            return _Next(post, self._private or _is_of_administrator(tx, way))

    async def _post_all(self, way: Way) -> None:
        try:
            while (following := await asyncio.to_thread(self._next, way)) is not None:
                await self._post(following)
        except SQLAlchemyError as error:
            _logger.error("webhooks: the database: %s", type(error).__name__)
        finally:
            del self._posting[way], self._owners[way]

    async def _post(self, following: _Next) -> None:
        import httpx  # noqa: PLC0415 - takes 60 ms and 4 MB; most gateways have no webhooks

        if self._client is None:
            # a connection is kept by its address, of which one name is not to use another's
            limits = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.AsyncClient(
                timeout=_SECONDS, limits=limits, follow_redirects=False
            )
        try:
            # however slowly it answers, piece by piece
            answering = _status(self._client, following)
            status = await asyncio.wait_for(answering, _SECONDS)
            taken, reason = httpx.codes.is_success(status), f"status {status}"
        except _Private:
            taken, reason = False, "its host is in a private network"
        except (
            *(asyncio.TimeoutError, OSError),
            *(httpx.HTTPError, httpx.InvalidURL, ValueError),
        ) as error:
            taken, reason = False, type(error).__name__
        await asyncio.to_thread(self._settle, following.post, taken=taken, reason=reason)

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


def _is_of_administrator(tx: Connection, way: Way) -> bool:
    """Tell whether an administrator has registered the actor with the URL."""
    actor = actors.get(tx, way.actor_id)
    return actor is not None and actor["webhook"] == way.url and registrations.of(tx, actor).admin


async def _status(client: httpx.AsyncClient, following: _Next) -> int:
    """Post, and return the status of the answer."""
    import httpx  # noqa: PLC0415 - as above

    post = following.post
    request = client.build_request("POST", post["url"], json=post["body"])
    if following.anywhere:
        return await _send(client, request)
    # the name may stand for others by the time of a second look-up
    host = request.url.host
    failed: Exception = OSError()
    request.extensions["sni_hostname"] = host
    for address in await _public_addresses(host, request.url.port or 0):
        request.url = request.url.copy_with(host=address)
        try:
            return await _send(client, request)
        except httpx.ConnectError as error:
            failed = error
    raise failed


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> int:
    response = await client.send(request, stream=True)
    await response.aclose()
    return response.status_code


async def _public_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host.

    Raises:
        OSError: there is none, or one of them is not public.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    if not all(map(is_public, addresses)):
        raise _Private
    return addresses
