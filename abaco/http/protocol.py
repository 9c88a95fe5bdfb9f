"""The gateway's connections: HTTP as uvicorn speaks it, within bounds, for a gateway of certain names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from abaco.http.hosts import Misdirected, canonical, host_of

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from abaco.http.connections import Place, Places

LINGER_SECONDS = 0.5
_SIZED = b"\r\ncontent-length:"
"""In a head as uvicorn writes it."""
_JOINED_BYTES = 65_536
"""A larger part of a body is not copied to its head."""


@dataclass(frozen=True)
class Limits:
    """What one client, or all of them together, may take.

    Args:
        head_seconds: within which a request's head must be complete, and likewise all that makes
            a tunnel.
        head_bytes: of a request's head; also of what may follow it without being its body.
        most_connections: at a time; for a further one, the one is closed that has waited
            longest for its client.
    """

    head_seconds: float = 10.0
    head_bytes: int = 65_536
    most_connections: int = 1_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Terms:
    """What holds for all connections of a port.

    Args:
        version: of the gateway, for what it answers to malformed requests.
        hosts: the names that the gateway is known by, in the form of `hosts.canonical`.
        limits: what clients may take.
        places: for connections.
    """

    version: str
    hosts: frozenset[str]
    limits: Limits
    places: Places


class _Answer:
    """What an answer is written to: its head waits for the beginning of its body, to be sent together.

    A body whose size nobody knows may take its time, so the head of such an answer does not wait. Of a
    transport, this is all that uvicorn's `RequestResponseCycle` uses.

    Args:
        transport: of the connection.
        has_body: whether something is written after the head.
    """

    def __init__(self, transport: asyncio.Transport, *, has_body: bool) -> None:
        self._transport = transport
        self._waits = has_body
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._waits:
            self._waits = False
            if _SIZED in data:
                self._head = data
                return
        if self._head and len(data) <= _JOINED_BYTES:
            data, self._head = self._head + data, b""
        self._send_head()
        self._transport.write(data)

    def close(self) -> None:
        self._send_head()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class BoundedProtocol(HttpToolsProtocol):
    """HTTP whose clients must send their requests' heads in time, and not too much of them."""

    def __init__(
        self,
        terms: Terms,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
        *,
        place: Place | None = None,
        name: str = "",
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self.ws_protocol_class = None
        self._place = place
        self._name = name
        self._terms = terms
        self._refused = False
        self._awaits_head = True
        self._rests = False
        """whether nothing has come since the last request was complete"""
        self._head_timer: asyncio.TimerHandle | None = None
        self._room = terms.limits.head_bytes

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        """Expect the head of a request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back the place, and what else belongs to the connection."""
        self._expect_no_head()
        self._leave()
        # uvicorn does it only where there was no error
        self.transport.close()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as much at a time as may follow without being a body."""
        self._rests = False
        while data and not self._refused and not self.transport.is_closing():
            piece, data = data[: self._room], data[self._room :]
            self._room -= len(piece)
            super().data_received(piece)
            if not self._room:
                self._refuse(431, f"the head is longer than {self._terms.limits.head_bytes} bytes")
        if self._awaits_head and not (self._rests or self._refused):
            self._expect_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(400, msg)

    def on_message_begin(self) -> None:
        """Expect the rest of a head."""
        super().on_message_begin()
        self._rests = False

    def on_headers_complete(self) -> None:
        """Serve a request whose head is complete, or refuse it."""
        if self.parser.should_upgrade() and self._announces_body():
            # the parser would drop the body
            message = "a request that offers an upgrade is served without one, but not with a body"
            self._refuse(400, message)
            raise ValueError(message)
        try:
            self._check_head()
        except Misdirected as error:
            self._refuse(error.status, str(error))
            raise
        super().on_headers_complete()
        answer = _Answer(self.transport, has_body=self.scope["method"] != "HEAD")
        self.cycle.transport = answer  # type: ignore[assignment]  # what it needs of one
        self._awaits_head = False
        self._expect_no_head()
        self._room = self._terms.limits.head_bytes

    def on_body(self, body: bytes) -> None:
        """Hand on a part of a body."""
        super().on_body(body)
        self._room = self._terms.limits.head_bytes

    def on_message_complete(self) -> None:
        """Take notice that a request is complete."""
        super().on_message_complete()
        self._awaits_head = self._rests = True
        self._expect_no_head()
        if not self._is_answering():
            # it was answered before its body came, and nothing else times what follows
            self._expect_head()
        self._note_who_waits()

    def on_response_complete(self) -> None:
        """Take notice that an answer is complete; what follows is another request."""
        super().on_response_complete()
        if not self._awaits_head:
            # nobody wants the rest of the body: it has as long as a head has
            self._expect_head()
        self._note_who_waits()

    def pause_writing(self) -> None:
        """Take notice that the client does not take its answer."""
        super().pause_writing()
        self._note_who_waits(for_client=True)

    def resume_writing(self) -> None:
        """Take notice that it does again."""
        super().resume_writing()
        self._note_who_waits()

    def _check_head(self) -> None:
        """Refuse what another server could take for another request, or for another server's.

        Raises:
            Misdirected: it is such a request.
        """
        version = self.parser.get_http_version()
        target = httptools.parse_url(self.url)
        authority = self.url.decode("ascii").split("/", 3)[2] if target.schema else ""
        host = host_of(version, self.headers, authority)
        if host is not None and not self._is_known_by(host):
            message = (
                f"this gateway is not known by the name {host:.100}: see hosts in its settings"
            )
            raise Misdirected(421, message)
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and version != "1.1":
            message = "Transfer-Encoding is of HTTP/1.1"
            raise Misdirected(400, message)
        if codings and codings[0].lower() != b"chunked":
            message = "the only Transfer-Encoding that is understood is chunked"
            raise Misdirected(400, message)

    def _is_known_by(self, host: str) -> bool:
        if host in self._terms.hosts:
            return True
        # whom the client has connected to: by a tunnel, by an address
        connected = (self._name, canonical(self.server[0]) if self.server else "")
        return host != "" and host in connected

    def _note_who_waits(self, *, for_client: bool = False) -> None:
        if self._place is None:
            return
        is_complete = self._awaits_head and self._is_answering()
        if for_client or not is_complete:
            self._terms.places.waits(self._place)
        else:
            self._terms.places.works(self._place)

    def _leave(self) -> None:
        if self._place is not None:
            self._terms.places.leave(self._place)
            self._place = None

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an upgrade is an offer, and what was asked is answered without it."""

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    def _expect_head(self) -> None:
        if self._head_timer is None:
            seconds = self._terms.limits.head_seconds
            self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def _expect_no_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_answering():
            # the former request's answer comes first
            self._expect_head()
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be served, and close; read on a little, so that it is not lost."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._expect_no_head()
        if self._is_answering():
            if self._awaits_head:
                # what is refused was sent ahead: the answer to the request before it is the last
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.cycle.transport.close()
                return
        self.transport.write(self._answer(status, message))
        self.transport.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _answer(self, status: int, message: str) -> bytes:
        envelope = {
            "message": message,
            "result": None,
            "status": "error",
            "version": self._terms.version,
        }
        body = json.dumps(envelope).encode() + b"\n"
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])
