from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client


@pytest.fixture(scope="module")
def actor(ada: Client) -> str:
    return ada.actor()


def told(client: Client, actor: str) -> Any:
    """Return the configs that the process of a message gets."""
    environment = client.ask(actor, {"tell": ["environment"]}).json()["environment"]
    return ast.literal_eval(environment["_actor_configs"])


def test_a_config_is_made_changed_and_removed(ada: Client) -> None:
    mine, other = ada.actor(NOWHERE), ada.actor(NOWHERE)
    body = {"name": "greeting", "value": "hola", "actors": f"{mine}, {other}"}
    reply = ada.post("/configs", json=body)
    assert reply.json()["message"] == "Config created successfully."
    shown = {**body, "isSecret": False, "actors": f"{mine},{other}"}
    assert reply.json()["result"] == shown
    reply = ada.get("/configs/greeting")
    assert reply.json()["message"] == "Config retrieved successfully."
    assert reply.json()["result"] == shown
    assert shown in ada.result("GET", "/configs")
    reply = ada.put("/configs/greeting", json={"value": "adios", "actors": mine})
    assert reply.json()["message"] == "Config updated successfully."
    shown |= {"value": "adios", "actors": mine}
    assert reply.json()["result"] == ada.result("GET", "/configs/greeting") == shown
    reply = ada.delete("/configs/greeting")
    assert reply.json()["message"] == "Config greeting deleted successfully."
    assert ada.refusal("GET", "/configs/greeting", 404) == "No config found: greeting."


def test_configs_reach_the_actors_that_they_name(ada: Client, actor: str) -> None:
    ada.result("POST", "/aliases", json={"alias": "tacobot", "actorId": actor})
    other = ada.actor()
    for name, value, actors in (
        ("by-id", 'it\'s "quoted"', actor),
        ("by-alias", "ñandú", f"{other},tacobot"),
        ("of-another", "1", other),
    ):
        ada.result("POST", "/configs", json={"name": name, "value": value, "actors": actors})
    assert told(ada, actor) == {"by-id": 'it\'s "quoted"', "by-alias": "ñandú"}
    assert told(ada, other) == {"by-alias": "ñandú", "of-another": "1"}
    ada.result("PUT", "/configs/by-id", json={"value": "2", "actors": actor})
    ada.result("DELETE", "/configs/by-alias")
    assert told(ada, actor) == {"by-id": "2"}
    ada.result("PUT", "/configs/by-id", json={"value": "2", "actors": ""})
    assert told(ada, actor) == {}


def test_an_alias_brings_configs_to_no_actor_that_their_owner_may_not_change(
    ada: Client, bob: Client, admin: Client
) -> None:
    first, second, bobs = ada.actor(), ada.actor(), bob.actor()
    for alias in ("squat", "handed"):
        ada.result("POST", "/aliases", json={"alias": alias, "actorId": first})
    for client, name in ((ada, "ada-s"), (admin, "admin-s")):
        config = {"name": name, "value": "1", "actors": f"squat,handed,{first}"}
        client.result("POST", "/configs", json=config)
    # one's own goes along, and what an administrator has set
    ada.result("PUT", "/aliases/squat", json={"actorId": second})
    assert told(ada, second) == {"ada-s": "1", "admin-s": "1"}
    ada.result("DELETE", "/aliases/squat")
    bob.result("POST", "/aliases", json={"alias": "squat", "actorId": bobs})
    assert told(bob, bobs) == {}
    assert ada.result("GET", "/configs/ada-s")["actors"] == f"handed,{first}"
    # likewise where somebody else may point the alias elsewhere
    ada.result("POST", "/aliases/handed/permissions", json={"user": "bob", "level": "UPDATE"})
    bob.result("PUT", "/aliases/handed", json={"actorId": bobs})
    assert told(bob, bobs) == {"admin-s": "1"}
    assert told(ada, first) == {"ada-s": "1", "admin-s": "1"}
    for name in ("ada-s", "admin-s"):
        admin.result("DELETE", f"/configs/{name}")


