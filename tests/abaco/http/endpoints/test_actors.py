from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.abaco.running import (
    EVERYONE,
    NOWHERE,
    PROBE,
    Client,
    RunningGateway,
    eventually,
    is_in_status,
    opened,
)

CYCLE = "Error: this update would result in a cycle of linked actors."
DEFAULTS = {
    "description": "",
    "type": "none",
    "stateless": True,
    "token": "false",
    "link": "",
    "webhook": "",
    "hints": [],
    "privileged": False,
    "useContainerUid": False,
    "defaultEnvironment": {},
    "queue": "default",
    "cronOn": False,
    "mounts": [],
    "state": {},
    "revision": 1,
    "status": "SUBMITTED",
    "statusMessage": " ",
    "owner": "ada",
}
FULL: dict[str, Any] = {
    "name": "tacobot",
    "description": "Makes tacos",
    "type": "cook",
    "stateless": False,
    "token": True,
    "webhook": "https://example.org/hook",
    "hints": ["sync", "json"],
    "defaultEnvironment": {"TACOS": "3", "n": 1, "extra": {"hot": True}},
    "logEx": 600,
    "cronOn": False,
    "cronSchedule": "2999-12-01 08 + 2 weeks",
}
SERVER_MADE = {"id", "createTime", "lastUpdateTime", "_links"}


@pytest.fixture(scope="module")
def privileged(gateway: RunningGateway) -> Iterator[Client]:
    with gateway.client("grace", (EVERYONE, "Internal/abaco-privileged")) as client:
        yield client


def described(client: Client, actor: str) -> dict[str, Any]:
    """Return what is shown of an actor, but for what the server makes of itself."""
    shown = client.result("GET", f"/{actor}")
    return {name: value for name, value in shown.items() if name not in SERVER_MADE}


def test_an_image_is_all_that_an_actor_needs(ada: Client) -> None:
    reply = ada.post("", json={"image": "cold"})
    assert reply.json()["message"] == "Actor created successfully."
    made = reply.json()["result"]
    assert set(made) == {*DEFAULTS, *SERVER_MADE, "image"}
    assert {name: made[name] for name in DEFAULTS} == DEFAULTS
    eventually(is_in_status(ada, made["id"], "READY"))
    shown = described(ada, made["id"])
    assert shown == {**DEFAULTS, "image": "cold", "status": "READY"}
    assert len(ada.result("GET", f"/{made['id']}/workers")) == 1


def test_all_that_is_described_is_kept(ada: Client) -> None:
    actor = ada.actor(**FULL)
    shown = described(ada, actor)
    start = {"cronNextEx": "2999-12-01T08:00:00.000Z"}
    assert shown == {**DEFAULTS, **FULL, **start, "image": "cold", "status": "READY"}


def test_what_privileged_users_may_describe(privileged: Client) -> None:
    special: dict[str, Any] = {
        "privileged": True,
        "maxWorkers": 2,
        "memLimit": "1g",
        "maxCpus": "1000000000",
        "useContainerUid": True,
        "queue": "special",
    }
    shown = described(privileged, privileged.actor(**special))
    assert {name: shown[name] for name in special} == special


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("privileged", True, "make privileged actors"),
        ("maxWorkers", 2, "set max workers"),
        ("maxCpus", "1", "set max CPUs"),
        ("memLimit", "1g", "set mem limit"),
        ("queue", "special", "set queue"),
        ("useContainerUid", "true", "use container uid"),
    ],
)
def test_what_only_privileged_users_may_describe(
    ada: Client, admin: Client, field: str, value: Any, what: str
) -> None:
    body = {"image": NOWHERE, field: value}
    message = f"Not authorized -- only admins and privileged users can {what}."
    assert ada.refusal("POST", "", json=body) == message
    actor = ada.actor(NOWHERE)
    assert ada.refusal("PUT", f"/{actor}", json=body) == message
    assert field in admin.result("POST", "", json=body)


