from __future__ import annotations

import datetime
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from abaco import identifiers
from tests.abaco.running import (
    MODES,
    PROBE,
    SECONDS,
    Client,
    RunningGateway,
    eventually,
    is_in_status,
)

IMAGES = {
    **PROBE,
    **{f"short {mode}": {**PROBE[mode], "seconds": 1.5} for mode in MODES},
    "no program": {"folder": "scripts", "command": ["./no-interpreter"]},
}
STOP_SECONDS = 1.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that kills what does not stop within a second."""
    folder = tmp_path_factory.mktemp("gateway")
    program = folder / "scripts" / "no-interpreter"
    program.parent.mkdir()
    program.write_text("#!/not/there\n")
    program.chmod(0o755)
    running = RunningGateway(folder, IMAGES, {"limits": {"stop_seconds": STOP_SECONDS}})
    with running:
        yield running


def moment(text: str) -> datetime.datetime:
    """A time of the API."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(
        tzinfo=datetime.timezone.utc
    )


def started(client: Client, actor: str, orders: dict[str, Any], file: Path) -> str:
    """Send a message; return its execution's id when it has made a file."""
    execution_id = client.submit(actor, {**orders, "touch": str(file), "sleep": 60})
    eventually(file.exists)
    return execution_id


def test_an_execution_tells_what_became_of_a_message(
    gateway: RunningGateway, ada: Client, actor: str
) -> None:
    before = datetime.datetime.now(datetime.timezone.utc)
    execution = ada.run(actor, {"print": "hello", "exit": 3})
    after = datetime.datetime.now(datetime.timezone.utc)
    path = f"{gateway.url}/actors/v2/{actor}/executions/{execution['id']}"
    final = execution.pop("finalState")
    worker = ada.result("GET", f"/{actor}/workers")[0]["id"]
    times = [
        moment(execution.pop(f"{name}Time")) for name in ("messageReceived", "start", "finish")
    ]
    assert [before.replace(microsecond=0), *times, after] == sorted(
        [before.replace(microsecond=0), *times, after]
    )
    assert execution.pop("cpu") > 0
    # whole seconds, rounded
    assert 0 <= execution.pop("runtime") <= (times[2] - times[1]).total_seconds() + 1
    assert execution == {
        "id": execution["id"],
        "actorId": actor,
        "apiServer": gateway.url,
        "executor": "ada",
        "status": "COMPLETE",
        "exitCode": 3,
        "io": 0,
        "workerId": worker,
        "_links": {
            "self": path,
            "owner": f"{gateway.url}/profiles/v2/ada",
            "logs": f"{path}/logs",
        },
    }
    assert (moment(final.pop("StartedAt")), moment(final.pop("FinishedAt"))) <= tuple(times[1:])
    assert final == {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 0,
        "ExitCode": 3,
        "Error": "",
    }


