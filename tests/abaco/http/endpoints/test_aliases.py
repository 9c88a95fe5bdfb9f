from __future__ import annotations

import pytest

from tests.abaco.running import NOWHERE, Client, RunningGateway

FORBIDDEN = "\\ \":/?#[]@!$&'()*+,;="


@pytest.fixture(scope="module")
def actor(ada: Client) -> str:
    return ada.actor()


def name(client: Client, alias: str, actor: str) -> None:
    client.result("POST", "/aliases", json={"alias": alias, "actorId": actor})


def test_an_alias_is_made_read_and_removed(
    ada: Client, gateway: RunningGateway, actor: str
) -> None:
    reply = ada.post("/aliases", json={"alias": "tacobot", "actorId": actor})
    assert reply.json()["message"] == "Actor alias created successfully."
    made = reply.json()["result"]
    assert made == {
        "alias": "tacobot",
        "actorId": actor,
        "owner": "ada",
        "_links": {
            "self": f"{gateway.url}/actors/v2/aliases/tacobot",
            "owner": f"{gateway.url}/profiles/v2/ada",
            "actor": f"{gateway.url}/actors/v2/{actor}",
        },
    }
    reply = ada.get("/aliases/tacobot")
    assert (reply.json()["message"], reply.json()["result"]) == (
        "Alias retrieved successfully.",
        made,
    )
    reply = ada.delete("/aliases/tacobot")
    assert reply.json()["message"] == "Alias tacobot deleted successfully."
    assert reply.json()["result"] is None
    assert ada.refusal("GET", "/aliases/tacobot", 404)
    assert ada.refusal("GET", "/tacobot", 404)


def test_an_alias_stands_for_the_actor_in_every_path(
    ada: Client, gateway: RunningGateway, actor: str
) -> None:
    name(ada, "v1.2-tacobot_~", actor)
    shown = ada.result("GET", "/v1.2-tacobot_~")
    assert shown["id"] == actor
    assert shown["_links"]["self"] == f"{gateway.url}/actors/v2/{actor}"
    execution = ada.run("v1.2-tacobot_~", {"print": "by its alias"})
    assert execution["actorId"] == actor
    assert ada.logs(actor, execution["id"]) == "by its alias\n"
    for path in ("messages", "executions", "nonces", "permissions", "workers", "state"):
        links = ada.result("GET", f"/{actor}/{path}")
        assert ada.result("GET", f"/v1.2-tacobot_~/{path}") == links


def test_an_alias_is_moved_to_another_actor(ada: Client, actor: str) -> None:
    other = ada.actor(NOWHERE)
    name(ada, "movable", actor)
    reply = ada.put("/aliases/movable", json={"actorId": other})
    assert reply.json()["message"] == "Actor alias updated successfully."
    assert reply.json()["result"] == ada.result("GET", "/aliases/movable")
    assert ada.result("GET", "/movable")["id"] == other
    assert ada.refusal("PUT", "/aliases/movable", json={"actorId": other, "alias": "new"}) == (
        "Invalid alias update description. The alias itself cannot be updated in a PUT request."
    )
    assert ada.refusal("PUT", "/aliases/movable").startswith("Invalid alias description: {'actorI")


def test_all_aliases_of_the_tenant_are_listed(ada: Client, bob: Client, actor: str) -> None:
    for alias in ("listed-b", "listed-a"):
        name(ada, alias, actor)
    reply = bob.get("/aliases")
    assert reply.json()["message"] == "Aliases retrieved successfully."
    listed = [each for each in reply.json()["result"] if each["alias"].startswith("listed")]
    assert listed == [ada.result("GET", f"/aliases/listed-{letter}") for letter in "ab"]


def test_an_alias_is_given_once(ada: Client, bob: Client, actor: str) -> None:
    name(ada, "taken", actor)
    mine = bob.actor(NOWHERE)
    for client, target in ((ada, actor), (bob, mine)):
        body = {"alias": "taken", "actorId": target}
        assert client.refusal("POST", "/aliases", json=body) == "Alias taken already exists."


@pytest.mark.parametrize(
    "word",
    [
        *("executions", "nonces", "logs", "messages", "adapters", "admin"),
        *("aliases", "configs", "search", "utilization", "v2"),
    ],
)
def test_a_reserved_word_is_no_alias(ada: Client, actor: str, word: str) -> None:
    message = ada.refusal("POST", "/aliases", json={"alias": word, "actorId": actor})
    assert message.startswith(f"{word} is a reserved word. ")


@pytest.mark.parametrize("character", [*FORBIDDEN, "\n", "\x7f", "\u202e"])
def test_a_forbidden_character_is_in_no_alias(ada: Client, actor: str, character: str) -> None:
    body = {"alias": f"a{character}b", "actorId": actor}
    message = ada.refusal("POST", "/aliases", json=body)
    assert message.startswith(f"{character!r} is a forbidden character. ")


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("{actor}", "Invalid alias description. Alias cannot be an Abaco hash id."),
        ("", "Invalid alias description. An alias has 1 to 255 characters."),
        ("..", "Invalid alias description. An alias has 1 to 255 characters."),
        ("x" * 256, "Invalid alias description. An alias has 1 to 255 characters."),
    ],
    ids=["id", "empty", "dots", "long"],
)
def test_what_is_no_alias(ada: Client, actor: str, alias: str, message: str) -> None:
    body = {"alias": alias.format(actor=actor), "actorId": actor}
    assert ada.refusal("POST", "/aliases", json=body) == message


def test_an_alias_needs_an_actor_that_exists(ada: Client) -> None:
    name(ada, "mine", ada.actor(NOWHERE))
    gone = ada.actor(NOWHERE)
    ada.result("DELETE", f"/{gone}")
    for missing in (gone, "nobody", "mine"):
        message = f"No actor found with id: {missing}."
        body = {"alias": "new", "actorId": missing}
        assert ada.refusal("POST", "/aliases", 404, json=body) == message
        assert ada.refusal("PUT", "/aliases/mine", 404, json={"actorId": missing}) == message


def test_permissions_end_with_their_alias(ada: Client, bob: Client, actor: str) -> None:
    name(ada, "lent", actor)
    granted = ada.result(
        "POST", "/aliases/lent/permissions", json={"user": "bob", "level": "UPDATE"}
    )
    assert granted == {"ada": "UPDATE", "bob": "UPDATE"}
    bob.result("DELETE", "/aliases/lent")
    name(ada, "lent", actor)
    assert ada.result("GET", "/aliases/lent/permissions") == {"ada": "UPDATE"}


def test_a_refusal_says_which_right_on_which_actor_is_missing(bob: Client, actor: str) -> None:
    message = (
        "Not authorized -- you do not have UPDATE access to the actor you want to associate with "
        f"this alias: that needs UPDATE on {actor}."
    )
    stolen = {"alias": "stolen", "actorId": actor}
    assert bob.refusal("POST", "/aliases", json=stolen) == message
    mine = bob.actor(NOWHERE)
    bob.result("POST", "/aliases", json={"alias": "honest", "actorId": mine})
    assert bob.refusal("PUT", "/aliases/honest", json={"actorId": actor}) == message
    assert bob.result("GET", "/aliases/honest")["actorId"] == mine
