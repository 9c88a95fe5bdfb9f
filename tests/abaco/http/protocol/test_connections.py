from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable

import pytest
import requests

from abaco.certificates import CertificateAuthority
from abaco.http.protocol import Limits
from tests.abaco.http.protocol.serving import (
    CONNECT,
    GET,
    LARGE,
    LONG,
    PATIENCE,
    SHORT,
    SLOW,
    Begin,
    Gateway,
    read_all,
    read_answer,
    secure,
    serving,
    tunnel,
)
from tests.abaco.running import eventually


@pytest.mark.parametrize("begin", SLOW)
def test_a_client_that_does_not_finish_its_head_is_closed(
    hasty: Gateway, authority: CertificateAuthority, begin: Begin
) -> None:
    start = time.monotonic()
    with begin(hasty, authority) as client:
        assert read_all(client) == b""
        assert time.monotonic() - start > SHORT.head_seconds * 0.9
        eventually(lambda: hasty.connections() == 0)


def test_a_head_that_comes_drop_by_drop_does_not_buy_time(hasty: Gateway) -> None:
    start = time.monotonic()
    with hasty.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(GET[:-2])
        while time.monotonic() - start < PATIENCE:
            client.sendall(b"A: b\r\n")
            time.sleep(0.02)
    assert time.monotonic() - start < PATIENCE