def test_what_is_not_known_yet_is_absent(ada: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    first = started(ada, actor, {}, tmp_path / "started")
    second = ada.submit(actor, {})
    running = eventually(
        lambda: (
            (found := ada.result("GET", f"/{actor}/executions/{first}"))["status"] == "RUNNING"
            and found
        )
    )
    assert {"workerId", "startTime"} <= running.keys()
    assert not {"finishTime", "exitCode", "finalState"} & running.keys()
    waiting = ada.result("GET", f"/{actor}/executions/{second}")
    assert waiting["status"] == "SUBMITTED"
    assert not {"workerId", "startTime", "finishTime", "exitCode"} & waiting.keys()
    ada.result("DELETE", f"/{actor}/executions/{first}")
    ada.ended(actor, second)


def test_executions_are_listed_oldest_first_with_totals(
    gateway: RunningGateway, ada: Client
) -> None:
    actor = ada.actor("cold")
    path = f"/{actor}/executions"
    empty = ada.result("GET", path)
    assert (empty["executions"], empty["totalExecutions"], empty["totalCpu"]) == ([], 0, 0)
    ids = [ada.submit(actor, {"exit": code}) for code in range(3)]
    ended = [ada.ended(actor, each) for each in ids]
    listed = ada.result("GET", path)
    assert [each["id"] for each in listed.pop("executions")] == ids
    assert listed == {
        "actorId": actor,
        "apiServer": gateway.url,
        "owner": "ada",
        "totalExecutions": 3,
        "totalCpu": sum(each["cpu"] for each in ended),
        "totalIo": 0,
        "totalRuntime": sum(each["runtime"] for each in ended),
        "_links": {
            "self": f"{gateway.url}/actors/v2{path}",
            "owner": f"{gateway.url}/profiles/v2/ada",
        },
    }
    fields = {"id", "status", "startTime", "finishTime", "messageReceivedTime"}
    assert {frozenset(each) for each in ada.result("GET", path)["executions"]} == {
        frozenset(fields)
    }


@pytest.mark.parametrize(
    ("orders", "code", "log"),
    [
        ({}, 0, ""),
        ({"exit": 7}, 7, ""),
        ({"exit": 256 + 9}, 9, ""),
        ({"exit": None}, 0, ""),
        ({"exit": True}, 1, ""),
        ({"exit": "a reason"}, 1, "a reason\n"),
        ({"raise": "oh"}, 1, "ValueError: oh\n"),
        ({"leave": 5}, 5, ""),
        ({"signal": "SIGINT"}, 130, ""),
        ({"signal": "SIGHUP"}, 128 + signal.SIGHUP, ""),
        ({"signal": "SIGSEGV"}, 128 + signal.SIGSEGV, ""),
        ({"signal": "SIGABRT"}, 128 + signal.SIGABRT, ""),
    ],
)
def test_whatever_the_exit_code_an_execution_is_complete(
    ada: Client, actor: str, orders: dict[str, Any], code: int, log: str
) -> None:
    execution = ada.run(actor, orders)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", code)
    assert execution["finalState"]["ExitCode"] == code
    assert ada.logs(actor, execution["id"]).endswith(log)


def test_what_does_not_exist_is_refused(ada: Client, actor: str) -> None:
    unknown = identifiers.new()
    path = f"/{actor}/executions/{unknown}"
    reason = f"No executions found with actor id of {actor} and execution id of {unknown}."
    assert ada.refusal("GET", path) == reason
    assert ada.refusal("GET", f"{path}/logs") == reason
    assert ada.refusal("DELETE", path) == reason
    other = ada.actor("cold")
    mine = ada.run(actor, {})["id"]
    assert "No executions found" in ada.refusal("GET", f"/{other}/executions/{mine}")


def test_a_sender_may_wait_for_the_result(ada: Client, actor: str) -> None:
    reply = ada.ask(actor, {"print": "not this", "results": ["tacos", "more"]})
    assert reply.headers["content-type"] == "application/octet-stream"
    assert (reply.status_code, reply.content) == (200, b"tacos")
    newest = ada.result("GET", f"/{actor}/executions")["executions"][-1]["id"]
    assert ada.result_of(actor, newest) == b"more"


def test_a_sender_who_waits_gets_the_log_where_there_is_no_result(ada: Client, actor: str) -> None:
    reply = ada.ask(actor, {"print": "no result", "exit": 3})
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert (reply.status_code, reply.text) == (200, "no result\n")


@pytest.mark.parametrize(
    ("value", "waits"), [("True", True), ("TRUE", True), ("False", False), ("1", False)]
)
def test_only_true_means_to_wait(ada: Client, actor: str, value: str, waits: bool) -> None:
    reply = ada.ask(actor, {"results": ["here"]}, _abaco_synchronous=value)
    assert (reply.content == b"here") == waits
    assert ("executionId" in reply.text) != waits


def test_who_waits_for_a_message_that_is_dropped_is_told_so(ada: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    running = started(ada, actor, {}, tmp_path / "started")
    # it is shown as running a little later
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 0)
    replies: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: replies.append(ada.ask(actor, {"print": "never"})))
    thread.start()
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 1)
    ada.result("DELETE", f"/{actor}/messages")
    thread.join(SECONDS)
    assert [reply.status_code for reply in replies] == [410]
    ended = "will not run: the mailbox was purged, or the actor deleted."
    assert replies[0].json()["message"].endswith(ended)
    ada.result("DELETE", f"/{actor}/executions/{running}")


def test_who_waits_is_answered_when_the_program_does_not_start(ada: Client) -> None:
    actor = ada.actor("no program")
    reply = ada.ask(actor, {})
    assert reply.status_code == 200
    assert reply.text.startswith("[abaco] ./no-interpreter does not start in ")
    execution = ada.result("GET", f"/{actor}/executions")["executions"][0]
    assert execution["status"] == "ERROR"
    # whoever waits is answered first
    eventually(is_in_status(ada, actor, "ERROR"))
    shown = ada.result("GET", f"/{actor}")
    assert "./no-interpreter does not start" in shown["statusMessage"]


