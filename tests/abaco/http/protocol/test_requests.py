from __future__ import annotations

import json
from asyncio.base_events import BaseEventLoop
from asyncio.selector_events import (  # type: ignore[attr-defined]  # what is written is counted
    _SelectorSocketTransport,
)
from typing import Any

import pytest
import requests

from abaco.certificates import CertificateAuthority
from tests.abaco.http.protocol.serving import (
    GET,
    PATIENCE,
    Gateway,
    error,
    read_all,
    read_answer,
    secure,
)
from tests.abaco.running import eventually


def test_plain_http_is_served_and_the_connection_kept(gateway: Gateway) -> None:
    with gateway.connect() as client:
        for _ in range(2):
            client.sendall(GET)
            status, answer = read_answer(client)
            assert (status, answer["path"], answer["scheme"]) == (200, "/here", "http")


def test_an_answer_is_sent_in_one_piece(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    write, pieces = _SelectorSocketTransport.write, []

    def note(transport: Any, data: bytes) -> None:
        pieces.append(bytes(data))
        write(transport, data)

    monkeypatch.setattr(_SelectorSocketTransport, "write", note)
    with gateway.connect() as client:
        client.sendall(GET)
        assert read_answer(client)[0] == 200
    # at the end of a body nothing may be written
    (piece,) = filter(None, pieces)
    head, _, body = piece.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body)["path"] == "/here"


def test_a_head_does_not_wait_for_a_body_that_takes_long(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(GET.replace(b"here", b"announced"))
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        gateway.release.set()
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += client.recv(1000)
        assert b"late" in received


def test_a_request_that_comes_whole_is_not_timed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_later, timed = BaseEventLoop.call_later, []

    def note(loop: Any, delay: float, callback: Any, *args: Any) -> Any:
        timed.append(callback.__name__)
        return call_later(loop, delay, callback, *args)

    with gateway.connect() as client:
        client.sendall(GET)
        read_answer(client)
        monkeypatch.setattr(BaseEventLoop, "call_later", note)
        client.sendall(GET)
        read_answer(client)
        eventually(lambda: "timeout_keep_alive_handler" in timed)
        assert "_head_is_late" not in timed


_ASKS = b"Host: x\r\nExpect: 100-continue\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("through", ["plain", "tunnel"])
@pytest.mark.parametrize(
    ("length", "body"),
    [(b"Content-Length: 5", b"tacos"), (b"Transfer-Encoding: chunked", b"5\r\ntacos\r\n0\r\n\r\n")],
)
def test_who_asks_whether_to_send_a_body_is_told_to(
    gateway: Gateway, authority: CertificateAuthority, through: str, length: bytes, body: bytes
) -> None:
    head = b"POST /here HTTP/1.1\r\n" + _ASKS + length + b"\r\n\r\n"
    with gateway.connect() if through == "plain" else secure(gateway, authority) as client:
        for _ in range(2):
            client.sendall(head)
            assert client.recv(len(_CONTINUE)) == _CONTINUE
            client.sendall(body)
            status, answer = read_answer(client)
            assert (status, answer["body"]) == (200, "tacos")


def test_a_body_that_comes_without_waiting_for_the_word_is_read(gateway: Gateway) -> None:
    request = b"POST /here HTTP/1.1\r\n" + _ASKS + b"Content-Length: 5\r\n\r\ntacos"
    last = request.replace(b"Host", b"Connection: close\r\nHost")
    with gateway.connect() as client:
        client.sendall(request + last)
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == answers.count(b'"tacos"') == 2


def test_requests_that_were_sent_ahead_are_answered_in_turn(gateway: Gateway) -> None:
    with gateway.connect() as client:
        last = GET.replace(b"here", b"there").replace(b"Host", b"Connection: close\r\nHost")
        client.sendall(GET + last)
        answers = read_all(client)
    assert answers.index(b'"/here"') < answers.index(b'"/there"')


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
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        )
        client.sendall(b"Trailer: x\r\n" * 20_000)
        assert read_answer(client)[0] == 431
        assert read_all(client) == b""


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
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
        client.sendall(
            b"POST /deaf HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        )
        eventually(lambda: len(gateway.server.server_state.tasks) == 1)
        client.sendall(b"many\r\n")
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1") == answers.count(b"HTTP/1.1 400") == 1


def test_an_answer_that_has_begun_is_cut_by_a_malformed_body(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(b"POST /eager HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
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
