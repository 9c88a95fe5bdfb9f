from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client, RunningGateway, eventually

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
    assert message == "The request body is not valid JSON: it is nested too deep."
    told = ada.ask(keeper, {"tell": ["environment"]}).json()["environment"]["_abaco_actor_state"]
    assert told == deepest
    assert str(ast.literal_eval(told)) == deepest


def test_a_stateless_actor_keeps_nothing(ada: Client) -> None:
    actor = ada.actor(NOWHERE)
    assert ada.refusal("POST", f"/{actor}/state", 404, json={"a": 1}) == "actor is stateless."
    assert ada.result("GET", f"/{actor}/state") == {"state": {}}


def workers(client: Client, actor: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.result("GET", f"/{actor}/workers")
    return found


def test_an_actor_has_a_worker(ada: Client, gateway: RunningGateway) -> None:
    actor = ada.actor()
    reply = ada.get(f"/{actor}/workers")
    assert reply.json()["message"] == "Workers retrieved successfully."
    [worker] = reply.json()["result"]
    made = worker["createTime"]
    assert worker == {
        "id": worker["id"],
        "status": "READY",
        "tenant": "SD2E",
        "createTime": made,
        "lastExecutionTime": "None",
        "lastHealthCheckTime": "None",
        "image": "cold",
        "chName": f"worker_{worker['id']}",
    }
    path = f"/{actor}/workers/{worker['id']}"
    reply = ada.get(path)
    assert reply.json()["message"] == "Worker retrieved successfully."
    assert reply.json()["result"] == worker
    assert ada.run(actor, {"exit": 0})["workerId"] == worker["id"]
    eventually(lambda: ada.result("GET", path)["lastExecutionTime"] > made)


def test_a_worker_is_busy_while_it_runs_a_message(ada: Client, gateway: RunningGateway) -> None:
    actor, file = ada.actor(), gateway.folder / "go on"
    execution = ada.submit(actor, {"wait for": str(file)})
    eventually(lambda: workers(ada, actor)[0]["status"] == "BUSY")
    file.touch()
    ada.ended(actor, execution)
    eventually(lambda: workers(ada, actor)[0]["status"] == "READY")


@pytest.mark.parametrize("sent", [{"json": {"num": 3}}, {"data": {"num": "3"}}], ids=str)
def test_so_many_workers_are_seen_to(ada: Client, admin: Client, sent: dict[str, Any]) -> None:
    actor = ada.actor()
    path = f"/{actor}/workers"
    reply = admin.post(path, **sent)
    message = "Scheduled 2 new worker(s) to start. Previously, there were 1 workers."
    assert (reply.json()["message"], reply.json()["result"]) == (message, None)
    assert len({worker["id"] for worker in workers(ada, actor)}) == 3
    reply = admin.post(path, **sent)
    message = f"Actor {actor} already had 3 worker(s)."
    assert (reply.json()["message"], reply.json()["result"]) == (message, None)
    assert admin.post(path).json()["message"] == f"Actor {actor} already had 1 worker(s)."
    assert len(workers(ada, actor)) == 3


@pytest.mark.parametrize("number", [0, -1, 9])
def test_a_number_of_workers_has_bounds(ada: Client, admin: Client, number: int) -> None:
    actor = ada.actor()
    message = "Invalid worker description: num must be from 1 to 8 for this actor."
    assert admin.refusal("POST", f"/{actor}/workers", json={"num": number}) == message


def test_an_actor_with_a_state_has_one_worker(ada: Client, admin: Client, keeper: str) -> None:
    message = "Invalid worker description: num must be from 1 to 1 for this actor."
    assert admin.refusal("POST", f"/{keeper}/workers", json={"num": 2}) == message
    several = ada.actor()
    admin.result("POST", f"/{several}/workers", json={"num": 3})
    ada.result("PUT", f"/{several}", json={"image": "cold", "stateless": False})
    eventually(lambda: len(workers(ada, several)) == 1)


def test_the_messages_of_a_state_are_run_one_after_the_other(
    ada: Client, keeper: str, gateway: RunningGateway
) -> None:
    begun, go_on = gateway.folder / "begun", gateway.folder / "go"
    first = ada.submit(keeper, {"touch": str(begun), "wait for": str(go_on)})
    eventually(begun.exists)
    [worker] = workers(ada, keeper)
    ada.result("PUT", f"/{keeper}", json={"image": "cold", "stateless": False, "force": True})
    second = ada.submit(keeper, {"print": "after it"})
    statuses = {each["id"]: each["status"] for each in workers(ada, keeper)}
    assert statuses.pop(worker["id"]) == "SHUTTING_DOWN"
    assert list(statuses.values()) == ["CREATING CONTAINER"]
    assert ada.result("GET", f"/{keeper}/messages")["messages"] == 1
    go_on.touch()
    executions = [ada.ended(keeper, each) for each in (first, second)]
    assert executions[0]["finishTime"] <= executions[1]["startTime"]


def test_maximum_of_workers(ada: Client, admin: Client) -> None:
    actor = admin.actor(maxWorkers=2)
    message = "Invalid worker description: num must be from 1 to 2 for this actor."
    assert admin.refusal("POST", f"/{actor}/workers", json={"num": 3}) == message
    admin.result("POST", f"/{actor}/workers", json={"num": 2})
    admin.result("PUT", f"/{actor}", json={"image": "cold", "maxWorkers": 1})
    eventually(lambda: len(workers(admin, actor)) == 1)


def test_a_worker_that_is_stopped_comes_back_with_the_next_message(
    ada: Client, gateway: RunningGateway
) -> None:
    actor, file = ada.actor(), gateway.folder / "stopped"
    running = ada.submit(actor, {"wait for": str(file), "print": "to its end"})
    eventually(lambda: workers(ada, actor)[0]["status"] == "BUSY")
    [worker] = workers(ada, actor)
    reply = ada.delete(f"/{actor}/workers/{worker['id']}")
    message = "Worker scheduled to be stopped."
    assert (reply.json()["message"], reply.json()["result"]) == (message, None)
    assert workers(ada, actor)[0]["status"] == "SHUTTING_DOWN"
    beside = ada.run(actor, {"print": "beside it"})
    file.touch()
    assert ada.ended(actor, running)["workerId"] == worker["id"] != beside["workerId"]
    assert ada.logs(actor, running) == "to its end\n"
    eventually(lambda: [each["id"] for each in workers(ada, actor)] == [beside["workerId"]])
    ada.result("DELETE", f"/{actor}/workers/{beside['workerId']}")
    eventually(lambda: workers(ada, actor) == [])
    assert ada.refusal("GET", f"/{actor}/workers/{beside['workerId']}", 404) == "Worker not found."
    assert ada.run(actor, {"exit": 0})["exitCode"] == 0
    assert len(workers(ada, actor)) == 1


def test_the_worker_of_another_actor_is_not_found(ada: Client) -> None:
    actor, other = ada.actor(), ada.actor()
    [worker] = workers(ada, other)
    for method in ("GET", "DELETE"):
        message = ada.refusal(method, f"/{actor}/workers/{worker['id']}", 404)
        assert message == "Worker not found."
    assert workers(ada, other)[0]["status"] == "READY"
