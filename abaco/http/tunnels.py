"""Tunnels that end in the gateway, on the port on which it speaks HTTP.

A client with `HTTPS_PROXY=http://HOST:PORT` asks for a tunnel with `CONNECT name:443`. It gets one
that ends in this process: the same port answers, speaks TLS in that name and serves the same
application. No connection is ever made to anybody (docs/reference/abaco.md#clients).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from abaco.certificates import AuthorityUnusable, InvalidHost
from abaco.http.connections import Places
from abaco.http.hosts import canonical
from abaco.http.protocol import DEFAULT_LIMITS, LINGER_SECONDS, BoundedProtocol, Limits, Terms

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    from abaco.certificates import CertificateAuthority

CONNECT_BYTES = 8_192
_CONNECT = b"CONNECT "
_CONNECT_HEAD = re.compile(
    rb"CONNECT (?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z.-]+)):[0-9]{1,5}"
    rb" HTTP/1\.[01]\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*"
)
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class _Tunnels(NamedTuple):
    authority: CertificateAuthority
    context: ssl.SSLContext | None


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
        AuthorityUnusable: none can be made at all.
    """
    context = authority.context_for(tls_host) if tls_host is not None else None
    terms = Terms(version, hosts, limits, Places(limits.most_connections))
    tunnels = _Tunnels(authority, context)

    class GatewayProtocol(_TunnelProtocol):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(terms, tunnels, config, server_state, app_state, _loop)

    return GatewayProtocol


class _TunnelProtocol(BoundedProtocol):
    """A connection as it is accepted: HTTP, or a tunnel with TLS and HTTP in it."""

    def __init__(
        self,
        terms: Terms,
        tunnels: _Tunnels,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(terms, config, server_state, app_state, loop)
        self._tunnels = tunnels
        self._opening: bytes | None = b""

    def connection_made(  # type: ignore[override]  # as uvicorn has it
        self, transport: asyncio.Transport
    ) -> None:
        super().connection_made(transport)
        client, here = (address[0] if address else "" for address in (self.client, self.server))
        self._place = self._terms.places.take(client, transport.abort, is_here=client == here)
        if self._place is None:
            transport.abort()
        elif self._tunnels.context is not None:
            self._start(self._serve_tls(self._tunnels.context))

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
            context = await asyncio.to_thread(self._tunnels.authority.context_for, host)
        except InvalidHost as error:
            self._refuse(400, str(error))
        except (OSError, AuthorityUnusable) as error:
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
            trusted = self._tunnels.authority.certificate
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
        served = BoundedProtocol(
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

    Python 3.10 waits forever, later ones half a minute, and the server's end waits for them.
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
