"""Names in snake case, as tenants have them whose `web_case` is `snake`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client, RunningGateway

SETTINGS = {"case": "snake"}


@pytest.fixture(scope="module")
def cook(ada: Client) -> str:
    """An actor with an alias, which has run a message."""
    described = {
        "image": "cold",
        "default_environment": {"SPICE": "much", "heatLevel": None},
        "log_ex": 900,
    }
    actor = str(ada.result("POST", "", json=described)["id"])
    named = ada.result("POST", "/aliases", json={"alias": "cook", "actor_id": actor})
    assert (named["actor_id"], "actorId" in named) == (actor, False)
    reply = ada.result("POST", "/cook/messages", json={"exit": 3})
    assert ada.ended(actor, reply["execution_id"])["exit_code"] == 3
    return actor


def is_snake(document: Any) -> bool:
    """Tell whether the names of a document, or a list of some, are in snake case."""
    documents = document if isinstance(document, list) else [document]
    return all(name == name.lower() for each in documents for name in each)


def test_an_actor_is_described_and_shown_in_snake_case(ada: Client, cook: str) -> None:
    shown = ada.result("GET", f"/{cook}")
    assert is_snake(shown)
    assert (shown["log_ex"], shown["create_time"][-1]) == (900, "Z")
    # names and values that users have chosen are theirs
    assert shown["default_environment"] == {"SPICE": "much", "heatLevel": None}
    # what has no value is null
    assert {name for name, value in shown.items() if value is None} == {
        *("name", "max_workers", "mem_limit", "max_cpus", "cron_schedule", "cron_next_ex"),
        *("uid", "gid", "tasdir"),
    }
    assert ada.result("GET", "") == [shown]
    again = ada.result("PUT", f"/{cook}", json={"image": "cold", "log_ex": 800})
    assert (again["log_ex"], again["default_environment"]) == (800, {})


def test_a_parameter_in_camel_case_is_refused_and_not_passed_over(ada: Client, cook: str) -> None:
    refusal = ada.refusal("POST", f"/{cook}/nonces", json={"maxUses": 3})
    assert refusal == "Invalid nonce description: maxUses is spelled max_uses here."
    refusal = ada.refusal("POST", f"/{cook}/nonces", params={"maxUses": "3"})
    assert refusal == "Invalid nonce description: maxUses is spelled max_uses here."
    refusal = ada.refusal("POST", "/aliases", json={"alias": "other"})
    assert refusal.startswith("Invalid alias description: {'actor_id': ")
    refusal = ada.refusal("POST", "", json={"image": "cold", "log_ex": "soon"})
    assert refusal.endswith("log_ex must be an integer of at most 10 digits, not this string.")
    for sent, reason in (
        ({"log_ex": 0}, "log_ex must be at least 1."),
        ({"cron_on": True}, "cron_on needs a cron_schedule."),
        ({"default_environment": {"": "1"}}, "default_environment has a variable that cannot be"),
    ):
        refusal = ada.refusal("POST", "", json={"image": "cold", **sent})
        assert refusal.startswith(f"Invalid actor description: {reason}")


def test_executions_are_in_snake_case_with_what_docker_says_as_it_says_it(
    ada: Client, cook: str
) -> None:
    listed = ada.result("GET", f"/{cook}/executions")
    assert is_snake(listed)
    assert is_snake(listed["executions"])
    (brief,) = listed["executions"]
    shown = ada.result("GET", f"/{cook}/executions/{brief['id']}")
    assert is_snake(shown)
    assert shown["final_state"]["ExitCode"] == shown["exit_code"] == 3
    assert shown["message_received_time"] == brief["message_received_time"]


@pytest.mark.parametrize("field", ["exit_code", "final_state.ExitCode"])
def test_a_search_is_in_snake_case(ada: Client, cook: str, field: str) -> None:
    result = ada.result("GET", f"/{cook}/executions", params={field: "3"})
    assert result["_metadata"] == {
        "total_count": 1,
        "records_skipped": 0,
        "record_limit": 100,
        "count_returned": 1,
    }
    assert is_snake(result["search"])
    assert result["search"][0]["final_state"]["ExitCode"] == 3


def test_nonces_workers_configs_and_counts_are_in_snake_case(
    ada: Client, admin: Client, cook: str
) -> None:
    made = ada.result("POST", f"/{cook}/nonces", json={"max_uses": 3, "level": "READ"})
    assert (made["max_uses"], made["remaining_uses"], made["last_use_time"]) == (3, 3, "None")
    config = {"name": "salsaVerde", "value": "1", "is_secret": True, "actors": cook}
    assert ada.result("POST", "/configs", json=config) == {**config, "value": "***"}
    for path in ("/nonces", "/workers", "/messages"):
        assert is_snake(ada.result("GET", f"/{cook}{path}"))
    assert "create_time" in admin.result("GET", f"/{cook}/workers")[0]
    counts = ada.result("GET", "/utilization")
    assert set(counts) == {"current_actors", "total_actors", "workers", "command_queue"}


def test_names_of_users_states_and_messages_stay_as_they_are(ada: Client, cook: str) -> None:
    granted = ada.result("POST", f"/{cook}/permissions", json={"user": "bobBaker", "level": "READ"})
    assert granted == ada.result("GET", f"/{cook}/permissions")
    assert granted == {"ada": "UPDATE", "bobBaker": "READ"}
    actor = ada.result("POST", "", json={"image": NOWHERE, "stateless": False})["id"]
    shown = ada.result("POST", f"/{actor}/state", json={"heatLevel": {"maxHeat": 3}})
    assert shown["state"] == {"heatLevel": {"maxHeat": 3}}
    assert ada.result("GET", f"/{actor}/state") == {"state": shown["state"]}
    sent = ada.result("POST", f"/{actor}/messages", json={"heatLevel": 3})
    assert sent["msg"] == {"heatLevel": 3}
    ada.result("DELETE", f"/{actor}")


def test_the_document_of_the_api_has_these_names(
    stranger: Client, gateway: RunningGateway, ada: Client, cook: str
) -> None:
    document = stranger.get(f"{gateway.url}/openapi.json").json()
    schema = document["components"]["schemas"]["Actor"]
    assert set(ada.result("GET", f"/{cook}")) == set(schema["properties"])
    assert "default_environment" in schema["required"]
    body = document["paths"]["/actors/v2"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["log_ex"]["type"] == "integer"