def test_clients_may_say_that_they_want_no_privilege(ada: Client) -> None:
    ada.actor(NOWHERE, privileged=False, useContainerUid="false", queue="default")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"image": " "}, "Invalid actor description: image is empty."),
        ({"name": "x" * 256}, "Invalid actor description: the name is longer than 255 characters."),
        ({"token": "maybe"}, "Invalid actor description: token must be true or false."),
        ({"logEx": 0}, "Invalid actor description: logEx must be at least 1."),
        ({"webhook": "ftp://example.org"}, "Invalid actor description: webhook must be an http or"),
        pytest.param(
            {"webhook": "http://127.0.0.1/".ljust(2001, "a")},
            "Invalid actor description: the webhook is longer than 2000 characters.",
            id="webhook of 2001 characters",
        ),
        ({"webhook": "http://[::1"}, "Invalid actor description: webhook must be an http or https"),
        ({"hints": ["a", "{b}"]}, "Invalid actor description: hints must be a string or a list of"),
        ({"hints": ["a", 1]}, "Invalid actor description: hints must be a string or a list of"),
        ({"hints": {"a": 1}}, "Invalid actor description: hints must be a string or a list of"),
        (
            {"link": "nobody"},
            "Invalid link parameter; unable to retrieve linked actor data: nobody",
        ),
        ({"cronOn": True}, "Invalid actor description: cronOn needs a cronSchedule."),
        ({"cronSchedule": "tomorrow"}, "The cron is not in the correct format"),
        ({"cronSchedule": "2999-13-01 08 + 1 day"}, "The cron is not in the correct format"),
        ({"cronSchedule": "2999-12-01 08 + 0 days"}, "The cron is not in the correct format"),
        ({"cronSchedule": "now + 1 century"}, "The cron unit 'century' is unknown: use one of"),
        (
            {"cronSchedule": "1999-12-01 08 + 1 day"},
            "The starting datetime is old. The current UTC time is 2",
        ),
        (
            {"defaultEnvironment": {"A=B": "1"}},
            "Invalid actor description: defaultEnvironment has a",
        ),
        ({"defaultEnvironment": {"": "1"}}, "Invalid actor description: defaultEnvironment has a"),
        (
            {"defaultEnvironment": {"A": "\0"}},
            "Invalid actor description: defaultEnvironment has a",
        ),
        ({"defaultEnvironment": {"A": "x" * 131_072}}, "Invalid actor description: defaultEnviron"),
    ],
    ids=str,
)
def test_what_cannot_be_described(ada: Client, sent: dict[str, Any], message: str) -> None:
    assert ada.refusal("POST", "", json={"image": NOWHERE, **sent}).startswith(message)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"queue": "fast"}, "Invalid actor description: Invalid queue name."),
        ({"maxWorkers": -1}, "Invalid actor description: maxWorkers must be at least 1."),
        (
            {"stateless": False, "maxWorkers": 2},
            "Invalid actor description: stateful actors can only have 1 worker.",
        ),
    ],
    ids=str,
)
def test_what_privileged_users_cannot_describe(
    privileged: Client, sent: dict[str, Any], message: str
) -> None:
    assert privileged.refusal("POST", "", json={"image": NOWHERE, **sent}) == message


def test_one_hint_is_a_list_of_one(ada: Client) -> None:
    assert described(ada, ada.actor(NOWHERE, hints="sync"))["hints"] == ["sync"]
    form = ada.result("POST", "", data={"image": NOWHERE, "hints": '["sync", "json"]'})
    assert form["hints"] == ["sync", "json"]


def test_a_token_that_is_no_boolean_is_shown_as_text(ada: Client) -> None:
    assert described(ada, ada.actor(NOWHERE, token="TRUE"))["token"] == "true"
    assert described(ada, ada.actor(NOWHERE, token=False))["token"] is False


def test_an_update_describes_an_actor_anew(ada: Client) -> None:
    actor = ada.actor(**FULL)
    before = ada.result("GET", f"/{actor}")
    body = {"image": "cold", "name": "other", "stateless": False}
    reply = ada.put(f"/{actor}", json=body)
    assert reply.json()["message"] == "Actor updated successfully."
    kept = {"image": "cold", "name": "tacobot", "stateless": False, "status": "READY"}
    assert described(ada, actor) == {**DEFAULTS, **kept}
    after = reply.json()["result"]
    assert after == ada.result("GET", f"/{actor}")
    assert after["lastUpdateTime"] > before["lastUpdateTime"]
    assert after["createTime"] == before["createTime"]


def test_an_update_needs_an_image(ada: Client) -> None:
    message = ada.refusal("PUT", f"/{ada.actor(NOWHERE)}", json={"description": "New"})
    assert message.startswith("Invalid actor description: {'image': ")


@pytest.mark.parametrize("sent", [{"image": "warm"}, {"image": "cold", "force": True}], ids=str)
def test_another_image_or_force_makes_a_new_revision(ada: Client, sent: dict[str, Any]) -> None:
    actor = ada.actor()
    [worker] = ada.result("GET", f"/{actor}/workers")
    updated = ada.result("PUT", f"/{actor}", json=sent)
    assert (updated["status"], updated["revision"]) == ("SUBMITTED", 2)
    eventually(is_in_status(ada, actor, "READY"))
    told = ada.ask(actor, {"tell": ["environment"]}).json()["environment"]
    assert told["_abaco_actor_revision"] == "2"
    assert told["_abaco_container_repo"] == sent["image"]
    eventually(lambda: len(ada.result("GET", f"/{actor}/workers")) == 1)
    assert ada.result("GET", f"/{actor}/workers")[0]["id"] != worker["id"]


