from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import parse_headers

import pytest
from agavepy import agave
from requests.exceptions import ConnectionError as NotConnected
from requests.exceptions import ContentDecodingError, HTTPError, ReadTimeout, Timeout

from reactors.client import MAX_BYTES, make_client
from reactors.exceptions import SettingsError
from tests.conftest import ROOT
from tests.loopback import TOKEN
from tests.reactors.conftest import MakeReactor
from tests.tenant import Answer, Tenant

HISTORY = [
    {"created": "2026-01-02T03:04:05.000Z", "status": "RUNNING", "description": "it runs"},
    {"created": "2026-01-02T03:05:05.000Z", "status": "FINISHED", "description": "it is done"},
]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_the_access_token_arrives_over_plain_http_at_a_port(tenant: Tenant, host: str) -> None:
    server = tenant.url.replace("127.0.0.1", host)
    client = make_client({**tenant.environ, "_abaco_api_server": server})
    reply = client.actors.sendMessage(actorId="other", body={"message": "hello"})
    assert reply["executionId"] == "execution-1"
    (request,) = tenant.requests
    assert (request.method, request.path) == ("POST", "/actors/v2/other/messages")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {"message": "hello"}
    assert "x-nonce" not in request.query


def test_a_slash_after_the_server_does_not_matter(tenant: Tenant) -> None:
    client = make_client({**tenant.environ, "_abaco_api_server": tenant.url + "/"})
    client.actors.sendMessage(actorId="other", body={"message": "hello"})
    assert tenant.requests[0].path == "/actors/v2/other/messages"


def test_the_history_of_a_job_is_read(tenant: Tenant) -> None:
    tenant.history = HISTORY
    entries = make_client(tenant.environ).jobs.getHistory(jobId="1-007")
    assert [entry["description"] for entry in entries] == ["it runs", "it is done"]
    assert tenant.requests[0].path == "/jobs/v2/1-007/history"
    assert tenant.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_client_with_nonces_sends_them_and_no_token(tenant: Tenant) -> None:
    client = make_client(tenant.environ, use_nonce=True)
    for nonce in ("nonce-1", "nonce-2"):
        client.actors.sendMessage(actorId="other", body={"message": "x"}, nonce=nonce)
    assert [request.query["x-nonce"] for request in tenant.requests] == ["nonce-1", "nonce-2"]
    assert all("authorization" not in request.headers for request in tenant.requests)


def test_a_client_with_nonces_needs_no_access_token(tenant: Tenant) -> None:
    client = make_client({"_abaco_api_server": tenant.url}, use_nonce=True)
    client.actors.sendMessage(actorId="other", body={"message": "x"}, nonce="nonce-1")
    assert len(tenant.messages) == 1


def test_clients_of_one_process_keep_their_own_tokens(tenant: Tenant) -> None:
    tokens = ("token-one", "token-two")
    clients = [make_client({**tenant.environ, "_abaco_access_token": token}) for token in tokens]
    for client in reversed(clients):
        client.actors.sendMessage(actorId="other", body={"message": "x"})
    assert [request.headers["authorization"] for request in tenant.requests] == [
        "Bearer token-two",
        "Bearer token-one",
    ]


