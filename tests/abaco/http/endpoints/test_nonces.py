from __future__ import annotations

import re
from typing import Any

import pytest

from tests.abaco.running import ADMIN, EVERYONE, NOWHERE, Client, RunningGateway

UNKNOWN = "Nonce does not exist."
TOO_LOW = "Nonce does not have sufficient permissions level."
USED_UP = "No remaining uses left for this nonce."
NOT_AUTHORIZED = "Not authorized."
LEVEL = "Invalid nonce description. The level attribute must be one of: "
MESSAGE = {"message": "hello"}


@pytest.fixture
def actor(ada: Client) -> str:
    return ada.actor(NOWHERE)


@pytest.fixture
def alias(ada: Client, actor: str) -> str:
    ada.result("POST", "/aliases", json={"alias": f"of-{actor}", "actorId": actor})
    return f"of-{actor}"


def new(client: Client, of: str, **described: Any) -> str:
    return str(client.result("POST", f"/{of}/nonces", json=described)["id"])


def uses(client: Client, of: str, nonce: str) -> tuple[int, int]:
    """Return how often a nonce was used, and may still be."""
    shown = client.result("GET", f"/{of}/nonces/{nonce}")
    return shown["currentUses"], shown["remainingUses"]


def test_a_nonce_without_a_description(ada: Client, gateway: RunningGateway, actor: str) -> None:
    reply = ada.post(f"/{actor}/nonces")
    assert reply.json()["message"] == "Actor nonce created successfully."
    made = reply.json()["result"]
    nonce = made["id"]
    assert re.fullmatch(r"SD2E_[A-Za-z0-9]{10,20}", nonce)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made.pop("createTime"))
    assert made == {
        "id": nonce,
        "actorId": actor,
        "apiServer": gateway.url,
        "owner": "ada",
        "roles": [EVERYONE],
        "level": "EXECUTE",
        "maxUses": -1,
        "remainingUses": -1,
        "currentUses": 0,
        "description": "",
        "lastUseTime": "None",
        "_links": {
            "self": f"{gateway.url}/actors/v2/{actor}/nonces/{nonce}",
            "owner": f"{gateway.url}/profiles/v2/ada",
            "actor": f"{gateway.url}/actors/v2/{actor}",
        },
    }


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"level": "READ", "maxUses": 3, "description": "For tacos"}},
        {"json": {"level": "read", "maxUses": "3", "description": "For tacos"}},
        {"data": {"level": "READ", "maxUses": "3", "description": "For tacos"}},
        {"params": {"level": "READ", "maxUses": "3", "description": "For tacos"}},
    ],
    ids=["JSON", "text in JSON", "form", "URL"],
)
@pytest.mark.parametrize("of", ["actor", "alias"])
def test_a_nonce_is_described(
    ada: Client, actor: str, alias: str, of: str, sent: dict[str, Any]
) -> None:
    path = f"/{actor}" if of == "actor" else f"/aliases/{alias}"
    made = ada.result("POST", f"{path}/nonces", **sent)
    names = ("level", "maxUses", "remainingUses", "description")
    assert [made[name] for name in names] == ["READ", 3, 3, "For tacos"]
    assert ada.result("GET", f"{path}/nonces/{made['id']}") == made


def test_a_nonce_of_an_alias(ada: Client, actor: str, alias: str) -> None:
    reply = ada.post(f"/aliases/{alias}/nonces")
    assert reply.json()["message"] == "Alias nonce created successfully."
    made = reply.json()["result"]
    assert made["alias"] == alias
    assert "actorId" not in made
    assert made["_links"]["self"].endswith(f"/aliases/{alias}/nonces/{made['id']}")
    assert made["_links"]["actor"].endswith(f"/{actor}")


