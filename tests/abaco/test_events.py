from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client, RunningGateway, eventually

JSON = "application/json"
EXECUTION = "EXECUTION_COMPLETE"


def linked_events(client: Client, linked: str, count: int) -> list[dict[str, Any]]:
    """The messages that a linked actor got from others, of so many executions."""

    def find() -> list[str] | None:
        found = client.result("GET", f"/{linked}/executions")["executions"]
        ids = [each["id"] for each in found if each["status"] == "COMPLETE"]
        return ids if len(ids) == count else None

    told = [json.loads(client.result_of(linked, each)) for each in eventually(find)]
    assert {environment["_abaco_Content_Type"] for environment in told} == {JSON}
    assert {environment["_abaco_username"] for environment in told} == {"Abaco Event"}
    return [ast.literal_eval(environment["MSG"]) for environment in told]


@pytest.mark.parametrize("by_alias", [False, True])
def test_a_linked_actor_gets_a_message_for_each_event(
    gateway: RunningGateway, ada: Client, by_alias: bool
) -> None:
    linked = ada.actor("teller")
    link = linked
    if by_alias:
        link = "the-linked-one"
        ada.result("POST", "/aliases", json={"alias": link, "actorId": linked})
    actor = ada.actor("cold", link=link)
    execution = ada.run(actor, {"exit": 3})
    ready, complete = linked_events(ada, linked, 2)
    common = {
        "actor_id": actor,
        "actor_dbid": f"SD2E_{actor}",
        "tenant_id": "SD2E",
        "_abaco_link": link,
        "_abaco_webhook": "",
    }
    for event in (ready, complete):
        assert isinstance(event.pop("event_time_utc"), float)
        assert event.pop("event_time_display").endswith("Z")
    assert ready == {"event_type": "ACTOR_READY", "status_message": " ", **common}
    assert complete == {
        "event_type": EXECUTION,
        "execution_id": execution["id"],
        "status": "COMPLETE",
        "exit_code": 3,
        **common,
    }
    executors = {
        ada.result("GET", f"/{linked}/executions/{each['id']}")["executor"]
        for each in ada.result("GET", f"/{linked}/executions")["executions"]
    }
    assert executors == {"Abaco Event"}


def test_who_has_lost_the_right_to_an_actor_reaches_it_by_no_link(
    ada: Client, bob: Client, gateway: RunningGateway
) -> None:
    linked = bob.actor()
    bob.result("POST", f"/{linked}/permissions", json={"user": "ada", "level": "EXECUTE"})
    actor = ada.actor(link=linked)

    def told() -> int:
        return len(bob.result("GET", f"/{linked}/executions")["executions"])

    eventually(lambda: told() == 1)
    bob.result("POST", f"/{linked}/permissions", json={"user": "ada", "level": "NONE"})
    ada.run(actor, {})
    eventually(lambda: "ada needs EXECUTE on it" in gateway.log.read_text())
    assert told() == 1


def test_a_linked_actor_is_told_of_an_error(ada: Client) -> None:
    linked = ada.actor("teller")
    actor = ada.actor(NOWHERE, link=linked)
    (event,) = linked_events(ada, linked, 1)
    assert (event["event_type"], event["actor_id"]) == ("ACTOR_ERROR", actor)
    assert event["status_message"].startswith(f"image {NOWHERE} is not known here")


def test_a_linked_actor_is_told_of_all_executions_in_their_order(ada: Client) -> None:
    linked = ada.actor("teller")
    actor = ada.actor("warm", link=linked)
    ids = [ada.submit(actor, {"exit": code}) for code in range(5)]
    events = linked_events(ada, linked, 6)[1:]
    assert [event["execution_id"] for event in events] == ids
    assert [event["exit_code"] for event in events] == list(range(5))
