"""The protocol on a port, with an application that answers with what arrived."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import uvicorn

from abaco.certificates import CertificateAuthority
from abaco.http.protocol import Limits
from abaco.http.tunnels import gateway_protocol
from tests.abaco.running import eventually

HOST = "api.abaco.local"
VERSION = "1.2.3"
HOSTS = frozenset({"x", "localhost"})
"""By which the gateway is known."""
SHORT = Limits(head_seconds=0.3)
LONG = Limits(head_seconds=300)
PATIENCE = 30.0
PIECE = b"x" * 1_000_000
LARGE = 40 * len(PIECE)
"""More than the system takes of an answer on its own."""
GET = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"
CONNECT = b"CONNECT api.abaco.local:443 HTTP/1.1\r\nHost: api.abaco.local:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def application(
    seen: list[Any], release: threading.Event, scope: Any, receive: Any, send: Any
) -> None:
    """Answer with what arrived.

    `/held` waits until it is released, `/slow` takes its time, `/large` has much to say, `/deaf` does not wait for the whole body,
    `/eager` begins to answer before it, `/announced` with a head alone, until it is released.
    """
    if scope["path"] == "/announced":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.to_thread(release.wait, PATIENCE)
        await send({"type": "http.response.body", "body": b"late"})
        return
    if scope["path"] == "/eager":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body, more = body + event["body"], event["more_body"]
        if scope["path"] == "/deaf":
            await asyncio.sleep(0.1)
            break
    if scope["path"] == "/held":
        await asyncio.to_thread(release.wait, PATIENCE)
    if scope["path"] == "/slow":
        await asyncio.sleep(3 * SHORT.head_seconds)
    answer = {
        "method": scope["method"],
        "path": scope["path"],
        "scheme": scope["scheme"],
        "client": scope["client"],
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "body": body.decode(),
    }
    seen.append(answer)
    pieces = [PIECE] * (LARGE // len(PIECE))
    if scope["path"] != "/large":
        pieces = [json.dumps(answer).encode()]
    length = sum(map(len, pieces))
    headers = [(b"content-length", b"%d" % length), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # each waits until the client has taken what came before: the answer is not over until then
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class Gateway(NamedTuple):
    server: uvicorn.Server
    thread: threading.Thread
    port: int
    seen: list[Any]
    release: threading.Event
    """lets what is held be answered"""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, address: str = "127.0.0.1") -> socket.socket:
        """Connect from an address of this machine; one other than 127.0.0.1 plays another machine."""
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=PATIENCE, source_address=(address, 0)
        )

    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def stop(self) -> None:
        """Stop it, which waits for nobody who is silent."""
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def serving(authority: CertificateAuthority, **terms: Any) -> Iterator[Gateway]:
    protocol = gateway_protocol(authority, version=VERSION, hosts=HOSTS, **terms)
    seen: list[Any] = []
    release = threading.Event()
    config = uvicorn.Config(
        functools.partial(application, seen, release),
        # a connection that is closed sooner is closed by the protocol
        timeout_keep_alive=int(2 * PATIENCE),
        http=protocol,
        # it must never come to a WebSocket
        ws=asyncio.Protocol,
        interface="asgi3",
        loop="asyncio",
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        gateway = Gateway(server, thread, listening.getsockname()[1], seen, release)
        thread.start()
        try:
            eventually(lambda: server.started)
            yield gateway
        finally:
            release.set()
            gateway.stop()
        assert server.server_state.connections == set()
        assert server.server_state.tasks == set()


def read_answer(client: socket.socket) -> tuple[int, Any]:
    """Read one answer; return its status and its JSON body."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer.status, json.loads(answer.read())


def read_all(client: socket.socket) -> bytes:
    """Read until the other side closes, in whatever way."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            data += piece
    return data


def trusting(authority: CertificateAuthority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.certificate)


def tunnel(gateway: Gateway) -> socket.socket:
    """Return a connection on which the CONNECT has been answered, before any TLS."""
    client = gateway.connect()
    client.sendall(CONNECT)
    assert client.recv(1000) == ESTABLISHED
    return client


def secure(gateway: Gateway, authority: CertificateAuthority) -> ssl.SSLSocket:
    """Return a connection through a tunnel."""
    return trusting(authority).wrap_socket(tunnel(gateway), server_hostname=HOST)


def error(message: str) -> dict[str, Any]:
    return {"message": message, "result": None, "status": "error", "version": VERSION}


def silent(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    return gateway.connect()


def half_a_head(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = gateway.connect()
    client.sendall(GET[:-2])
    return client


def half_a_connect(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = gateway.connect()
    client.sendall(CONNECT[:-2])
    return client


def silent_after_a_connect(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    return tunnel(gateway)


def half_a_handshake(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = tunnel(gateway)
    client.sendall(b"\x16\x03\x01\x02\x00")
    return client


def silent_in_a_tunnel(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    return secure(gateway, authority)


def half_a_head_in_a_tunnel(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = secure(gateway, authority)
    client.sendall(GET[:-2])
    return client


def half_a_second_head(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = gateway.connect()
    client.sendall(GET)
    assert read_answer(client)[0] == 200
    client.sendall(GET[:-2])
    return client


def half_a_head_sent_ahead(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = gateway.connect()
    client.sendall(GET + GET[:-2])
    assert read_answer(client)[0] == 200
    return client


def an_empty_line(gateway: Gateway, authority: CertificateAuthority) -> socket.socket:
    client = gateway.connect()
    client.sendall(GET)
    assert read_answer(client)[0] == 200
    client.sendall(b"\r\n")
    return client


Begin = Callable[[Gateway, CertificateAuthority], socket.socket]
SLOW: list[Begin] = [
    silent,
    half_a_head,
    half_a_connect,
    silent_after_a_connect,
    half_a_handshake,
    silent_in_a_tunnel,
    half_a_head_in_a_tunnel,
    half_a_second_head,
    half_a_head_sent_ahead,
    an_empty_line,
]