@pytest.mark.parametrize("of", ["actor", "alias"])
def test_nonces_are_listed_read_and_revoked(ada: Client, actor: str, alias: str, of: str) -> None:
    path, kind = (f"/{actor}", "Actor") if of == "actor" else (f"/aliases/{alias}", "Alias")
    made = [ada.result("POST", f"{path}/nonces") for _ in range(3)]
    reply = ada.get(f"{path}/nonces")
    assert reply.json()["message"] == f"{kind} nonces retrieved successfully."
    assert reply.json()["result"] == made
    one = f"{path}/nonces/{made[1]['id']}"
    assert ada.get(one).json()["message"] == f"{kind} nonce retrieved successfully."
    reply = ada.delete(one)
    assert reply.json()["message"] == f"{kind} nonce deleted successfully."
    assert reply.json()["result"] is None
    for method in ("GET", "DELETE"):
        assert ada.refusal(method, one) == "Nonce not found."
    assert ada.result("GET", f"{path}/nonces") == [made[0], made[2]]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            {"level": "ALL"},
            f"{LEVEL}('NONE', 'READ', 'EXECUTE', 'UPDATE')",
        ),
        (
            {"maxUses": 0},
            "The max uses parameter must be a positive integer or -1 (to denote unlimited uses).",
        ),
        (
            {"maxUses": "-2"},
            "The max uses parameter must be a positive integer or -1 (to denote unlimited uses).",
        ),
    ],
)
def test_what_is_no_nonce(ada: Client, actor: str, sent: dict[str, Any], message: str) -> None:
    assert ada.refusal("POST", f"/{actor}/nonces", json=sent) == message
    assert ada.result("GET", f"/{actor}/nonces") == []


def test_the_nonce_of_an_alias_changes_nothing(ada: Client, alias: str) -> None:
    message = ada.refusal("POST", f"/aliases/{alias}/nonces", json={"level": "UPDATE"})
    assert message == f"{LEVEL}('NONE', 'READ', 'EXECUTE')"


@pytest.mark.parametrize("level", ["NONE", "READ", "EXECUTE", "UPDATE"])
def test_a_nonce_is_good_for_its_level(
    ada: Client, stranger: Client, actor: str, level: str
) -> None:
    nonce = new(ada, actor, level=level)
    credential = {"x-nonce": nonce}
    levels = ["NONE", "READ", "EXECUTE", "UPDATE"]
    used = 0
    for method, path, body, needs in (
        ("GET", "", None, "READ"),
        ("GET", "/messages", None, "READ"),
        ("GET", "/executions", None, "READ"),
        ("GET", "/permissions", None, "READ"),
        ("POST", "/messages", MESSAGE, "EXECUTE"),
        ("DELETE", "/messages", None, "UPDATE"),
        ("POST", "/nonces", None, "UPDATE"),
        ("POST", "/permissions", {"user": "eve", "level": "READ"}, "UPDATE"),
        ("PUT", "", {"image": NOWHERE}, "UPDATE"),
    ):
        if levels.index(level) >= levels.index(needs):
            stranger.result(method, f"/{actor}{path}", params=credential, json=body)
            used += 1
        else:
            message = stranger.refusal(method, f"/{actor}{path}", params=credential, json=body)
            assert message == TOO_LOW
    assert uses(ada, actor, nonce) == (used, -1)


def test_a_nonce_is_used_up(ada: Client, stranger: Client, actor: str) -> None:
    nonce = new(ada, actor, maxUses=2)
    path, credential = f"/{actor}/messages", {"x-nonce": nonce}
    for used in (1, 2):
        stranger.result("POST", path, params=credential, json=MESSAGE)
        assert uses(ada, actor, nonce) == (used, 2 - used)
    assert stranger.refusal("POST", path, params=credential, json=MESSAGE) == USED_UP
    assert uses(ada, actor, nonce) == (2, 0)
    shown = ada.result("GET", f"/{actor}/nonces/{nonce}")
    assert shown["lastUseTime"] > shown["createTime"]
    assert ada.result("GET", path)["messages"] == 2