def test_a_body_may_take_longer_than_a_head(hasty: Gateway) -> None:
    with hasty.connect() as client:
        client.sendall(b"POST /here HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        for byte in b"slow":
            time.sleep(SHORT.head_seconds / 2)
            client.sendall(bytes([byte]))
        assert read_answer(client)[1]["body"] == "slow"


def test_who_is_answered_before_the_body_and_then_silent_is_closed(hasty: Gateway) -> None:
    with hasty.connect() as client:
        client.sendall(b"POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert read_answer(client)[0] == 200
        client.sendall(b"bc")
        assert read_all(client) == b""


def test_an_empty_line_after_a_request_does_not_cost_its_answer(hasty: Gateway) -> None:
    with hasty.connect() as client:
        client.sendall(GET.replace(b"here", b"held"))
        eventually(lambda: len(hasty.server.server_state.tasks) == 1)
        client.sendall(b"\r\n")
        hasty.release.set()
        assert read_answer(client)[1]["path"] == "/held"


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


def asked(client: socket.socket, path: bytes = b"here") -> str:
    """Send a request and return the path that was answered; empty where the connection is closed."""
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        client.sendall(GET.replace(b"here", path))
        status, answer = read_answer(client)
        assert status == 200
        return str(answer["path"])
    return ""


def test_the_connection_that_waits_longest_makes_room_for_a_further_one(
    authority: CertificateAuthority,
) -> None:
    limits = Limits(most_connections=3)
    with serving(authority, limits=limits) as gateway, contextlib.ExitStack() as held:
        idle = held.enter_context(gateway.connect())
        handshake = held.enter_context(tunnel(gateway))
        used = held.enter_context(secure(gateway, authority))
        eventually(lambda: gateway.connections() == 3)
        for first in (idle, handshake):
            with gateway.connect() as further:
                assert read_all(first) == b""
                assert asked(further) == "/here"
            eventually(lambda: gateway.connections() == 2)
            held.enter_context(gateway.connect())
            eventually(lambda: gateway.connections() == 3)
        assert asked(used) == "/here"


def test_a_connection_that_is_being_answered_makes_no_room(
    authority: CertificateAuthority,
) -> None:
    limits = Limits(most_connections=2)
    with serving(authority, limits=limits) as gateway, contextlib.ExitStack() as held:
        busy = [held.enter_context(gateway.connect()) for _ in range(2)]
        for client in busy:
            client.sendall(GET.replace(b"here", b"held"))
        eventually(lambda: len(gateway.server.server_state.tasks) == 2)
        with gateway.connect() as further:
            assert read_all(further) == b""
        gateway.release.set()
        assert [read_answer(client)[0] for client in busy] == [200, 200]
        assert asked(held.enter_context(gateway.connect())) == "/here"


def half_a_body(gateway: Gateway) -> socket.socket:
    client = gateway.connect()
    client.sendall(b"POST /here HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
    return client


def an_answer_that_nobody_takes(gateway: Gateway) -> socket.socket:
    client = gateway.connect()
    client.sendall(GET.replace(b"here", b"large"))
    return client


@pytest.mark.parametrize("begin", [half_a_body, an_answer_that_nobody_takes])
def test_who_keeps_the_gateway_waiting_makes_room(
    authority: CertificateAuthority, begin: Callable[[Gateway], socket.socket]
) -> None:
    limits = Limits(most_connections=2)
    with serving(authority, limits=limits) as gateway, contextlib.ExitStack() as held:
        for _ in range(2):
            held.enter_context(begin(gateway))
        eventually(lambda: len(gateway.server.server_state.tasks) == 2)
        # until as much of the answer is on its way as the system takes
        eventually(lambda: asked(held.enter_context(gateway.connect())) == "/here")


def test_a_thousand_idle_connections_keep_nobody_out(authority: CertificateAuthority) -> None:
    with serving(authority, limits=LONG) as gateway, contextlib.ExitStack() as held:
        for number in range(1, 1101):
            held.enter_context(gateway.connect())
            if number % 50 == 0:
                assert requests.get(f"{gateway.url}/here", timeout=PATIENCE).status_code == 200
        assert gateway.connections() <= 1000


def test_an_address_of_another_machine_gets_a_share(authority: CertificateAuthority) -> None:
    limits = Limits(most_connections=8)
    with serving(authority, limits=limits) as gateway, contextlib.ExitStack() as held:
        honest = held.enter_context(gateway.connect("127.0.0.3"))
        assert asked(honest) == "/here"
        clients = [held.enter_context(gateway.connect("127.0.0.2")) for _ in range(20)]
        assert read_all(clients[17]) == b""
        eventually(lambda: gateway.connections() == 3)
        assert [asked(client) for client in (*clients[-2:], honest)] == ["/here"] * 3
        for client in clients[-2:]:
            client.sendall(GET.replace(b"here", b"held"))
        eventually(lambda: len(gateway.server.server_state.tasks) == 2)
        # it has no connection that could make room
        with gateway.connect("127.0.0.2") as further:
            assert read_all(further) == b""
        assert asked(held.enter_context(gateway.connect("127.0.0.4"))) == "/here"


def test_who_has_more_makes_room_for_who_has_less(authority: CertificateAuthority) -> None:
    limits = Limits(most_connections=8)
    with serving(authority, limits=limits) as gateway, contextlib.ExitStack() as held:
        few = [held.enter_context(gateway.connect("127.0.0.2"))]
        many = [held.enter_context(gateway.connect()) for _ in range(7)]
        eventually(lambda: gateway.connections() == 8)
        few.append(held.enter_context(gateway.connect("127.0.0.3")))
        assert read_all(many[0]) == b""
        assert [asked(client) for client in (*few, *many[1:])] == ["/here"] * 8


def test_the_server_stops_with_tunnels_open(authority: CertificateAuthority) -> None:
    with serving(authority, limits=LONG) as gateway, contextlib.ExitStack() as held:
        for begin in SLOW:
            held.enter_context(begin(gateway, authority))
        used = held.enter_context(secure(gateway, authority))
        used.sendall(GET)
        assert read_answer(used)[0] == 200
        eventually(lambda: gateway.connections() == len(SLOW) + 1)
        gateway.stop()


def test_a_request_in_a_tunnel_is_answered_before_the_server_stops(
    authority: CertificateAuthority,
) -> None:
    with serving(authority) as gateway, secure(gateway, authority) as client:
        client.sendall(GET.replace(b"here", b"held"))
        eventually(lambda: len(gateway.server.server_state.tasks) == 1)
        gateway.server.should_exit = True
        eventually(lambda: not any(each.is_serving() for each in gateway.server.servers))
        gateway.release.set()
        gateway.stop()
        assert read_answer(client)[1]["path"] == "/held"


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
