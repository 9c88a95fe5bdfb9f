"""A closed loop: keep-alive connections, each of which sends its next request when the last is answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop

from bench.measuring import percentile
from local.processes import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

SENDERS = (1, 8, 32)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Load(NamedTuple):
    """What came of it: how long it took, and the seconds of each request."""

    seconds: float
    latencies: list[float]

    @property
    def answered(self) -> int:
        """How many requests were answered."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """How many of them in a second."""
        return self.answered / self.seconds

    def at(self, share: float) -> float:
        """Return the seconds within which a part of the requests was answered."""
        return percentile(self.latencies, share)


def post(path: str, body: Any, token: str | None = None) -> bytes:
    """Return a request as it is sent."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode() + content


class UnexpectedAnswer(Exception):
    """A server did not do what it was asked for."""


class _Sender(asyncio.Protocol):
    """One connection.

    Args:
        requests: what it sends, over and over.
        expected: what is in each answer.
        until: when it sends no further one.
    """

    def __init__(self, requests: Sequence[bytes], expected: bytes, until: float) -> None:
        self.latencies: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = itertools.cycle(requests)
        self._expected = expected
        self._until = until
        self._received = b""
        self._began = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        now = time.perf_counter()
        self.latencies.append(now - self._began)
        if not head.startswith(b"HTTP/1.1 200") or self._expected not in body:
            self._end(UnexpectedAnswer(self._received.decode(errors="replace")))
        elif now < self._until:
            self._received = b""
            self._send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or UnexpectedAnswer("the connection was closed"))

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(next(self._requests))

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
        self._transport.close()


def closed_loop(
    port: int, requests: Sequence[Sequence[bytes]], seconds: float, expected: bytes = b""
) -> Load:
    """Send for some seconds.

    Args:
        port: of the server.
        requests: for each sender, what it sends in turn, over and over.
        seconds: after which no further request is sent.
        expected: what is in each answer.

    Raises:
        UnexpectedAnswer: one was not 200, or something else was in it.
    """
    return uvloop.run(_closed_loop(port, requests, seconds, expected))


async def _closed_loop(
    port: int, requests: Sequence[Sequence[bytes]], seconds: float, expected: bytes
) -> Load:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    senders = []
    for each in requests:

        def make(each: Sequence[bytes] = each) -> _Sender:
            return _Sender(each, expected, began + seconds)

        _, sender = await loop.create_connection(make, HOST, port)
        senders.append(sender)
    await asyncio.gather(*(sender.ended for sender in senders))
    taken = time.perf_counter() - began
    return Load(taken, [each for sender in senders for each in sender.latencies])