def test_a_request_that_cannot_be_understood_is_a_use(
    ada: Client, stranger: Client, actor: str
) -> None:
    nonce = new(ada, actor, maxUses=1)
    credential = {"x-nonce": nonce}
    stranger.refusal("POST", f"/{actor}/messages", params=credential, content=b"no JSON")
    assert uses(ada, actor, nonce) == (1, 0)


def test_a_nonce_is_good_where_it_was_made(
    ada: Client, stranger: Client, actor: str, alias: str
) -> None:
    of_actor = new(ada, actor)
    of_alias = new(ada, f"aliases/{alias}")
    other = ada.actor(NOWHERE)
    ada.result("POST", "/aliases", json={"alias": f"also-{actor}", "actorId": actor})
    for named, nonce in ((actor, of_actor), (alias, of_alias)):
        shown = stranger.result("GET", f"/{named}", params={"x-nonce": nonce})
        assert shown["id"] == actor
        reply = stranger.post(f"/{named}/messages", params={"x-nonce": nonce}, json=MESSAGE)
        assert reply.status_code == 200
    for named, nonce in (
        (alias, of_actor),
        (actor, of_alias),
        (other, of_actor),
        (f"also-{actor}", of_alias),
        (f"aliases/{alias}", of_actor),
    ):
        assert stranger.refusal("GET", f"/{named}", params={"x-nonce": nonce}) == UNKNOWN
    assert (uses(ada, actor, of_actor), uses(ada, f"aliases/{alias}", of_alias)) == (
        (2, -1),
        (2, -1),
    )


def test_the_nonce_of_an_alias_goes_with_it_to_another_actor(
    ada: Client, stranger: Client, alias: str
) -> None:
    credential = {"x-nonce": new(ada, f"aliases/{alias}")}
    other = ada.actor(NOWHERE)
    ada.result("PUT", f"/aliases/{alias}", json={"actorId": other})
    assert stranger.result("GET", f"/{alias}", params=credential)["id"] == other
    ada.result("DELETE", f"/aliases/{alias}")
    assert stranger.refusal("GET", f"/{alias}", 404, params=credential)
    ada.result("POST", "/aliases", json={"alias": alias, "actorId": other})
    assert stranger.result("GET", f"/{alias}", params=credential)["id"] == other


def test_the_nonces_of_an_alias_end_when_it_becomes_somebody_else_s(
    ada: Client, bob: Client, stranger: Client
) -> None:
    mine, bobs = ada.actor(NOWHERE), bob.actor(NOWHERE)
    ada.result("POST", "/aliases", json={"alias": "handed-on", "actorId": mine})
    credential = {"x-nonce": new(ada, "aliases/handed-on")}
    assert stranger.result("GET", "/handed-on", params=credential)["id"] == mine
    ada.result("DELETE", "/aliases/handed-on")
    bob.result("POST", "/aliases", json={"alias": "handed-on", "actorId": bobs})
    assert bob.result("GET", "/aliases/handed-on/nonces") == []
    assert stranger.refusal("GET", "/handed-on", params=credential) == "Nonce does not exist."


@pytest.mark.parametrize(
    "nonce", ["", "x", "SD2E_", "SD2E_x", "SD2E_%01", "_", "%C3%BF", "SD2E_' OR 1=1 --"]
)
def test_an_unknown_nonce(stranger: Client, actor: str, nonce: str) -> None:
    for path in (f"/{actor}", "/nobody"):
        assert stranger.refusal("GET", f"{path}?x-nonce={nonce}") == UNKNOWN


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 400),
        ("POST", "", 400),
        ("GET", "/utilization", 400),
        ("GET", "/aliases", 400),
        ("POST", "/aliases", 400),
        ("GET", "/configs", 400),
        ("GET", "/configs/X", 400),
        ("GET", "/search/actors", 404),
    ],
)
def test_where_no_nonce_is_good(
    ada: Client, stranger: Client, actor: str, method: str, path: str, status: int
) -> None:
    nonce = new(ada, actor, level="UPDATE")
    body = {"json": {"image": NOWHERE}} if method == "POST" else {}
    message = stranger.refusal(method, path, status, params={"x-nonce": nonce}, **body)
    assert message == NOT_AUTHORIZED
    assert uses(ada, actor, nonce) == (0, -1)