def test_a_secret_is_told_to_the_actor_only(ada: Client, admin: Client) -> None:
    actor = ada.actor()
    body = {"name": "secret", "value": "hunter2", "isSecret": True, "actors": actor}
    made = ada.post("/configs", json=body)
    changed = ada.put("/configs/secret", json={"value": "hunter2", "actors": actor})
    replies = [made, changed, ada.get("/configs/secret"), ada.get("/configs")]
    replies += [admin.get("/configs/secret"), admin.get("/configs")]
    for reply in replies:
        assert "hunter2" not in reply.text
        assert '"value": "***", "isSecret": true' in reply.text
    assert told(ada, actor) == {"secret": "hunter2"}


def test_a_list_has_what_its_reader_may_read(ada: Client, bob: Client, admin: Client) -> None:
    for name in ("listed", "lent"):
        ada.result("POST", "/configs", json={"name": name, "value": "1", "actors": ""})
    ada.result("POST", "/configs/lent/permissions", json={"user": "bob", "level": "READ"})
    assert [each["name"] for each in bob.result("GET", "/configs")] == ["lent"]
    for client in (ada, admin):
        assert {"listed", "lent"} <= {each["name"] for each in client.result("GET", "/configs")}


def test_only_actors_that_one_may_change_can_be_configured(
    ada: Client, bob: Client, actor: str
) -> None:
    body = {"name": "intruder", "value": "1", "actors": actor}
    message = f"Not authorized -- you do not have access to the specified actor: {actor}."
    for level in ("READ", "EXECUTE"):
        ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": level})
        assert bob.refusal("POST", "/configs", json=body) == message
    bob.result("POST", "/configs", json={**body, "actors": ""})
    assert bob.refusal("PUT", "/configs/intruder", json=body) == message
    assert "intruder" not in told(ada, actor)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"name": "a/b"}, "Invalid config description: a name is 1 to 255 letters, digits and _ ."),
        ({"name": ""}, "Invalid config description: a name is 1 to 255 letters, digits and _ ."),
        ({"name": None}, "Invalid config description: {'name': "),
        ({"value": None}, "Invalid config description: {'value': "),
        ({"value": "x" * 131_072}, "Invalid config description: a process cannot be given this"),
        ({"value": "\0"}, "Invalid config description: {'value': "),
        ({"actors": None}, "Invalid config description: {'actors': "),
        ({"name": "taken"}, "Config taken already exists."),
    ],
    ids=["slash", "empty", "no name", "no value", "long", "NUL", "no actors", "taken"],
)
def test_what_is_no_config(ada: Client, sent: dict[str, Any], message: str) -> None:
    body = {"name": "taken", "value": "1", "actors": ""}
    ada.post("/configs", json=body)
    assert ada.refusal("POST", "/configs", json={**body, "name": "new", **sent}).startswith(message)


def test_the_configs_of_an_actor_fit_into_one_variable(ada: Client, actor: str) -> None:
    half = "x" * 70_000
    ada.result("POST", "/configs", json={"name": "half", "value": half, "actors": actor})
    for name in ("other-half", "third"):
        body = {"name": name, "value": half, "actors": f"{ada.actor(NOWHERE)}, {actor}"}
        message = ada.refusal("POST", "/configs", json=body)
        assert message.startswith(
            "Invalid config description: a process cannot be given this value"
        )
    ada.result("PUT", "/configs/half", json={"value": half + "x", "actors": actor})
    assert told(ada, actor)["half"] == half + "x"
    ada.result("DELETE", "/configs/half")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_is_a_step_of_a_path_is_refused(ada: Client, name: str) -> None:
    sent = {"name": name, "value": "1", "actors": ""}
    assert ada.refusal("POST", "/configs", json=sent).startswith("Invalid config description")


def test_a_config_names_actors_that_exist(ada: Client) -> None:
    body = {"name": "for-nobody", "value": "1", "actors": "nobody"}
    message = "Actor with identifier 'nobody' not found"
    assert ada.refusal("POST", "/configs", 404, json=body) == message
    assert ada.refusal("GET", "/configs/for-nobody", 404)
