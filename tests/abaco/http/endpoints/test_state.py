from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def keeper(ada: Client) -> str:
    """An actor that keeps a state."""
    return ada.actor(stateless=False)


@pytest.mark.parametrize(
    "state",
    [
        {"tacos": 3, "sauce": None, "hot": True, "größe": [1.5, "x"]},
        [1, 2],
        "plain text",
        7,
        True,
        {"half": "\ud800"},
    ],
    ids=["object", "list", "text", "number", "boolean", "half a pair"],
)
def test_a_state_is_kept_shown_and_told(ada: Client, keeper: str, state: Any) -> None:
    assert ada.result("GET", f"/{keeper}/state") == {"state": {}}
    reply = ada.post(f"/{keeper}/state", content=json.dumps(state), headers=JSON)
    assert reply.json()["message"] == "State updated successfully."
    assert reply.json()["result"]["id"] == keeper
    assert reply.json()["result"]["state"] == state
    reply = ada.get(f"/{keeper}/state")
    assert reply.json()["message"] == "Actor state retrieved successfully."
    assert reply.json()["result"] == {"state": state}
    told = ada.ask(keeper, {"tell": ["environment"]}).json()["environment"]["_abaco_actor_state"]
    assert told == str(state)


def test_a_state_is_replaced_not_merged(ada: Client, keeper: str) -> None:
    told = ada.ask(keeper, {"tell": ["environment"]}).json()["environment"]["_abaco_actor_state"]
    assert told == "{}"
    for state in ({"tacos": 3}, {"burritos": 1}):
        ada.result("POST", f"/{keeper}/state", json=state)
    told = ada.ask(keeper, {"tell": ["environment"]}).json()["environment"]["_abaco_actor_state"]
    assert ast.literal_eval(told) == {"burritos": 1}


@pytest.mark.parametrize("body", ["{}", "[]", '""', "0", "false", "null"])
def test_an_empty_state_is_refused(ada: Client, keeper: str, body: str) -> None:
    message = ada.refusal("POST", f"/{keeper}/state", content=body, headers=JSON)
    assert message == "Invalid actor state description: state must be JSON serializable."


@pytest.mark.parametrize("body", ["", "abc", "{'a': 1}", '{"a": 1', "[" * 50_000])
def test_a_state_that_is_no_json_is_refused(ada: Client, keeper: str, body: str) -> None:
    message = ada.refusal("POST", f"/{keeper}/state", content=body, headers=JSON)
    assert message.startswith("The request body is not valid JSON: ")


@pytest.mark.parametrize(
    "body",
    [f'{{"a": "{"x" * 131_072}"}}', '"\\u0000"', '"\\ud800"'],
    ids=["long", "NUL", "half a pair"],
)
def test_a_state_that_no_process_can_be_given_is_refused(
    ada: Client, keeper: str, body: str
) -> None:
    message = ada.refusal("POST", f"/{keeper}/state", content=body, headers=JSON)
    assert message.startswith("Invalid actor state description: a process cannot be given this")
    assert ada.run(keeper, {"exit": 0})["status"] == "COMPLETE"


def test_the_deepest_state_that_is_accepted_can_be_read(ada: Client, keeper: str) -> None:
    deepest, deeper = ("[" * levels + "1" + "]" * levels for levels in (100, 101))
    ada.result("POST", f"/{keeper}/state", content=deepest, headers=JSON)
    message = ada.refusal("POST", f"/{keeper}/state", content=deeper, headers=JSON)
    assert message == "The request body is not valid JSON: it is nested more than 100 levels deep."
    told = ada.ask(keeper, {"tell": ["environment"]}).json()["environment"]["_abaco_actor_state"]
    assert told == deepest
    assert str(ast.literal_eval(told)) == deepest


def test_a_stateless_actor_keeps_nothing(ada: Client) -> None:
    actor = ada.actor(NOWHERE)
    assert ada.refusal("POST", f"/{actor}/state", 404, json={"a": 1}) == "actor is stateless."
    assert ada.result("GET", f"/{actor}/state") == {"state": {}}
