from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from abaco.store.tokens import Grant
from tests.abaco.running import Client, RunningGateway


def renew(gateway: RunningGateway, grant: Grant, **changed: Any) -> httpx.Response:
    """Ask for a new token as agavepy does, but for what is changed."""
    sent = {"key": grant.client_key, "secret": grant.client_secret, **changed}
    form = {"grant_type": "refresh_token", "scope": "PRODUCTION", "refresh_token": grant.refresh}
    form = {name: sent.get(name, value) for name, value in form.items()}
    credentials = (sent["key"], sent["secret"])
    return httpx.post(f"{gateway.url}/token", data=form, auth=credentials, timeout=30)


def is_good(gateway: RunningGateway, access: str) -> bool:
    with Client(gateway.url, access) as client:
        reply = client.get("")
    assert reply.status_code in (200, 401)
    return reply.status_code == 200


def test_a_token_is_exchanged_for_a_new_one(gateway: RunningGateway) -> None:
    grant = gateway.grant("grace", lifetime=600)
    reply = renew(gateway, grant)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    renewed = reply.json()
    access, refresh = renewed.pop("access_token"), renewed.pop("refresh_token")
    assert renewed == {"expires_in": 600, "token_type": "bearer", "scope": "PRODUCTION"}
    assert len({access, refresh, grant.access, grant.refresh}) == 4
    with Client(gateway.url, access) as client:
        profile = client.result("GET", f"{gateway.url}/profiles/v2/me")
    assert profile["username"] == "grace"
    assert not is_good(gateway, grant.access)


def test_a_refresh_token_is_good_once(gateway: RunningGateway) -> None:
    grant = gateway.grant()
    second = renew(gateway, grant).json()
    assert renew(gateway, grant).status_code == 401
    assert is_good(gateway, second["access_token"])
    third = renew(gateway, grant, refresh_token=second["refresh_token"]).json()
    assert is_good(gateway, third["access_token"])
    assert not is_good(gateway, second["access_token"])


def test_one_of_many_at_once_gets_the_new_token(gateway: RunningGateway) -> None:
    grant = gateway.grant()
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: renew(gateway, grant), range(16)))
    assert sorted(reply.status_code for reply in replies) == [200] + [401] * 15


def test_a_token_that_has_expired_can_be_renewed(gateway: RunningGateway) -> None:
    grant = gateway.grant(lifetime=-1)
    assert not is_good(gateway, grant.access)
    assert renew(gateway, grant).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"secret": "wrong"},
        {"secret": ""},
        {"secret": "ä"},
        {"key": "wrong"},
        {"refresh_token": "wrong"},
        {"refresh_token": ""},
    ],
    ids=str,
)
def test_what_does_not_hold_is_refused_and_costs_nothing(
    gateway: RunningGateway, changed: dict[str, str]
) -> None:
    grant = gateway.grant()
    reply = renew(gateway, grant, **changed)
    assert reply.status_code == 401
    assert reply.json()["fault"]["message"] == "Invalid Credentials"
    assert is_good(gateway, grant.access)
    assert renew(gateway, grant).status_code == 200


def test_the_credentials_of_another_client_do_not_help(gateway: RunningGateway) -> None:
    mine, other = gateway.grant("ada"), gateway.grant("bob")
    reply = renew(gateway, other, key=mine.client_key, secret=mine.client_secret)
    assert reply.status_code == 401
    assert renew(gateway, mine, refresh_token=mine.access).status_code == 401


def test_a_token_that_was_revoked_cannot_be_renewed(gateway: RunningGateway) -> None:
    grant = gateway.grant()
    gateway.call("token", "revoke", grant.id)
    assert renew(gateway, grant).status_code == 401


@pytest.mark.parametrize(
    "header", [None, "Bearer x", "Basic", "Basic !", "Basic YQ==", "Basic /w=="]
)
def test_the_client_must_say_who_it_is(gateway: RunningGateway, header: str | None) -> None:
    grant = gateway.grant()
    headers = {} if header is None else {"Authorization": header}
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh}
    reply = httpx.post(f"{gateway.url}/token", data=form, headers=headers, timeout=30)
    assert reply.status_code == 401
    assert "Basic authentication" in reply.json()["fault"]["description"]


def test_other_grants_are_refused(gateway: RunningGateway) -> None:
    reply = renew(gateway, gateway.grant(), grant_type="password")
    assert reply.status_code == 400
    assert reply.json()["message"] == (
        "The only grant_type is refresh_token: make tokens on the command line."
    )
    reply = httpx.post(f"{gateway.url}/token", timeout=30)
    assert reply.status_code == 400
    assert reply.json()["message"].startswith("Invalid token description: {'grant_type': ")


def test_a_profile_says_who_one_is(gateway: RunningGateway, ada: Client, stranger: Client) -> None:
    reply = ada.get(f"{gateway.url}/profiles/v2/me")
    assert reply.json()["message"] == "User details retrieved successfully."
    assert reply.json()["result"] == {
        "username": "ada",
        "email": "ada@localhost",
        "first_name": "ada",
        "last_name": "",
        "full_name": "ada",
        "_links": {"self": {"href": f"{gateway.url}/profiles/v2/ada"}},
    }
    assert ada.result("GET", f"{gateway.url}/profiles/v2/bob")["username"] == "bob"
    message = stranger.refusal("GET", f"{gateway.url}/profiles/v2/me")
    assert message == "No JWT or nonce provided."
