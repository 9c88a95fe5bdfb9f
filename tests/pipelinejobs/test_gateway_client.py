"""The client of the gateway, at a tenant that answers as it should not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from pipelinejobs.exceptions import CommandError, Missing, Unreachable
from pipelinejobs.gateway_client import GatewayClient
from tests.loopback import TOKEN
from tests.tenant import Answer, Tenant


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with Tenant() as tenant:
        yield tenant


@pytest.fixture
def gateway(tenant: Tenant) -> Iterator[GatewayClient]:
    gateway = GatewayClient(f"{tenant.url}/", TOKEN, "jobs manager")
    yield gateway
    gateway.close()


def test_a_message_goes_to_the_manager_with_the_token(
    tenant: Tenant, gateway: GatewayClient
) -> None:
    tenant.result = b'{"state": "RUNNING"}'
    assert gateway.send({"name": "run"}, {"event_id": "1"}) == {"state": "RUNNING"}
    (request,) = tenant.requests
    assert request.path == "/actors/v2/jobs%20manager/messages"
    assert request.query == {"event_id": "1", "_abaco_synchronous": "true"}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.body == {"name": "run"}
    assert gateway.send({"name": "run"}, wait=False) == {"execution": "execution-1"}


def test_with_a_nonce_the_token_stays_here(tenant: Tenant, gateway: GatewayClient) -> None:
    tenant.result = b"{}"
    gateway.send({}, nonce="SD2E_abc")
    (request,) = tenant.requests
    assert request.query["x-nonce"] == "SD2E_abc"
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (b'{"error": "no such job", "kind": "x"}', "no such job"),
        (b"first line\nERROR the last line\n", "ended without an answer: ERROR the last line"),
        (b"", "ended without an answer: no answer and no log"),
        (b"[1]", "is this the right actor?"),
    ],
)
def test_what_is_no_success_is_told(
    tenant: Tenant, gateway: GatewayClient, result: bytes, said: str
) -> None:
    tenant.result = result
    with pytest.raises(CommandError, match=said.replace("?", r"\?")):
        gateway.send({})


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(502, body=b"<html>"), Unreachable, "refused: HTTP status 502"),
        (503, Unreachable, "refused: as planned"),
        (401, CommandError, "does not accept the access token"),
        (400, CommandError, "refused: as planned"),
        (
            Answer(400, body=b'{"message": "Nonce does not exist."}'),
            CommandError,
            "is for another id or alias than jobs manager: use one that was made for that, or",
        ),
        (
            404,
            Missing,
            r"as planned\. Name the manager's id in _REACTOR_PIPELINES_JOB_MANAGER_ID",
        ),
        (302, CommandError, "refused: as planned"),
    ],
)
def test_a_refusal_of_the_gateway_is_told(
    tenant: Tenant,
    gateway: GatewayClient,
    answer: int | Answer,
    error: type[CommandError],
    said: str,
) -> None:
    tenant.plan(answer)
    with pytest.raises(CommandError, match=said) as caught:
        gateway.send({})
    assert type(caught.value) is error


def test_another_actor_that_is_not_there_says_nothing_of_the_manager(
    tenant: Tenant, gateway: GatewayClient
) -> None:
    tenant.plan(404)
    with pytest.raises(CommandError, match=r"refused: as planned\.?$"):
        gateway.ask("GET", "another")


def test_what_is_no_gateway_is_named(tenant: Tenant, gateway: GatewayClient) -> None:
    tenant.plan(Answer(body=b"<html>"))
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:\d+ is not an Abaco gateway"):
        gateway.send({}, wait=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", "http://[", "ftp://127.0.0.1"])
def test_an_address_where_nothing_answers_is_named(url: str) -> None:
    with (
        closing(GatewayClient(url, TOKEN, "jobs-manager")) as gateway,
        pytest.raises(Unreachable) as told,
    ):
        gateway.send({})
    assert f"the gateway at {url} does not answer" in str(told.value)
    assert "is this its address?" in str(told.value)


def test_no_proxy_sees_the_token_for_a_gateway_on_this_machine(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with closing(GatewayClient(tenant.url, TOKEN, "jobs-manager")) as gateway:
        tenant.result = b'{"state": "RUNNING"}'
        assert gateway.send({"name": "run"}) == {"state": "RUNNING"}
    assert len(tenant.requests) == 1
