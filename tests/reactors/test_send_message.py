from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from reactors import sending
from reactors.exceptions import DeliveryError
from tests.loopback import TOKEN, Request
from tests.reactors.conftest import MakeReactor
from tests.tenant import Answer, Tenant

SENDER = {
    "_abaco_actor_id": "JXxQ5WbDPWpJ0",
    "_abaco_execution_id": "rG5k0xKPmMBM",
    "x_session": "brave-fox",
}
DEBUG = "logs: {level: DEBUG}"


def parameters(request: Request) -> dict[str, str]:
    """The URL parameters without the one that agavepy adds to what it was given."""
    return {name: value for name, value in request.query.items() if name != "environment"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the sender would have slept, each time."""
    slept: list[float] = []
    # not time.sleep itself, which the threads of a database driver use as well
    monkeypatch.setattr(sending, "time", SimpleNamespace(sleep=slept.append))
    return slept


# What is sent


@pytest.mark.parametrize(
    "message",
    [
        {"uuid": "107", "name": "run", "data": {"a": [None, True, 1.5]}},
        {"note": 'Grüße 🌮 "quoted"'},
        ["a", 1],
        "a text",
        {},
    ],
)
def test_the_message_is_posted_to_the_actor(
    tenant: Tenant, make_reactor: MakeReactor, message: Any
) -> None:
    rx, stream = make_reactor(tenant.environ)
    assert rx.send_message("events-manager", message) == "execution-1"
    (request,) = tenant.requests
    assert (request.method, request.path) == ("POST", "/actors/v2/events-manager/messages")
    assert request.body == {"message": message}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert stream.getvalue() == ""


def test_each_message_gets_its_own_execution(tenant: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(tenant.environ)
    assert [rx.send_message(name, "x") for name in ("a", "b", "a")] == [
        "execution-1",
        "execution-2",
        "execution-3",
    ]
    assert [request.path.split("/")[3] for request in tenant.messages] == ["a", "b", "a"]


def test_the_url_says_where_the_message_is_from(tenant: Tenant, make_reactor: MakeReactor) -> None:
    callback = {"appId": "tacos-1.0", "id": "1-007", "event": "run", "uuid": "107-of-the-job"}
    rx, _ = make_reactor({**tenant.environ, **SENDER, **callback})
    rx.send_message("other", "x")
    assert parameters(tenant.requests[0]) == {
        "x_src_actor_id": "JXxQ5WbDPWpJ0",
        "x_src_execution_id": "rG5k0xKPmMBM",
        "x_src_app_id": "tacos-1.0",
        "x_src_job_id": "1-007",
        "x_src_event": "run",
        "x_src_uuid": "107-of-the-job",
        "x_session": "brave-fox",
    }


def test_a_local_run_tells_its_nickname_as_session(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor(tenant.environ)
    rx.send_message("other", "x")
    assert parameters(tenant.requests[0]) == {"x_session": rx.nickname}


def test_nothing_says_where_a_message_is_from_if_it_is_not_wanted(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor({**tenant.environ, **SENDER})
    rx.send_message("other", "x", senderTags=False)
    assert parameters(tenant.requests[0]) == {}


def test_the_callers_parameters_are_sent_and_win(tenant: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({**tenant.environ, **SENDER})
    given = {"note": "a&b=c Grüße/%", "x_session": "calm-cat"}
    rx.send_message("other", "x", given)
    assert parameters(tenant.requests[0]) == {
        "x_src_actor_id": "JXxQ5WbDPWpJ0",
        "x_src_execution_id": "rG5k0xKPmMBM",
        **given,
    }
    assert given == {"note": "a&b=c Grüße/%", "x_session": "calm-cat"}


# Synchronous


def test_a_synchronous_message_says_so(tenant: Tenant, make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(tenant.environ)
    rx.send_message("other", "x", sync=True, retryMaxAttempts=1)
    rx.send_message("other", "x", sync=False)
    assert [request.query.get("_abaco_synchronous") for request in tenant.requests] == [
        "true",
        None,
    ]


@pytest.mark.parametrize(
    "result", [b"what the other actor has sent", b"", b"\xff\x00", b'{"a": 1}']
)
def test_a_synchronous_message_is_delivered_once(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float], result: bytes
) -> None:
    tenant.result = result
    rx, stream = make_reactor(tenant.environ)
    rx.send_message("other", "x", sync=True, ignoreErrors=False)
    assert len(tenant.messages) == 1
    assert pauses == []
    assert stream.getvalue() == ""


@pytest.mark.parametrize("server", ["http://127.0.0.1:99999", "http://a b"])
def test_a_synchronous_message_that_cannot_be_sent_is_a_failure(
    make_reactor: MakeReactor, pauses: list[float], server: str
) -> None:
    rx, _ = make_reactor({"_abaco_api_server": server, "_abaco_access_token": TOKEN})
    for sync in (False, True):
        with pytest.raises(DeliveryError, match="other was not delivered"):
            rx.send_message("other", "x", sync=sync, ignoreErrors=False)


# Attempts


@pytest.mark.parametrize(
    "problems",
    [
        (500,),
        (429,),
        (500, 429, 502, 503),
        (Answer(500, body=b"<html>gateway</html>"),),
        (Answer(200, body=b"<html>please log in</html>"),),
    ],
)
def test_a_message_is_tried_again_until_it_is_delivered(
    tenant: Tenant,
    make_reactor: MakeReactor,
    pauses: list[float],
    problems: tuple[int | Answer, ...],
) -> None:
    tenant.plan(*problems)
    rx, stream = make_reactor(tenant.environ)
    assert rx.send_message("other", {"a": 1}, ignoreErrors=False) == "execution-1"
    assert len(tenant.messages) == len(problems) + 1
    assert len(pauses) == len(problems)
    assert all(request.body == {"message": {"a": 1}} for request in tenant.messages)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("attempts", "requests"), [(1, 1), (3, 3), (5, 5), (0, 1)])
def test_it_gives_up_after_the_last_attempt(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float], attempts: int, requests: int
) -> None:
    tenant.plan(*[500] * 10)
    rx, _ = make_reactor(tenant.environ)
    with pytest.raises(DeliveryError, match="other was not delivered: HTTP status 500"):
        rx.send_message("other", "x", ignoreErrors=False, retryMaxAttempts=attempts)
    assert len(tenant.messages) == requests
    assert len(pauses) == requests - 1


def test_by_default_there_are_five_attempts_in_growing_distances(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(*[500] * 10)
    rx, _ = make_reactor(tenant.environ)
    assert rx.send_message("other", "x") is None
    assert len(tenant.messages) == 5
    for pause, longest in zip(pauses, (1, 2, 4, 8), strict=True):
        assert longest / 2 <= pause <= longest


def test_the_distances_vary_from_sender_to_sender(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(*[500] * 10)
    rx, _ = make_reactor(tenant.environ)
    for _ in range(5):
        rx.send_message("other", "x", retryMaxAttempts=2, retryDelay=4)
    assert all(2 <= pause <= 4 for pause in pauses)
    assert len(set(pauses)) == 5


def test_no_distance_is_longer_than_half_a_minute(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(*[500] * 10)
    rx, _ = make_reactor(tenant.environ)
    rx.send_message("other", "x", retryMaxAttempts=8, retryDelay=10)
    assert len(pauses) == 7
    assert 15 <= max(pauses) <= 30


def test_the_pause_before_a_further_attempt_is_real(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    tenant.plan(500, 500)
    rx, _ = make_reactor(tenant.environ)
    start = time.monotonic()
    assert rx.send_message("other", "x", retryDelay=0.1) == "execution-1"
    assert time.monotonic() - start >= 0.15


# Failure


def test_an_actor_that_does_not_exist_ends_it_at_once(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(404)
    rx, _ = make_reactor(tenant.environ)
    with pytest.raises(DeliveryError, match=r"the message to actor other .* HTTP status 404"):
        rx.send_message("other", "x", ignoreErrors=False)
    assert len(tenant.messages) == 1
    assert pauses == []


def test_an_ignored_failure_is_one_line_in_the_log_and_none(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(*[429] * 5)
    rx, stream = make_reactor(tenant.environ)
    assert rx.send_message("other", "x") is None
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("ERROR the message to actor other was not delivered: HTTP status 429")


def test_a_tenant_that_is_not_there_is_a_failure(
    make_reactor: MakeReactor, pauses: list[float]
) -> None:
    with Tenant() as gone:
        rx, stream = make_reactor(gone.environ, DEBUG)
    with pytest.raises(DeliveryError, match="not delivered: ConnectionError"):
        rx.send_message("other", "x", ignoreErrors=False, retryMaxAttempts=3)
    assert len(pauses) == 2
    assert TOKEN not in stream.getvalue()


def test_every_attempt_is_told_when_debugging(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(500, 429)
    rx, stream = make_reactor(tenant.environ, DEBUG)
    rx.send_message("other", "x")
    lines = [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "DEBUG attempt 1 to message other: HTTP status 500",
        "DEBUG attempt 2 to message other: HTTP status 429",
    ]


def test_the_next_message_is_delivered_after_one_failed(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    tenant.plan(404)
    rx, _ = make_reactor(tenant.environ)
    assert [rx.send_message("other", "x") for _ in range(2)] == [None, "execution-1"]


# Credentials


def test_a_nonce_is_used_where_there_is_no_access_token(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor({"_abaco_api_server": tenant.url, **SENDER})
    sent = rx.send_message("other", "x", nonce="nonce-of-other", ignoreErrors=False)
    assert sent == "execution-1"
    (request,) = tenant.requests
    assert request.query["x-nonce"] == "nonce-of-other"
    assert request.query["x_session"] == "brave-fox"
    assert "authorization" not in request.headers


def test_a_nonce_is_not_used_where_there_is_an_access_token(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    rx, _ = make_reactor(tenant.environ)
    rx.send_message("other", "x", nonce="nonce-of-other")
    (request,) = tenant.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert "x-nonce" not in request.query


def test_the_nonce_that_came_with_the_message_is_not_passed_on(
    tenant: Tenant, make_reactor: MakeReactor
) -> None:
    environ = {**tenant.environ, "x-nonce": "nonce-of-the-sender", "token": "0123456789abcdef"}
    rx, _ = make_reactor(environ)
    rx.send_message("other", "x")
    assert "nonce-of-the-sender" not in str(tenant.requests)
    assert "0123456789abcdef" not in str(tenant.requests)


def test_without_token_and_nonce_nothing_is_tried_and_the_error_says_what_to_do(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float]
) -> None:
    rx, stream = make_reactor({"_abaco_api_server": tenant.url})
    with pytest.raises(DeliveryError, match=r"create the actor with .*token") as caught:
        rx.send_message("other", "x", ignoreErrors=False)
    assert rx.send_message("other", "x") is None
    assert f"ERROR {caught.value}\n" in stream.getvalue()
    assert (tenant.requests, pauses) == ([], [])


@pytest.mark.parametrize("status", [401, 500, 404])
def test_no_credential_is_in_the_log_of_a_failure(
    tenant: Tenant, make_reactor: MakeReactor, pauses: list[float], status: int
) -> None:
    tenant.plan(*[status] * 10)
    rx, stream = make_reactor({"_abaco_api_server": tenant.url}, DEBUG)
    rx.send_message("other", {"token": "feedbeef01"}, nonce="nonce-of-other")
    rx, stream_with_token = make_reactor(tenant.environ, DEBUG)
    rx.send_message("other", {"token": "feedbeef01"})
    log = stream.getvalue() + stream_with_token.getvalue()
    assert log.count("not delivered") == 2
    for secret in ("nonce-of-other", "feedbeef01", TOKEN):
        assert secret not in log
