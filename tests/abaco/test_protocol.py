from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import http.client
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import requests
import uvicorn

from abaco.certificates import CertificateAuthority, InvalidHost
from abaco.http.protocol import Limits, gateway_protocol

HOST = "api.abaco.local"
VERSION = "1.2.3"
SHORT = Limits(head_seconds=0.3)
PATIENCE = 10.0
LARGE = 20_000_000
GET = b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n"
CONNECT = b"CONNECT api.abaco.local:443 HTTP/1.1\r\nHost: api.abaco.local:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def application(seen: list[Any], scope: Any, receive: Any, send: Any) -> None:
    """Answer with what arrived.

    `/slow` takes its time, `/large` has much to say, `/deaf` does not wait for the whole body,
    `/eager` begins to answer before it.
    """
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
    content = b"x" * LARGE if scope["path"] == "/large" else json.dumps(answer).encode()
    headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Gateway(NamedTuple):
    server: uvicorn.Server
    thread: threading.Thread
    port: int
    seen: list[Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def stop(self) -> float:
        """Stop it; return the seconds that it took."""
        start = time.monotonic()
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return time.monotonic() - start


@contextlib.contextmanager
def serving(authority: CertificateAuthority, **terms: Any) -> Iterator[Gateway]:
    protocol = gateway_protocol(authority, version=VERSION, **terms)
    seen: list[Any] = []
    config = uvicorn.Config(
        functools.partial(application, seen),
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
        gateway = Gateway(server, thread, listening.getsockname()[1], seen)
        thread.start()
        try:
            eventually(lambda: server.started)
            yield gateway
        finally:
            gateway.stop()
        assert server.server_state.connections == set()
        assert server.server_state.tasks == set()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority") / "tls")


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does may show as an error or a traceback."""
    caplog.set_level(logging.INFO)
    yield
    # an error of a task is logged when the task is forgotten
    gc.collect(1)
    logged = caplog.get_records("call") + caplog.get_records("teardown")
    assert [record.getMessage() for record in logged if record.exc_info] == []


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def gateway(authority: CertificateAuthority) -> Iterator[Gateway]:
    with serving(authority) as served:
        yield served


@pytest.fixture(scope="module")
def hasty(authority: CertificateAuthority) -> Iterator[Gateway]:
    """A gateway that waits for a head less long than other tests take."""
    with serving(authority, limits=SHORT) as served:
        yield served


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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


def test_plain_http_is_served_and_the_connection_kept(gateway: Gateway) -> None:
    with gateway.connect() as client:
        for _ in range(2):
            client.sendall(GET)
            status, answer = read_answer(client)
            assert (status, answer["path"], answer["scheme"]) == (200, "/here", "http")


def test_requests_that_were_sent_ahead_are_answered_in_turn(gateway: Gateway) -> None:
    with gateway.connect() as client:
        last = GET.replace(b"here", b"there").replace(b"Host", b"Connection: close\r\nHost")
        client.sendall(GET + last)
        answers = read_all(client)
    assert answers.index(b'"/here"') < answers.index(b'"/there"')


def test_requests_reaches_the_application_over_tls(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    with requests.Session() as session:
        session.proxies = {"https": gateway.url}
        post = functools.partial(session.post, verify=str(authority.certificate), timeout=PATIENCE)
        first, second = (post(f"https://{HOST}/here", data={"a": "b"}).json() for _ in range(2))
    assert (first["path"], first["body"]) == ("/here", "a=b")
    assert (first["scheme"], first["headers"]["host"]) == ("https", HOST)
    # one tunnel serves several requests, and tells the client's real address
    assert second["client"] == first["client"]
    assert first["client"][0] == "127.0.0.1"


def test_a_client_that_does_not_trust_the_authority_refuses(
    gateway: Gateway, authority: CertificateAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(requests.exceptions.SSLError, match="unable to get local issuer"):
        requests.get(f"https://{HOST}/", proxies={"https": gateway.url}, timeout=PATIENCE)
    eventually(lambda: gateway.connections() == 0)
    assert f"does it trust {authority.certificate}?" in caplog.text


@pytest.mark.parametrize("address", [HOST, "other.local:8443", "127.0.0.1"])
def test_httpx_reaches_the_application_by_any_name(
    gateway: Gateway, authority: CertificateAuthority, address: str
) -> None:
    with httpx.Client(
        proxy=gateway.url, verify=trusting(authority), trust_env=False, timeout=PATIENCE
    ) as client:
        answer = client.get(f"https://{address}/here").json()
    assert (answer["path"], answer["scheme"]) == ("/here", "https")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reaches_the_application_over_tls(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    command = ["curl", "-sS", "--proxy", gateway.url, "--cacert", str(authority.certificate)]
    command += ["--data", "message=hello", f"https://{HOST}/one", "https://[::1]:8443/two"]
    subprocess.run(command, capture_output=True, timeout=30, check=True)
    first, second = gateway.seen[-2:]
    assert (first["path"], second["path"]) == ("/one", "/two")
    assert (first["scheme"], first["body"]) == ("https", "message=hello")


def test_agavepy_reaches_the_application_with_its_token(gateway: Gateway) -> None:
    code = (
        "from agavepy.agave import Agave\n"
        f"Agave(api_server='https://{HOST}', token='T', verify=False).actors.list()"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HTTPS_PROXY": gateway.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    request = gateway.seen[-1]
    assert (request["method"], request["path"]) == ("GET", "/actors/v2")
    assert (request["scheme"], request["headers"]["host"]) == ("https", HOST)
    assert request["headers"]["authorization"] == "Bearer T"


def test_a_tunnel_may_be_asked_for_byte_by_byte(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    with gateway.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in CONNECT:
            client.sendall(bytes([byte]))
        assert client.recv(1000) == ESTABLISHED
        with trusting(authority).wrap_socket(client, server_hostname=HOST) as secured:
            for byte in GET:
                secured.sendall(bytes([byte]))
            assert read_answer(secured)[1]["path"] == "/here"


def test_a_method_that_begins_like_connect_is_served(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GET.replace(b"GET", b"COPY"):
            client.sendall(bytes([byte]))
        assert read_answer(client)[1]["method"] == "COPY"


def test_a_request_sent_together_with_the_end_of_the_handshake_is_served(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(authority).wrap_bio(received, sent, server_hostname=HOST)
    with tunnel(gateway) as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(sent.read())
                received.write(client.recv(65_536))
        tls.write(GET)
        client.sendall(sent.read())
        answer = b""
        while b'"path": "/here"' not in answer:
            received.write(client.recv(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                while True:
                    answer += tls.read(65_536)


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT  HTTP/1.1\r\n\r\n",
        b"CONNECT api.abaco.local HTTP/1.1\r\n\r\n",
        b"CONNECT api.abaco.local: HTTP/1.1\r\n\r\n",
        b"CONNECT api.abaco.local:https HTTP/1.1\r\n\r\n",
        b"CONNECT https://api.abaco.local:443 HTTP/1.1\r\n\r\n",
        b"CONNECT api.abaco.local:443\r\n\r\n",
        b"CONNECT api.abaco.local:443 HTTP/2.0\r\n\r\n",
        b"CONNECT api.abaco.local:443 HTTP/1.1\r\nno colon\r\n\r\n",
        b"CONNECT api.abaco.local:443 HTTP/1.1\r\nA: b\0\r\n\r\n",
        b"CONNECT \xc3\xa4.local:443 HTTP/1.1\r\n\r\n",
    ],
)
def test_a_malformed_connect_is_refused(gateway: Gateway, head: bytes) -> None:
    with gateway.connect() as client:
        client.sendall(head)
        message = "a CONNECT must be to HOST:PORT, with well-formed headers"
        assert read_answer(client) == (400, error(message))


@pytest.mark.parametrize("host", ["a..b", "-a.local", "300.1.1.1", "xn--a.local", "[1:2]"])
def test_a_connect_to_what_is_no_host_is_refused(gateway: Gateway, host: str) -> None:
    with gateway.connect() as client:
        client.sendall(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
        status, answer = read_answer(client)
        assert status == 400
        shown = host.strip("[]")
        assert answer["message"].startswith(f"'{shown}' is neither a DNS name")


def test_a_connect_with_data_after_it_is_refused(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(CONNECT + b"\x16\x03\x01")
        message = "nothing may be sent before the CONNECT is answered"
        assert read_answer(client) == (400, error(message))
        assert read_all(client) == b""


def test_a_connect_with_too_long_a_head_is_refused(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(CONNECT[:-2] + b"Padding: " + b"x" * 8_192)
        message = "the head of a CONNECT is longer than 8192 bytes"
        assert read_answer(client) == (431, error(message))
        assert read_all(client) == b""


def test_a_tunnel_within_a_tunnel_is_refused(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    with secure(gateway, authority) as client:
        client.sendall(CONNECT)
        assert read_answer(client) == (400, error("Invalid HTTP request received."))
        assert read_all(client) == b""


def test_a_tunnel_on_a_connection_that_was_used_is_refused(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(GET)
        assert read_answer(client)[0] == 200
        client.sendall(CONNECT)
        assert read_answer(client) == (400, error("Invalid HTTP request received."))
        assert read_all(client) == b""


def test_a_certificate_that_cannot_be_made_is_said(
    authority: CertificateAuthority,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with gateway.connect() as client:
        client.sendall(CONNECT.replace(b"api", b"unseen"))
        message = "no certificate could be made for unseen.abaco.local"
        assert read_answer(client) == (500, error(message))
    assert "no certificate for unseen.abaco.local: [Errno 2]" in caplog.text


class Slow(CertificateAuthority):
    """An authority whose certificates take until the test lets them be made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def context_for(self, host: str) -> ssl.SSLContext:
        self.begun.set()
        assert self.may_end.wait(PATIENCE)
        return super().context_for(host)


def test_making_a_certificate_holds_nobody_up(tmp_path: Path) -> None:
    slow = Slow(tmp_path / "tls")
    with serving(slow) as gateway, gateway.connect() as waiting:
        waiting.sendall(CONNECT)
        assert slow.begun.wait(PATIENCE)
        assert requests.get(gateway.url, timeout=PATIENCE).status_code == 200
        # what a client sends too early is for the tunnel
        waiting.sendall(b"early")
        slow.may_end.set()
        assert waiting.recv(1000) == ESTABLISHED


def test_a_client_may_go_away_before_its_certificate_is_made(tmp_path: Path) -> None:
    slow = Slow(tmp_path / "tls")
    with serving(slow, limits=SHORT) as gateway:
        with gateway.connect() as waiting:
            waiting.sendall(CONNECT)
            assert slow.begun.wait(PATIENCE)
            assert read_all(waiting) == b""
        slow.may_end.set()
        eventually(lambda: len(gateway.server.server_state.tasks) == 0)


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


@pytest.mark.parametrize("begin", SLOW)
def test_a_client_that_does_not_finish_its_head_is_closed(
    hasty: Gateway, authority: CertificateAuthority, begin: Begin
) -> None:
    start = time.monotonic()
    with begin(hasty, authority) as client:
        assert read_all(client) == b""
        # uvicorn itself would close a connection that is kept alive after 5 seconds
        assert SHORT.head_seconds * 0.9 < time.monotonic() - start < 4
        eventually(lambda: hasty.connections() == 0)


def test_a_head_that_comes_drop_by_drop_does_not_buy_time(hasty: Gateway) -> None:
    start = time.monotonic()
    with hasty.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(GET[:-2])
        while time.monotonic() - start < PATIENCE:
            client.sendall(b"A: b\r\n")
            time.sleep(0.02)
    assert time.monotonic() - start < 4


def test_a_body_may_take_longer_than_a_head(hasty: Gateway) -> None:
    with hasty.connect() as client:
        client.sendall(b"POST /here HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        for byte in b"slow":
            time.sleep(SHORT.head_seconds / 2)
            client.sendall(bytes([byte]))
        assert read_answer(client)[1]["body"] == "slow"


def test_an_empty_line_after_a_request_does_not_cost_its_answer(hasty: Gateway) -> None:
    with hasty.connect() as client:
        client.sendall(GET.replace(b"here", b"slow"))
        eventually(lambda: len(hasty.server.server_state.tasks) == 1)
        client.sendall(b"\r\n")
        assert read_answer(client)[1]["path"] == "/slow"


@pytest.mark.parametrize("through", ["plain", "tunnel"])
def test_a_head_that_is_too_long_is_refused(
    gateway: Gateway, authority: CertificateAuthority, through: str
) -> None:
    with gateway.connect() if through == "plain" else secure(gateway, authority) as client:
        client.sendall(GET[:-2] + b"Padding: " + b"x" * 100_000)
        assert read_answer(client) == (431, error("the head is longer than 65536 bytes"))
        assert read_all(client) == b""


def test_a_long_head_is_served(gateway: Gateway) -> None:
    with gateway.connect() as client:
        for _ in range(2):
            client.sendall(GET[:-2] + b"Padding: " + b"x" * 60_000 + b"\r\n\r\n")
            status, answer = read_answer(client)
            assert (status, len(answer["headers"]["padding"])) == (200, 60_000)


def test_a_body_is_not_bounded_like_a_head(gateway: Gateway) -> None:
    body = "x" * 1_000_000
    assert requests.post(gateway.url, data=body, timeout=PATIENCE).json()["body"] == body
    pieces = (body[:1000].encode() for _ in range(1000))
    assert requests.post(gateway.url, data=pieces, timeout=PATIENCE).json()["body"] == body


def test_what_follows_a_body_without_an_end_is_refused(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
        client.sendall(b"Trailer: x\r\n" * 20_000)
        assert read_answer(client)[0] == 431
        assert read_all(client) == b""


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://elsewhere HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
@pytest.mark.parametrize("through", ["plain", "tunnel"])
def test_a_malformed_request_is_answered_with_an_envelope(
    gateway: Gateway, authority: CertificateAuthority, head: bytes, through: str
) -> None:
    with gateway.connect() if through == "plain" else secure(gateway, authority) as client:
        client.sendall(head)
        assert read_answer(client) == (400, error("Invalid HTTP request received."))


def test_a_malformed_body_is_answered_once(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(b"POST /deaf HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        eventually(lambda: len(gateway.server.server_state.tasks) == 1)
        client.sendall(b"many\r\n")
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1") == answers.count(b"HTTP/1.1 400") == 1


def test_an_answer_that_has_begun_is_cut_by_a_malformed_body(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(b"POST /eager HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        received = b""
        while b"begun" not in received:
            received += client.recv(1000)
        client.sendall(b"many\r\n")
        assert received.endswith(b"begun\r\n")
        assert read_all(client) == b""


def test_the_answer_to_a_good_request_comes_before_a_malformed_one_closes(
    hasty: Gateway,
) -> None:
    with hasty.connect() as client:
        client.sendall(GET.replace(b"here", b"slow") + b"nonsense\r\n\r\n")
        assert read_answer(client)[1]["path"] == "/slow"
        assert read_all(client) == b""


def test_an_upgrade_is_not_taken_up(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    for protocol in (b"h2c", b"websocket"):
        with gateway.connect() as client:
            client.sendall(GET[:-2] + offer % protocol)
            assert read_answer(client)[1]["path"] == "/here"
            client.sendall(GET)
            assert read_answer(client)[1]["path"] == "/here"
    assert "WebSocket" not in caplog.text


def test_an_upgrade_with_a_body_is_refused_rather_than_the_body_lost(gateway: Gateway) -> None:
    offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
    answer = requests.post(gateway.url, data="body", headers=offer, timeout=PATIENCE)
    message = "a request that offers an upgrade is served without one, but not with a body"
    assert (answer.status_code, answer.json()) == (400, error(message))


def test_idle_connections_do_not_keep_others_from_being_served(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    with contextlib.ExitStack() as idle:
        for number in range(50):
            client = gateway.connect()
            idle.enter_context(client)
            client.sendall(CONNECT[: number % 20])
        eventually(lambda: gateway.connections() == 50)
        assert requests.get(gateway.url, timeout=PATIENCE).status_code == 200
        with secure(gateway, authority) as client:
            client.sendall(GET)
            assert read_answer(client)[0] == 200
    eventually(lambda: gateway.connections() == 0)


def test_connections_beyond_the_bound_are_closed_at_once(authority: CertificateAuthority) -> None:
    limits = Limits(most_connections=3)
    with serving(authority, limits=limits) as gateway, contextlib.ExitStack() as held:
        clients = [
            held.enter_context(gateway.connect()),
            held.enter_context(tunnel(gateway)),
            held.enter_context(secure(gateway, authority)),
        ]
        eventually(lambda: gateway.connections() == 3)
        start = time.monotonic()
        with gateway.connect() as further:
            assert read_all(further) == b""
        assert time.monotonic() - start < 1
        clients[2].sendall(GET)
        assert read_answer(clients[2])[0] == 200
        clients[0].close()
        eventually(lambda: gateway.connections() == 2)
        assert requests.get(gateway.url, timeout=PATIENCE).status_code == 200


def test_the_server_stops_with_tunnels_open(authority: CertificateAuthority) -> None:
    with serving(authority) as gateway, contextlib.ExitStack() as held:
        for begin in SLOW:
            held.enter_context(begin(gateway, authority))
        used = held.enter_context(secure(gateway, authority))
        used.sendall(GET)
        assert read_answer(used)[0] == 200
        eventually(lambda: gateway.connections() == len(SLOW) + 1)
        assert gateway.stop() < 2


def test_a_request_in_a_tunnel_is_answered_before_the_server_stops(
    authority: CertificateAuthority,
) -> None:
    with serving(authority) as gateway, secure(gateway, authority) as client:
        client.sendall(GET.replace(b"here", b"slow"))
        eventually(lambda: len(gateway.server.server_state.tasks) == 1)
        gateway.stop()
        assert read_answer(client)[1]["path"] == "/slow"


@pytest.mark.parametrize("begin", SLOW)
def test_a_client_that_goes_away_leaves_nothing_behind(
    gateway: Gateway, authority: CertificateAuthority, begin: Begin
) -> None:
    begin(gateway, authority).close()
    eventually(lambda: gateway.connections() == 0)
    eventually(lambda: len(gateway.server.server_state.tasks) == 0)


def test_a_slow_reader_gets_the_whole_of_the_last_answer(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    with secure(gateway, authority) as client:
        client.sendall(
            GET.replace(b"here", b"large").replace(b"Host", b"Connection: close\r\nHost")
        )
        answer = http.client.HTTPResponse(client)
        answer.begin()
        # longer than a server waits for the goodbye of a client that has read everything
        time.sleep(1.5)
        assert len(answer.read()) == LARGE


def test_a_port_can_speak_tls_from_the_first_byte_on(authority: CertificateAuthority) -> None:
    with serving(authority, tls_host="localhost", limits=SHORT) as gateway:
        url = f"https://localhost:{gateway.port}/here"
        answer = requests.get(url, verify=str(authority.certificate), timeout=PATIENCE).json()
        assert (answer["path"], answer["scheme"]) == ("/here", "https")
        with gateway.connect() as client:
            client.sendall(GET)
            assert b"HTTP" not in read_all(client)
        with gateway.connect() as client:
            client.sendall(b"\x16\x03\x01\x02\x00")
            start = time.monotonic()
            assert read_all(client) == b""
            assert time.monotonic() - start < 4
        eventually(lambda: gateway.connections() == 0)


def test_a_tls_port_needs_the_name_of_a_host(authority: CertificateAuthority) -> None:
    with pytest.raises(InvalidHost, match=r"'https://localhost' is neither"):
        gateway_protocol(authority, version=VERSION, tls_host="https://localhost")
