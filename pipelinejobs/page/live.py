"""Tells a browser when what it shows has changed, by server-sent events.

(HTML Living Standard, "Server-sent events".) An event carries the version of what is shown and nothing
else: the browser fetches the page again and puts what is new into place.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

INTERVAL = 0.7
"""Seconds between looks."""
MAX_SECONDS = 60.0
"""Seconds until the browser has to come again, and to show who it is."""
MEDIA_TYPE = "text/event-stream"
_QUIET = 15.0
_RUN = secrets.token_hex(4)


def version(value: object) -> str:
    """Return the version of what is shown; none is the same after a restart."""
    return f"{_RUN}-{value}"


class Stream:
    """A reply that goes on until the browser leaves, the gateway ends, or `MAX_SECONDS` is over.

    Args:
        ask: returns the present version, or None where the browser has to come again.
    """

    def __init__(self, ask: Callable[[], Awaitable[str | None]]) -> None:
        self._ask = ask

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await self._follow(gone, send)
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _follow(self, gone: asyncio.Future[None], send: Send) -> None:
        began = heard = time.monotonic()
        known = None
        while not gone.done() and time.monotonic() - began < MAX_SECONDS:
            found = await self._ask()
            if found is None:
                return
            if found != known or time.monotonic() - heard > _QUIET:
                text = f"data: {found}\n\n" if found != known else ":\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                known, heard = found, time.monotonic()
            await asyncio.wait({gone}, timeout=INTERVAL)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
