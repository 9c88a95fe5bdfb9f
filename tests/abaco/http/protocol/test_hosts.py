from __future__ import annotations

from pathlib import Path

import pytest

from abaco.certificates import CertificateAuthority
from abaco.http.hosts import names_of
from abaco.settings import load
from tests.abaco.http.protocol.serving import HOST, Gateway, error, read_all, read_answer, secure


def request(*hosts: str, target: str = "/here", version: str = "1.1", more: str = "") -> bytes:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    return f"GET {target} HTTP/{version}\r\n{lines}{more}\r\n".encode("latin-1")


@pytest.mark.parametrize(
    "host",
    ["x", "X.", "x:1", "localhost:8000", "127.0.0.1", "127.0.0.1:65535"],
)
def test_a_name_of_the_gateway_is_served_at_any_port(gateway: Gateway, host: str) -> None:
    with gateway.connect() as client:
        for target in ("/here", f"http://{host}/here"):
            client.sendall(request(host, target=target))
            assert read_answer(client)[1]["path"] == "/here"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("example.org", "example.org"),
        ("Example.org:80", "example.org"),
        ("x.example.org", "x.example.org"),
        ("127.0.0.1.example.org", "127.0.0.1.example.org"),
        ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - asked for, not bound
        ("127.0.0.2", "127.0.0.2"),
        ("[::1]", "::1"),
        ("127.1", "127.1"),
        ("2130706433", "2130706433"),
        ("", ""),
    ],
)
def test_another_name_is_misdirected(gateway: Gateway, host: str, shown: str) -> None:
    text = error(f"this gateway is not known by the name {shown}: see hosts in its settings")
    with gateway.connect() as client:
        client.sendall(request(host))
        assert read_answer(client) == (421, text)
        assert read_all(client) == b""


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (request(), "a request of HTTP/1.1 needs a Host header"),
        (request("x", "x"), "a request has one Host header, not several"),
        (request("x", "y", version="1.0"), "a request has one Host header, not several"),
        (request("x/y"), "the Host header is not HOST or HOST:PORT"),
        (request("ada@x"), "the Host header is not HOST or HOST:PORT"),
        (request("x, y"), "the Host header is not HOST or HOST:PORT"),
        (request("x:99999"), "the Host header is not HOST or HOST:PORT"),
        (request("x:0x1"), "the Host header is not HOST or HOST:PORT"),
        (request("\xff"), "the Host header is not HOST or HOST:PORT"),
        (
            request("x", target="http://example.org/here"),
            "the Host header and the target of the request name different hosts",
        ),
        (
            request("x", target="http://ada@x/here"),
            "the Host header and the target of the request name different hosts",
        ),
        (
            request("x", version="1.0", more="Transfer-Encoding: chunked\r\n"),
            "Transfer-Encoding is of HTTP/1.1",
        ),
        (
            request("x", more="Transfer-Encoding: gzip, chunked\r\n"),
            "the only Transfer-Encoding that is understood is chunked",
        ),
    ],
)
def test_what_is_not_clear_is_refused(gateway: Gateway, raw: bytes, text: str) -> None:
    with gateway.connect() as client:
        client.sendall(raw)
        assert read_answer(client) == (400, error(text))
        assert read_all(client) == b""


@pytest.mark.parametrize(
    "more",
    [
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "A: b\r\n c\r\n",
        "A : b\r\n",
        "A: b\rc\r\n",
    ],
)
def test_what_two_servers_could_read_differently_is_refused(gateway: Gateway, more: str) -> None:
    with gateway.connect() as client:
        client.sendall(request("x", more=more))
        assert read_answer(client)[0] == 400


def test_http_1_0_needs_no_host(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request(version="1.0"))
        assert read_answer(client)[1]["path"] == "/here"


def test_a_tunnel_has_the_name_that_it_was_asked_for(
    gateway: Gateway, authority: CertificateAuthority
) -> None:
    for host, status in ((HOST, 200), (f"{HOST}:443", 200), ("x", 200), ("example.org", 421)):
        with secure(gateway, authority) as client:
            client.sendall(request(host))
            assert read_answer(client)[0] == status
    with gateway.connect() as client:
        client.sendall(request(HOST))
        assert read_answer(client)[0] == 421


def test_the_names_are_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "abaco.yml"
    here = {"localhost", "127.0.0.1", "::1"}
    assert names_of(load(file)) == here
    file.write_text(
        "host: 192.0.2.1\nhosts: [Gateway.lan., 2001:DB8::0]\npublic_url: https://one.example.org:8443\n"
        "tenants: {SD2E: {public_url: 'http://two.example.org'}, TACC: }\n"
    )
    more = {"192.0.2.1", "gateway.lan", "2001:db8::", "one.example.org", "two.example.org"}
    assert names_of(load(file)) == here | more
