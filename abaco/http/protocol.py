"""The gateway's connections: HTTP as uvicorn speaks it, within bounds, and tunnels that end here.

A client with `HTTPS_PROXY=http://HOST:PORT` asks for a tunnel with `CONNECT name:443`. It gets one
that ends in this process: the same port answers, speaks TLS in that name and serves the same
application. No connection is ever made to anybody (spec: abaco-v2, 3.2).
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from abaco.certificates import InvalidHost
from abaco.http.connections import Places
from abaco.http.hosts import Misdirected, canonical, host_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from abaco.certificates import CertificateAuthority
    from abaco.http.connections import Place

CONNECT_BYTES = 8_192
LINGER_SECONDS = 0.5
_CONNECT = b"CONNECT "
_CONNECT_HEAD = re.compile(
    rb"CONNECT (?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z.-]+)):[0-9]{1,5}"
    rb" HTTP/1\.[01]\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*"
)
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


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
class _Terms:
    authority: CertificateAuthority
    version: str
    hosts: frozenset[str]
    limits: Limits
    context: ssl.SSLContext | None
    places: Places


def gateway_protocol(
    authority: CertificateAuthority,
    *,
    version: str,
    hosts: frozenset[str],
    limits: Limits = DEFAULT_LIMITS,
    tls_host: str | None = None,
) -> type[HttpToolsProtocol]:
    """Return the protocol of a port, for `uvicorn.Config(http=...)`.

    Args:
        authority: makes the certificates of the hosts that clients ask for.
        version: of the gateway, for what it answers to malformed requests.
        hosts: the names that the gateway is known by, in the form of `hosts.canonical`. The
            address to which a client connects, and the name that it asks a tunnel for, hold too.
        limits: of each port by itself.
        tls_host: as which to speak TLS from the first byte on, on a port without tunnels.

    Raises:
        InvalidHost: no certificate can be made for `tls_host`.
    """
    context = authority.context_for(tls_host) if tls_host is not None else None
    terms = _Terms(authority, version, hosts, limits, context, Places(limits.most_connections))

    class GatewayProtocol(_TunnelProtocol):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(terms, config, server_state, app_state, _loop)

    return GatewayProtocol


class _BoundedProtocol(HttpToolsProtocol):
    """HTTP whose clients must send their requests' heads in time, and not too much of them."""

    def __init__(
        self,
        terms: _Terms,
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
        self._head_timer: asyncio.TimerHandle | None = None
        self._room = terms.limits.head_bytes

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_no_head()
        self._leave()
        # uvicorn does it only where there was no error
        self.transport.close()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._awaits_head and not self._refused:
            self._expect_head()
        while data and not self._refused and not self.transport.is_closing():
            piece, data = data[: self._room], data[self._room :]
            self._room -= len(piece)
            super().data_received(piece)
            if not self._room:
                self._refuse(431, f"the head is longer than {self._terms.limits.head_bytes} bytes")

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
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
        self._awaits_head = False
        self._expect_no_head()
        self._room = self._terms.limits.head_bytes

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._room = self._terms.limits.head_bytes

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._awaits_head = True
        self._expect_no_head()
        self._note_who_waits()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._awaits_head:
            # nobody wants the rest of the body: it has as long as a head has
            self._expect_head()
        self._note_who_waits()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._note_who_waits(for_client=True)

    def resume_writing(self) -> None:
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
                self.transport.close()
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
        body = json.dumps(envelope).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])


class _TunnelProtocol(_BoundedProtocol):
    """A connection as it is accepted: HTTP, or a tunnel with TLS and HTTP in it."""

    def __init__(
        self,
        terms: _Terms,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(terms, config, server_state, app_state, loop)
        self._opening: bytes | None = b""

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        client, here = (address[0] if address else "" for address in (self.client, self.server))
        self._place = self._terms.places.take(client, transport.abort, is_here=client == here)
        if self._place is None:
            transport.abort()
        elif self._terms.context is not None:
            self._start(self._serve_tls(self._terms.context))

    def data_received(self, data: bytes) -> None:
        if self._opening is None or self._refused:
            super().data_received(data)
            return
        self._opening += data
        if self._opening.startswith(_CONNECT):
            self._connect(self._opening)
        elif not _CONNECT.startswith(self._opening):
            opening, self._opening = self._opening, None
            super().data_received(opening)

    def _connect(self, opening: bytes) -> None:
        head, end, rest = opening.partition(b"\r\n\r\n")
        if len(head) > CONNECT_BYTES:
            self._refuse(431, f"the head of a CONNECT is longer than {CONNECT_BYTES} bytes")
        elif end:
            parsed = _CONNECT_HEAD.fullmatch(head + b"\r\n")
            if parsed is None:
                self._refuse(400, "a CONNECT must be to HOST:PORT, with well-formed headers")
            elif rest:
                self._refuse(400, "nothing may be sent before the CONNECT is answered")
            else:
                self.transport.pause_reading()
                host = parsed["address"] or parsed["name"]
                self._start(self._open_tunnel(host.decode()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _open_tunnel(self, host: str) -> None:
        try:
            context = await asyncio.to_thread(self._terms.authority.context_for, host)
        except InvalidHost as error:
            self._refuse(400, str(error))
        except OSError as error:
            self.logger.error("no certificate for %s: %s", host, error)
            self._refuse(500, f"no certificate could be made for {host}")
        else:
            self.transport.write(_ESTABLISHED)
            await self._serve_tls(context, canonical(host))

    async def _serve_tls(self, context: ssl.SSLContext, name: str = "") -> None:
        if self.transport.is_closing():
            return
        early, tls = _Early(), None
        try:
            tls = await self.loop.start_tls(self.transport, early, context, server_side=True)
        except OSError as error:
            trusted = self._terms.authority.certificate
            self.logger.info("no TLS with a client: %r; does it trust %s?", error, trusted)
            return
        finally:
            self._expect_no_head()
            self.connections.discard(self)
            if tls is None:
                self._leave()
        if tls is None:
            return
        place, self._place = self._place, None
        served = _BoundedProtocol(
            self._terms,
            self.config,
            self.server_state,
            self.app_state,
            self.loop,
            place=place,
            name=name,
        )
        tls.set_protocol(served)
        served.connection_made(_TlsTransport(tls, self.transport, self.loop))
        if early.data:
            served.data_received(early.data)


class _Early(asyncio.Protocol):
    """Keeps what arrives together with the end of a TLS handshake."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


class _TlsTransport(asyncio.Transport):
    """A TLS transport that does not wait long for its peer's goodbye, which may never come.

    Python 3.10 waits for ever, later ones half a minute, and the server's end waits for them.
    """

    def __init__(
        self, tls: asyncio.Transport, socket: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._tls = tls
        self._socket = socket
        self._loop = loop
        self._closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._closed or self._tls.is_closing()

    def pause_reading(self) -> None:
        self._tls.pause_reading()

    def resume_reading(self) -> None:
        self._tls.resume_reading()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._tls.write(data)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._tls.close()
            self._loop.call_later(LINGER_SECONDS, self._end)

    def _end(self) -> None:
        if self._socket.get_write_buffer_size():
            self._loop.call_later(LINGER_SECONDS, self._end)
        else:
            self._tls.abort()
