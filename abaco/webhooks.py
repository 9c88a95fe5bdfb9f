"""Events on their way to webhooks: each is posted until it is taken or given up.

The rules are in docs/reference/abaco.md#events.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.cookiejar
import logging
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

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
        self._clients: dict[bool, httpx.AsyncClient] = {}
        """by whether they go by the proxies of the environment"""
        self._making = asyncio.Lock()
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
        for client in self._clients.values():
            await client.aclose()

    def _due(self) -> list[tuple[Way, str]]:
        with self._database.read() as tx:
            return posts.due(tx)

    def _next(self, way: Way) -> _Next | None:
        with self._database.read() as tx:
            post = posts.first(tx, way)
            if post is None:
                return None
            anywhere = self._private or _is_of_administrator(tx, way)
        import httpx  # noqa: F401, PLC0415 - 50 ms in this thread, and 4 MB that most gateways do without

        return _Next(post, anywhere)

    async def _post_all(self, way: Way) -> None:
        try:
            while (following := await asyncio.to_thread(self._next, way)) is not None:
                await self._post(following)
        except SQLAlchemyError as error:
            _logger.error("webhooks: the database: %s", type(error).__name__)
        finally:
            del self._posting[way], self._owners[way]

    async def _post(self, following: _Next) -> None:
        import httpx  # noqa: PLC0415 - `_next` has loaded it, in a thread

        try:
            status = await self._status(following)
            taken, reason = httpx.codes.is_success(status), f"status {status}"
        except _Private:
            taken, reason = False, "its host is in a private network"
        except (
            *(asyncio.TimeoutError, OSError),
            *(httpx.HTTPError, httpx.InvalidURL, ValueError),
        ) as error:
            taken, reason = False, type(error).__name__
        await asyncio.to_thread(self._settle, following.post, taken=taken, reason=reason)

    async def _status(self, following: _Next) -> int:
        """Post, and return the status of the answer."""
        import httpx  # noqa: PLC0415 - as above

        post = following.post
        if following.anywhere and _has_proxies():
            client = await self._client(proxied=True)
            request = client.build_request("POST", post["url"], json=post["body"])
            return await asyncio.wait_for(_send(client, request), _SECONDS)
        url = httpx.URL(post["url"])
        addresses = await _look_up(url.raw_host, url.port or 0)
        if not following.anywhere and not all(map(is_public, addresses)):
            raise _Private
        # a proxy would look the name up again, and has no certificate for an address
        posting = post_to(await self._client(proxied=False), post, addresses)
        # however slowly it answers, piece by piece
        return await asyncio.wait_for(posting, _SECONDS)

    async def _client(self, *, proxied: bool) -> httpx.AsyncClient:
        async with self._making:
            if proxied not in self._clients:
                # it reads the certificates of all authorities
                made = await asyncio.to_thread(make_client, proxied=proxied)
                self._clients[proxied] = made
        return self._clients[proxied]

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


def make_client(*, proxied: bool) -> httpx.AsyncClient:
    """Return what posts; it goes by the proxies of the environment, or by none."""
    import httpx  # noqa: PLC0415 - as above

    # a connection is kept by its address, of which one name is not to use another's
    limits = httpx.Limits(max_keepalive_connections=0)
    # what one webhook sets would be sent to those of others
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        timeout=_SECONDS,
        limits=limits,
        transport=None if proxied else httpx.AsyncHTTPTransport(limits=limits),
        cookies=no_cookies,
        follow_redirects=False,
    )


async def post_to(client: httpx.AsyncClient, post: Post, addresses: list[str]) -> int:
    """Post to the first address that is reached, and return the status of the answer.

    The name may stand for other addresses by the time of a second look-up.
    """
    import httpx  # noqa: PLC0415 - as above

    # one that does not answer leaves time for those after it
    timeout = httpx.Timeout(_SECONDS, connect=_SECONDS / (len(addresses) + 1))
    request = client.build_request("POST", post["url"], json=post["body"], timeout=timeout)
    request.extensions["sni_hostname"] = request.url.raw_host.decode("ascii")
    failed: Exception = OSError()
    for address in addresses:
        request.url = request.url.copy_with(host=address)
        try:
            return await _send(client, request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failed = error
    raise failed


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> int:
    response = await client.send(request, stream=True)
    await response.aclose()
    return response.status_code


def _has_proxies() -> bool:
    proxies = urllib.request.getproxies()
    return any(proxies.get(scheme) for scheme in ("http", "https", "all"))


async def _look_up(host: bytes, port: int) -> list[str]:
    """Return the addresses of a host.

    It has a thread of its own: name servers of others may take minutes, which requests do not wait for.

    Raises:
        OSError: there is none.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(found: Any, error: OSError | ValueError | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(found)

    def look_up() -> None:
        found, failed = None, None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            failed = error
        with contextlib.suppress(RuntimeError):
            # unless the gateway has ended
            loop.call_soon_threadsafe(settle, found, failed)

    threading.Thread(target=look_up, name="abaco-name", daemon=True).start()
    return list(dict.fromkeys(str(info[4][0]) for info in await done))
