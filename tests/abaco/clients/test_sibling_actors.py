"""What one actor can ask of another on the same gateway, by this repository's `reactors`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.abaco.running import ACTORS, PROBE, Client, RunningGateway
from tests.conftest import ROOT

SENDER: dict[str, Any] = {
    "folder": str(ACTORS),
    "command": ["python3", "sender.py"],
    "environment": {"PYTHONPATH": str(ROOT)},
}
IMAGES = {
    **PROBE,
    "sender": SENDER,
    "warm sender": {**SENDER, "mode": "warm", "handler": "sender:main"},
}
ALONE = True
"""One of its actors answers with all that there are."""
TELL = {"tell": ["environment"]}


@pytest.fixture(scope="module")
def sender(ada: Client) -> str:
    """An actor with a token, whose process has imported what it sends with."""
    return ada.actor("warm sender", token=True)


@pytest.fixture(scope="module")
def receiver(ada: Client) -> str:
    """An actor that answers its environment; it has the alias `receiver`."""
    actor = ada.actor("cold")
    ada.result("POST", "/aliases", json={"alias": "receiver", "actorId": actor})
    return actor


def answer(ada: Client, actor: str, message: Any) -> Any:
    """Let an actor of the image `sender` do something; return its answer."""
    reply = ada.ask(actor, message)
    assert reply.headers["content-type"] == "application/octet-stream", reply.text
    return reply.json()


def environment(ada: Client, receiver: str, execution: str) -> dict[str, str]:
    """Return the environment in which the receiver got its message."""
    assert ada.ended(receiver, execution)["status"] == "COMPLETE"
    found: dict[str, str] = ada.get(f"/{receiver}/executions/{execution}/results").json()[
        "environment"
    ]
    return found


@pytest.mark.parametrize(("image", "named"), [("sender", "id"), ("warm sender", "alias")])
def test_a_message_arrives_with_the_tags_of_its_sender(
    ada: Client, receiver: str, image: str, named: str
) -> None:
    sender = ada.actor(image, token=True)
    to = receiver if named == "id" else "receiver"
    execution = answer(ada, sender, {"send": {"actorId": to, "message": TELL}})
    found = environment(ada, receiver, execution)
    sending = ada.result("GET", f"/{sender}/executions")["executions"][0]["id"]
    assert found["MSG"] == str(TELL)
    assert (found["x_src_actor_id"], found["x_src_execution_id"]) == (sender, sending)
    assert found["_abaco_username"] == "ada"


def test_a_message_goes_on_with_the_session_and_further_variables(
    ada: Client, receiver: str, sender: str
) -> None:
    send = {"actorId": receiver, "message": TELL, "environment": {"uuid": "1-007"}}
    reply = ada.ask(sender, {"send": send}, x_session="solid-snake")
    found = environment(ada, receiver, reply.json())
    assert (found["x_session"], found["uuid"]) == ("solid-snake", "1-007")


@pytest.mark.parametrize(("image", "named"), [("sender", "alias"), ("warm sender", "id")])
def test_an_actor_without_a_token_uses_a_nonce(
    ada: Client, receiver: str, image: str, named: str
) -> None:
    sender = ada.actor(image, token=False)
    to, whose = (receiver, receiver) if named == "id" else ("receiver", "aliases/receiver")
    nonce = ada.result("POST", f"/{whose}/nonces", json={"maxUses": 1})["id"]
    execution = answer(ada, sender, {"send": {"actorId": to, "message": TELL, "nonce": nonce}})
    found = environment(ada, receiver, execution)
    assert (found["x_src_actor_id"], found["x-nonce"]) == (sender, nonce)


def test_an_actor_without_either_says_what_is_missing(ada: Client, receiver: str) -> None:
    sender = ada.actor("sender")
    execution = ada.run(sender, {"send": {"actorId": receiver, "message": TELL}})
    assert "create the actor with its token switched on" in ada.logs(sender, execution["id"])


def test_a_message_may_be_waited_for(ada: Client, receiver: str, sender: str) -> None:
    send = {"actorId": receiver, "message": {"sleep": 0.1}, "sync": True}
    before = len(ada.result("GET", f"/{receiver}/executions")["executions"])
    assert answer(ada, sender, {"send": send}) is None
    executions = ada.result("GET", f"/{receiver}/executions")["executions"][before:]
    assert [each["status"] for each in executions] == ["COMPLETE"]


def test_an_actor_that_is_not_there_ends_the_attempts_at_once(ada: Client, sender: str) -> None:
    gone = ada.actor("cold")
    ada.result("DELETE", f"/{gone}")
    send = {"actorId": gone, "message": TELL, "retryDelay": 100}
    execution = ada.run(sender, {"send": send})
    logs = ada.logs(sender, execution["id"])
    assert f"the message to actor {gone} was not delivered: HTTP status 404" in logs
    assert execution["runtime"] < 100


def test_an_actor_may_do_no_more_than_its_owner(ada: Client, bob: Client, sender: str) -> None:
    send = {"actorId": bob.actor("cold"), "message": TELL, "retryMaxAttempts": 1}
    execution = ada.run(sender, {"send": send})
    assert "was not delivered: HTTP status 400" in ada.logs(sender, execution["id"])


def test_the_client_of_an_actor_reads_and_changes_what_its_owner_may(
    ada: Client, receiver: str, sender: str
) -> None:
    listed = answer(ada, sender, {"call": "list", "with": {}})
    assert {sender, receiver} <= {each["id"] for each in listed}
    named = {"actorId": receiver}
    made = answer(ada, sender, {"call": "addNonce", "with": {**named, "body": {"maxUses": 2}}})
    assert made["remainingUses"] == 2
    assert (
        answer(ada, sender, {"call": "getNonce", "with": {**named, "nonceId": made["id"]}}) == made
    )


def test_the_token_of_an_execution_ends_with_it(gateway: RunningGateway, ada: Client) -> None:
    actor = ada.actor("cold", token=True)
    reply = ada.ask(actor, TELL).json()
    token = reply["environment"]["_abaco_access_token"]
    assert reply["environment"]["_abaco_api_server"] == gateway.url
    with Client(gateway.url, token) as client:
        assert client.get("").status_code == 401


def test_an_actor_keeps_a_state_between_its_executions(ada: Client) -> None:
    sender = ada.actor("sender", token=True, stateless=False)
    order = {"call": "updateState", "with": {"actorId": sender, "body": {"count": 1}}}
    answer(ada, sender, order)
    state = answer(ada, sender, {"call": "getState", "with": {"actorId": sender}})
    assert state["state"] == {"count": 1}