def test_further_clients_of_a_server_do_not_make_its_description_again(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_client(tenant.environ)
    made: list[str] = []
    monkeypatch.setattr(agave, "load_resource", made.append)
    client = make_client({**tenant.environ, "_abaco_access_token": "token-two"})
    client.actors.sendMessage(actorId="other", body={"message": "x"})
    assert made == []
    assert tenant.requests[0].headers["authorization"] == "Bearer token-two"


def test_a_server_that_does_not_answer_is_given_up(tenant: Tenant) -> None:
    tenant.plan(Answer(delay=60))
    client = make_client(tenant.environ, timeout=0.3)
    start = time.monotonic()
    with pytest.raises(Timeout):
        client.jobs.getHistory(jobId="1-007")
    assert 0.25 < time.monotonic() - start < 30


def test_a_server_that_answers_late_but_in_time_is_heard(tenant: Tenant) -> None:
    tenant.plan(Answer(delay=0.2))
    tenant.history = HISTORY
    assert len(make_client(tenant.environ, timeout=60).jobs.getHistory(jobId="1-007")) == 2


def test_an_error_status_is_raised_with_its_number(tenant: Tenant) -> None:
    tenant.plan(503)
    with pytest.raises(HTTPError) as caught:
        make_client(tenant.environ).jobs.getHistory(jobId="1-007")
    assert caught.value.response is not None
    assert caught.value.response.status_code == 503


def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    with Tenant() as gone:
        client = make_client(gone.environ)
    with pytest.raises(NotConnected):
        client.jobs.getHistory(jobId="1-007")


def test_a_proxy_is_not_asked_for_a_server_that_needs_none(tenant: Tenant) -> None:
    code = (
        "import sys; from reactors.client import make_client\n"
        "client = make_client({'_abaco_api_server': sys.argv[1], '_abaco_access_token': 'x'})\n"
        "print(client.actors.sendMessage(actorId='other', body={})['executionId'])"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, tenant.url],
        cwd=ROOT,
        env={"http_proxy": "http://127.0.0.1:9", "no_proxy": "localhost,127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert child.stdout == "execution-1\n", child.stderr.splitlines()[-1]


# What is missing


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_access_token_says_what_to_do(tenant: Tenant, token: str | None) -> None:
    environ = {"_abaco_api_server": tenant.url}
    if token is not None:
        environ["_abaco_access_token"] = token
    with pytest.raises(SettingsError, match=r"create the actor with .*token"):
        make_client(environ)


@pytest.mark.parametrize("server", [None, ""])
def test_a_missing_server_is_named(server: str | None) -> None:
    environ = {"_abaco_access_token": TOKEN}
    if server is not None:
        environ["_abaco_api_server"] = server
    with pytest.raises(SettingsError, match="_abaco_api_server"):
        make_client(environ)


def test_a_missing_agavepy_says_what_to_do(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agavepy", None)
    with pytest.raises(SettingsError, match="pip install agavepy"):
        make_client(tenant.environ)


# The client of a Reactor


def test_a_reactor_has_one_client_for_its_tenant(tenant: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(tenant.environ)
    rx.client.actors.sendMessage(actorId="other", body={"message": "x"})
    assert rx.client is rx.client
    assert tenant.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_reactor_without_a_token_says_what_to_do(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor({"_abaco_api_server": tenant.url})
    with pytest.raises(SettingsError, match=r"create the actor with .*token"):
        _ = rx.client


# Answers that do not end


@contextlib.contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer one request in a way that no decent server does; give the URL."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as request, contextlib.suppress(OSError):
            # what is left unread would reset the connection when it is closed
            request.readline()
            request.read(int(parse_headers(request)["Content-Length"] or 0))
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_an_answer_that_comes_by_the_byte_is_given_up() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1_000):
            connection.sendall(b" ")
            time.sleep(0.06)

    with raw_server(drip) as url:
        client = make_client({"_abaco_api_server": url, "_abaco_access_token": TOKEN}, timeout=0.3)
        begin = time.monotonic()
        with pytest.raises(ReadTimeout):
            client.actors.sendMessage(actorId="other", body={})
        assert time.monotonic() - begin < 30


def test_an_answer_without_end_is_given_up() -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" " * 65536)
            sent += 65536

    with raw_server(pour) as url:
        client = make_client({"_abaco_api_server": url, "_abaco_access_token": TOKEN})
        with pytest.raises(ContentDecodingError):
            client.actors.sendMessage(actorId="other", body={})
    assert sent < 4 * MAX_BYTES


def test_an_answer_in_chunks_is_read_whole() -> None:
    body = b'{"result": {"executionId": "e-1"}, "status": "success", "version": ":dev"}'

    def chunks(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for position in range(0, len(body), 7):
            part = body[position : position + 7]
            connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    with raw_server(chunks) as url:
        client = make_client({"_abaco_api_server": url, "_abaco_access_token": TOKEN})
        assert client.actors.sendMessage(actorId="other", body={})["executionId"] == "e-1"