def test_whoever_has_a_nonce_acts_as_its_owner(
    ada: Client, bob: Client, stranger: Client, actor: str
) -> None:
    ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "UPDATE"})
    nonce = new(bob, actor)
    path, credential = f"/{actor}/messages", {"x-nonce": nonce}
    sent = stranger.result("POST", path, params=credential, json=MESSAGE)
    execution = ada.result("GET", f"/{actor}/executions/{sent['executionId']}")
    assert execution["executor"] == "bob"
    ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "READ"})
    message = stranger.refusal("POST", path, params=credential, json=MESSAGE)
    assert message == "Not authorized -- you do not have access to this actor."


def test_a_nonce_has_the_roles_that_its_owner_had(
    ada: Client, stranger: Client, gateway: RunningGateway, actor: str
) -> None:
    with gateway.client("grace", (EVERYONE, ADMIN)) as grace:
        nonce = new(grace, actor, level="UPDATE")
    with gateway.client("grace") as grace:
        assert grace.refusal("GET", f"/{actor}")
    credential = {"x-nonce": nonce}
    shown = stranger.result("GET", f"/{actor}/nonces/{nonce}", params=credential)
    assert shown["roles"] == [EVERYONE, ADMIN]
    stranger.result("DELETE", f"/{actor}/messages", params=credential)


def test_a_nonce_is_told_to_the_actor(ada: Client, stranger: Client) -> None:
    actor = ada.actor()
    nonce = new(ada, actor)
    reply = stranger.ask(actor, {"tell": ["environment"]}, **{"x-nonce": nonce})
    told = reply.json()["environment"]
    assert (told["x-nonce"], told["_abaco_username"]) == (nonce, "ada")


def test_a_nonce_ends_with_its_actor(ada: Client, stranger: Client, actor: str) -> None:
    credential = {"x-nonce": new(ada, actor)}
    assert stranger.result("GET", f"/{actor}", params=credential)["id"] == actor
    ada.result("DELETE", f"/{actor}")
    assert stranger.refusal("GET", f"/{actor}", params=credential) == UNKNOWN


@pytest.mark.parametrize("level", ["READ", "EXECUTE"])
def test_nonces_are_shown_to_who_made_them_and_who_may_make_some(
    ada: Client, bob: Client, level: str
) -> None:
    actor = ada.actor(NOWHERE)
    path = f"/{actor}/permissions"
    ada.result("POST", path, json={"user": "bob", "level": "UPDATE"})
    of_ada, of_bob = (new(client, actor, level=level) for client in (ada, bob))
    # with the nonce of somebody else, bob would have the level when it is taken from him
    ada.result("POST", path, json={"user": "bob", "level": level})
    assert [nonce["id"] for nonce in bob.result("GET", f"/{actor}/nonces")] == [of_bob]
    assert bob.refusal("GET", f"/{actor}/nonces/{of_ada}") == "Nonce not found."
    assert {nonce["id"] for nonce in ada.result("GET", f"/{actor}/nonces")} == {of_ada, of_bob}


def test_a_nonce_is_shown_no_other(ada: Client, stranger: Client) -> None:
    actor = ada.actor("cold")
    reading, _ = (
        ada.result("POST", f"/{actor}/nonces", json={"level": level})["id"]
        for level in ("READ", "UPDATE")
    )
    found = stranger.result("GET", f"/{actor}/nonces", params={"x-nonce": reading})
    assert [nonce["id"] for nonce in found] == [reading]