def test_an_execution_goes_on_when_its_sender_has_gone(ada: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    orders = {"wait for": str(tmp_path / "go"), "results": ["kept"], "exit": 4}
    with pytest.raises(httpx.ReadTimeout):
        ada.post(
            f"/{actor}/messages", params={"_abaco_synchronous": "true"}, json=orders, timeout=0.5
        )
    executions = eventually(lambda: ada.result("GET", f"/{actor}/executions")["executions"])
    execution_id = executions[0]["id"]
    (tmp_path / "go").touch()
    assert ada.ended(actor, execution_id)["exitCode"] == 4
    assert ada.result_of(actor, execution_id) == b"kept"


def test_a_running_execution_is_stopped_on_request(ada: Client, actor: str, tmp_path: Path) -> None:
    execution_id = started(ada, actor, {"print": "before"}, tmp_path / "started")
    reply = ada.delete(f"/{actor}/executions/{execution_id}").json()
    assert reply["message"] == f"Issued force quit command for execution {execution_id}."
    assert reply["result"] is None
    execution = ada.ended(actor, execution_id)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 128 + signal.SIGTERM)
    log = "before\n[abaco] the execution was stopped on request\n"
    assert ada.logs(actor, execution_id) == log
    assert ada.run(actor, {"print": "the next"})["exitCode"] == 0


def test_an_execution_that_does_not_stop_is_killed(ada: Client, actor: str, tmp_path: Path) -> None:
    execution_id = ada.submit(actor, {"ignore": ["SIGTERM", str(tmp_path / "started")]})
    eventually((tmp_path / "started").exists)
    ada.result("DELETE", f"/{actor}/executions/{execution_id}")
    execution = ada.ended(actor, execution_id)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 128 + signal.SIGKILL)
    took = moment(execution["finishTime"]) - moment(execution["startTime"])
    assert took.total_seconds() >= STOP_SECONDS


def test_an_execution_may_end_in_order_when_it_is_asked_to(
    ada: Client, actor: str, tmp_path: Path
) -> None:
    orders = {"end at": "SIGTERM", "results": ["first"]}
    execution_id = started(ada, actor, orders, tmp_path / "started")
    ada.result("DELETE", f"/{actor}/executions/{execution_id}")
    assert ada.ended(actor, execution_id)["exitCode"] == 9
    assert ada.result_of(actor, execution_id) == b"first"


@pytest.mark.parametrize("status", ["SUBMITTED", "COMPLETE"])
def test_what_is_not_running_cannot_be_stopped(ada: Client, tmp_path: Path, status: str) -> None:
    actor = ada.actor("cold")
    running = started(ada, actor, {}, tmp_path / "started")
    waiting = ada.submit(actor, {})
    if status == "COMPLETE":
        ada.result("DELETE", f"/{actor}/executions/{running}")
        ada.ended(actor, waiting)
    assert ada.refusal("DELETE", f"/{actor}/executions/{waiting}") == (
        "Cannot force quit an execution not in RUNNING status. "
        f"Execution was found in status: {status}"
    )
    if status == "SUBMITTED":
        ada.result("DELETE", f"/{actor}/executions/{running}")


@pytest.mark.parametrize("mode", MODES)
def test_an_execution_ends_at_the_time_limit_of_its_image(ada: Client, mode: str) -> None:
    actor = ada.actor(f"short {mode}")
    execution = ada.run(actor, {"print": "before", "sleep": 60})
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 128 + signal.SIGTERM)
    log = "before\n[abaco] the execution reached its time limit of 1.5 s\n"
    assert ada.logs(actor, execution["id"]) == log
    assert ada.run(actor, {})["exitCode"] == 0


def test_neither_an_execution_nor_who_waits_for_it_has_unlimited_time(tmp_path: Path) -> None:
    limits = {"synchronous_seconds": 0.3, "execution_seconds": 1}
    gateway = RunningGateway(tmp_path, settings={"limits": limits})
    with gateway, gateway.client() as client:
        actor = client.actor("cold")
        parameters = {"_abaco_synchronous": "true"}
        refusal = client.refusal(
            "POST", f"/{actor}/messages", 503, json={"sleep": 60}, params=parameters
        )
        (execution,) = client.result("GET", f"/{actor}/executions")["executions"]
        assert refusal == f"Execution {execution['id']} goes on: it is not waited for any longer."
        assert client.ended(actor, execution["id"])["exitCode"] == 128 + signal.SIGTERM
        log = client.logs(actor, execution["id"])
        assert log == "[abaco] the execution reached its time limit of 1 s\n"