def test_the_state_of_an_actor_survives_an_update(ada: Client) -> None:
    actor = ada.actor(stateless=False)
    ada.result("POST", f"/{actor}/state", json={"tacos": 3})
    refusal = ada.refusal("PUT", f"/{actor}", json={"image": "cold"})
    assert refusal == (
        "Invalid actor description: an actor that was not stateless cannot be updated to be "
        "stateless."
    )
    ada.result("PUT", f"/{actor}", json={"image": "cold", "stateless": False, "force": True})
    assert ada.result("GET", f"/{actor}/state") == {"state": {"tacos": 3}}


def test_the_owner_of_an_actor_stays(ada: Client, admin: Client) -> None:
    actor = ada.actor(NOWHERE)
    updated = admin.result("PUT", f"/{actor}", json={"image": NOWHERE})
    assert updated["owner"] == "ada"
    permissions = ada.result("GET", f"/{actor}/permissions")
    assert permissions == {"ada": "UPDATE", "root": "UPDATE"}


def test_an_image_that_is_not_known_and_then_added(ada: Client, gateway: RunningGateway) -> None:
    actor = ada.result("POST", "", json={"image": "tacc/tacobot:1.0"})["id"]
    eventually(is_in_status(ada, actor, "ERROR"))
    file = gateway.settings.images_files[-1]
    assert ada.result("GET", f"/{actor}")["statusMessage"] == (
        f"image tacc/tacobot:1.0 is not known here: add it to {file} with its folder and command, "
        "then update the actor"
    )
    execution = ada.submit(actor, {"print": "waited"})
    assert ada.result("GET", f"/{actor}/messages")["messages"] == 1
    file.write_text(yaml.safe_dump(opened({**PROBE, "tacc/tacobot:1.0": PROBE["cold"]})))
    updated = ada.result("PUT", f"/{actor}", json={"image": "tacc/tacobot:1.0"})
    # the message that waits may have made it ready before
    assert updated["status"] in {"SUBMITTED", "READY"}
    assert updated["statusMessage"] == " "
    eventually(is_in_status(ada, actor, "READY"))
    assert ada.ended(actor, execution)["exitCode"] == 0
    assert ada.logs(actor, execution) == "waited\n"


def test_images_that_cannot_be_read(ada: Client, gateway: RunningGateway) -> None:
    actor, file = ada.actor(), gateway.folder / "images.yml"
    before = file.read_text()
    file.write_text("cold: ]")
    message = "The gateway's images cannot be read: see its log."
    # who may register an actor is not known
    for method, path in (("POST", ""), ("PUT", f"/{actor}")):
        assert ada.refusal(method, path, 503, json={"image": "cold"}) == message
    assert f"{file}, line 1: not valid YAML" in gateway.log.read_text()
    # the workers go on with what they know
    assert ada.run(actor, {"exit": 0})["exitCode"] == 0
    file.write_text(before)
    assert ada.run(actor, {"exit": 0})["exitCode"] == 0
    assert "Traceback" not in gateway.log.read_text()


def test_the_default_environment_reaches_the_process(ada: Client) -> None:
    given = {"TACOS": "3", "n": 1, "flag": True, "extra": {"hot": None}, "absent": None}
    actor = ada.actor(defaultEnvironment=given)
    told = ada.ask(actor, {"tell": ["environment"]}).json()["environment"]
    expected = {"TACOS": "3", "n": "1", "flag": "True", "extra": "{'hot': None}"}
    assert {name: told.get(name) for name in given} == {**expected, "absent": None}


def test_the_default_environment_is_shown_to_those_who_may_change_it(
    ada: Client, bob: Client, admin: Client, stranger: Client
) -> None:
    actor = ada.actor(stateless=False, defaultEnvironment={"SECRET": "hunter2"})
    path = f"/{actor}"
    nonce = ada.result("POST", f"{path}/nonces", json={"level": "UPDATE"})["id"]

    def granted(level: str) -> Any:
        ada.result("POST", f"{path}/permissions", json={"user": "bob", "level": level})
        one = bob.result("GET", path)["defaultEnvironment"]
        [listed] = [each for each in bob.result("GET", "") if each["id"] == actor]
        assert listed["defaultEnvironment"] == one
        return one

    whole, masked = {"SECRET": "hunter2"}, {"SECRET": "***"}
    assert granted("READ") == granted("EXECUTE") == masked
    assert granted("UPDATE") == whole
    for client in (ada, admin):
        assert client.result("GET", path)["defaultEnvironment"] == whole
    shown = stranger.result("GET", path, params={"x-nonce": nonce})
    assert shown["defaultEnvironment"] == masked
    for method, part, body in (
        ("POST", "/state", {"a": 1}),
        ("PUT", "", {"image": "cold", "stateless": False, "defaultEnvironment": whole}),
    ):
        changed = stranger.result(method, f"{path}{part}?x-nonce={nonce}", json=body)
        assert changed["defaultEnvironment"] == masked
    for searched in ({"search": "hunter2"}, {"defaultEnvironment.SECRET": "hunter2"}):
        assert ada.result("GET", "", params=searched)["_metadata"]["totalCount"] == 0


