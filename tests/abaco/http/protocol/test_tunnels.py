from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx
import pytest
import requests

from abaco.certificates import CertificateAuthority, InvalidHost
from abaco.http.tunnels import gateway_protocol
from tests.abaco.http.protocol.serving import (
    CONNECT,
    ESTABLISHED,
    GET,
    HOST,
    HOSTS,
    PATIENCE,
    SHORT,
    VERSION,
    Gateway,
    error,
    read_all,
    read_answer,
    secure,
    serving,
    trusting,
    tunnel,
)
from tests.abaco.running import eventually
from tests.abaco.test_certificates import of_its_own_kind


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
    eventually(lambda: f"does it trust {authority.certificate}?" in caplog.text)


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


def test_where_no_certificate_can_be_made_at_all_it_is_said_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of_its_own_kind(tmp_path / "tls", ed25519=True)
    with serving(CertificateAuthority(tmp_path / "tls")) as gateway, gateway.connect() as client:
        client.sendall(CONNECT)
        message = "no certificate could be made for api.abaco.local"
        assert read_answer(client) == (500, error(message))
    assert "ca.pem and its key make no certificate" in caplog.text


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
            assert read_all(client) == b""
        eventually(lambda: gateway.connections() == 0)


def test_a_tls_port_needs_the_name_of_a_host(authority: CertificateAuthority) -> None:
    with pytest.raises(InvalidHost, match=r"'https://localhost' is neither"):
        gateway_protocol(authority, version=VERSION, hosts=HOSTS, tls_host="https://localhost")
