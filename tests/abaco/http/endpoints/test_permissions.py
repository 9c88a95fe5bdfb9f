from __future__ import annotations

import pytest

from tests.abaco.running import NOWHERE, Client


@pytest.fixture
def actor(ada: Client) -> str:
    return ada.actor(NOWHERE)


@pytest.fixture(params=["actor", "alias", "config"])
def path(request: pytest.FixtureRequest, ada: Client, actor: str) -> str:
    """Of the permissions on something that ada owns."""
    mine = f"of-{actor}"
    if request.param == "alias":
        ada.result("POST", "/aliases", json={"alias": mine, "actorId": actor})
        return f"/aliases/{mine}/permissions"
    if request.param == "config":
        ada.result("POST", "/configs", json={"name": mine, "value": "1", "actors": actor})
        return f"/configs/{mine}/permissions"
    return f"/{actor}/permissions"


def test_who_makes_something_may_do_everything_with_it(ada: Client, path: str) -> None:
    reply = ada.get(path)
    assert reply.json()["message"] == "Permissions retrieved successfully."
    assert reply.json()["result"] == {"ada": "UPDATE"}


def test_a_level_is_given_changed_and_taken_away(ada: Client, bob: Client, path: str) -> None:
    of = path.removesuffix("/permissions")
    for level in ("READ", "execute", "UPDATE", "NONE"):
        reply = ada.post(path, json={"user": "bob", "level": level})
        assert reply.json()["message"] == "Permission added successfully."
        assert reply.json()["result"] == {"ada": "UPDATE", "bob": level.upper()}
        assert ada.result("GET", path) == reply.json()["result"]
        assert bob.get(of).status_code == (400 if level == "NONE" else 200)


def test_a_user_may_give_up_the_own_level(ada: Client, admin: Client, path: str) -> None:
    ada.result("POST", path, json={"user": "ada", "level": "READ"})
    assert ada.get(path).status_code == 200
    assert ada.refusal("POST", path, json={"user": "ada", "level": "UPDATE"})
    assert admin.result("POST", path, json={"user": "ada", "level": "UPDATE"}) == {"ada": "UPDATE"}


@pytest.mark.parametrize("level", ["", "ALL", "UPDATE ", "3"])
def test_an_unknown_level_is_refused(ada: Client, path: str, level: str) -> None:
    message = ada.refusal("POST", path, json={"user": "bob", "level": level})
    assert message.startswith(f"Invalid permission level: {level}.")
    assert ada.result("GET", path) == {"ada": "UPDATE"}


@pytest.mark.parametrize("user", ["", "x" * 256])
def test_a_user_has_a_name_of_some_length(ada: Client, path: str, user: str) -> None:
    message = ada.refusal("POST", path, json={"user": user, "level": "READ"})
    assert message == "Invalid permission description: a user has 1 to 255 characters."