def test_actors_linked_in_a_circle_are_refused(ada: Client) -> None:
    first = ada.actor(NOWHERE)
    second = ada.actor(NOWHERE, link=first)
    ada.result(
        "POST", "/aliases", json={"alias": "third", "actorId": ada.actor(NOWHERE, link=second)}
    )
    for link in (first, second, "third"):
        assert ada.refusal("PUT", f"/{first}", json={"image": NOWHERE, "link": link}) == CYCLE
    assert ada.result("GET", f"/{first}")["link"] == ""


def test_an_alias_cannot_close_a_circle_of_links(ada: Client) -> None:
    first, other = ada.actor(NOWHERE), ada.actor(NOWHERE)
    ada.result("POST", "/aliases", json={"alias": "next", "actorId": other})
    second = ada.actor(NOWHERE, link=first)
    ada.result("PUT", f"/{first}", json={"image": NOWHERE, "link": "next"})
    message = "Error: this alias would result in a cycle of linked actors."
    for actor in (first, second):
        assert ada.refusal("PUT", "/aliases/next", json={"actorId": actor}) == message
    assert ada.result("GET", "/next")["id"] == other
    ada.result("DELETE", "/aliases/next")
    body = {"alias": "next", "actorId": second}
    assert ada.refusal("POST", "/aliases", json=body) == message
    assert ada.refusal("GET", "/next", 404)


def test_an_actor_is_linked_by_who_may_execute_the_other(ada: Client, bob: Client) -> None:
    actor = ada.actor(NOWHERE)
    body = {"image": NOWHERE, "link": actor}
    message = "Not authorized -- you do not have access to the actor in the link parameter."
    for level in ("READ", "EXECUTE"):
        assert bob.refusal("POST", "", json=body) == message
        ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": level})
    assert bob.result("POST", "", json=body)["link"] == actor


def test_an_actor_is_deleted_with_what_belongs_to_it(ada: Client, admin: Client) -> None:
    actor = ada.actor()
    ada.result("POST", "/aliases", json={"alias": "dangling", "actorId": actor})
    ada.result("POST", f"/{actor}/nonces")
    reply = ada.delete(f"/{actor}")
    assert reply.json()["message"] == "Actor deleted successfully."
    assert reply.json()["result"] is None
    assert actor not in [each["id"] for each in admin.result("GET", "")]
    assert ada.refusal("DELETE", f"/{actor}", 404) == f"No actor found with identifier: {actor}."
    assert ada.refusal("GET", "/dangling", 404) == "Actor with identifier 'dangling' not found"
    assert ada.result("GET", "/aliases/dangling")["actorId"] == actor
    other = ada.actor(NOWHERE)
    ada.result("PUT", "/aliases/dangling", json={"actorId": other})
    assert ada.result("GET", "/dangling")["id"] == other


def test_an_actor_is_deleted_when_its_message_has_been_run(
    ada: Client, gateway: RunningGateway
) -> None:
    actor, file = ada.actor(), gateway.folder / "done"
    execution = ada.submit(actor, {"sleep": 0.5, "touch": str(file)})
    path = f"/{actor}/executions/{execution}"
    eventually(lambda: ada.result("GET", path)["status"] == "RUNNING")
    ada.result("DELETE", f"/{actor}")
    assert file.exists()


def test_utilization_counts_actors_workers_and_messages(
    ada: Client, gateway: RunningGateway
) -> None:
    def counts() -> list[int]:
        reply = ada.get("/utilization")
        assert reply.json()["message"] == "Abaco utilization returned successfully."
        names = ("currentActors", "totalActors", "workers", "commandQueue")
        return [reply.json()["result"][name] for name in names]

    before = counts()
    busy, idle = ada.actor(), ada.actor(NOWHERE)
    ada.submit(idle, {"print": "waits"})
    after = counts()
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 2, 1, 1]
    ada.run(busy, {"print": "counts"})
    ada.result("DELETE", f"/{busy}")
    after = counts()
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 2, 0, 1]
