from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.abaco.running import MODES, PROBE, Client, RunningGateway, eventually

MEGABYTES = 64
IMAGES = {
    **PROBE,
    "impostor": {
        "folder": ".",
        "command": ["python3", "impostor.py"],
        "mode": "warm",
        "handler": "impostor:main",
    },
    "talkative": {
        "folder": ".",
        "command": ["python3", "talkative.py"],
        "mode": "warm",
        "handler": "talkative:main",
    },
}
TALKATIVE = """
import logging, sys
logging.basicConfig(format="%(message)s", stream=sys.stdout)
print("x" * 500_000)

def main():
    logging.warning("once more")
"""

IMPOSTOR = """
import contextlib, os, socket, struct

def main():
    # the only stream socket is the host's
    for descriptor in range(3, 1024):
        with contextlib.suppress(OSError):
            control = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
            answer = os.environ["MSG"].encode()
            control.sendall(struct.pack(">I", len(answer)) + answer)
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose warm processes may not grow much."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "talkative.py").write_text(TALKATIVE)
    (folder / "impostor.py").write_text(IMPOSTOR)
    with RunningGateway(folder, IMAGES, {"limits": {"growth_bytes": MEGABYTES << 20}}) as running:
        yield running


@pytest.fixture
def warm(ada: Client) -> str:
    """A warm actor, fresh for a test."""
    return ada.actor("warm")


def facts(client: Client, actor: str, *names: str) -> dict[str, Any]:
    """What a message finds."""
    content: dict[str, Any] = client.ask(actor, {"tell": list(names)}).json()
    return content


def calls(client: Client, actor: str) -> int:
    """How many messages the process has had, this one included."""
    return int(facts(client, actor, "calls")["calls"])


def test_a_warm_process_runs_message_after_message(ada: Client, warm: str) -> None:
    told = [facts(ada, warm, "calls", "pid") for _ in range(3)]
    assert [each["calls"] for each in told] == [1, 2, 3]
    assert len({each["pid"] for each in told}) == 1


def test_a_cold_process_runs_one_message(ada: Client) -> None:
    actor = ada.actor("cold")
    told = [facts(ada, actor, "calls", "pid") for _ in range(2)]
    assert [each["calls"] for each in told] == [1, 1]
    assert len({each["pid"] for each in told}) == 2


@pytest.mark.parametrize(
    ("orders", "fact"),
    [
        ({"chdir": "/"}, "folder"),
        ({"argument": "--more"}, "arguments"),
        ({"import from": "/somewhere"}, "imports"),
        ({"umask": 0}, "mask"),
        ({"put": ["HOME", "/elsewhere"]}, "home"),
        ({"expect": "SIGUSR1"}, "handler"),
        ({"block": "SIGTERM"}, "blocked"),
        ({"timer": 3600}, "timer"),
    ],
)
def test_what_a_message_changes_of_its_process_the_next_does_not_find(
    ada: Client, warm: str, orders: dict[str, Any], fact: str
) -> None:
    before = facts(ada, warm, fact)
    assert ada.ask(warm, {**orders, "tell": [fact]}).json() != before, "it does change it"
    assert facts(ada, warm, fact) == before
    assert calls(ada, warm) == 4, "it is still the same process"


@pytest.mark.parametrize("order", ["set", "replace environment"])
def test_a_message_does_not_find_the_environment_of_another(
    ada: Client, warm: str, order: str
) -> None:
    ada.ask(warm, {order: {"left": "behind"}}, uuid="first", status="first")
    environment = facts(ada, warm, "environment")["environment"]
    assert not {"left", "uuid", "status"} & environment.keys()
    assert environment["MSG"] == "{'tell': ['environment']}"


def test_a_message_does_not_find_the_parameters_of_another_when_it_sets_them_itself(
    ada: Client, warm: str
) -> None:
    found = [ada.ask(warm, {"tell": ["environment"]}, uuid=each) for each in ("first", "second")]
    assert [reply.json()["environment"]["uuid"] for reply in found] == ["first", "second"]


def test_each_message_has_a_log_of_its_own(ada: Client, warm: str) -> None:
    ids = [ada.run(warm, {"print": text, "log": text})["id"] for text in ("first", "second")]
    assert [ada.logs(warm, each) for each in ids] == ["first\nfirst\n", "second\nsecond\n"]


def test_what_is_written_while_the_code_is_imported_is_in_no_log(ada: Client) -> None:
    actor = ada.actor("talkative")
    for _ in range(2):
        assert ada.logs(actor, ada.run(actor, {})["id"]) == "once more\n"


def test_a_thread_that_is_left_does_not_write_into_the_next_log(
    ada: Client, warm: str, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    ada.run(warm, {"leave thread": str(file)})
    execution = ada.run(warm, {"print": "mine", "sleep": 0.1, "touch": str(file)})
    eventually(lambda: file.read_text() == "seen")
    assert ada.logs(warm, execution["id"]) == "mine\n"
    assert calls(ada, warm) == 3


def test_a_process_with_a_thread_that_keeps_it_from_ending_is_replaced(
    ada: Client, warm: str
) -> None:
    assert ada.run(warm, {"leave thread that stays": 60})["exitCode"] == 0
    assert calls(ada, warm) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["same session", "new session"])
def test_processes_that_are_left_are_ended(
    ada: Client, tmp_path: Path, mode: str, where: str
) -> None:
    actor, file = ada.actor(mode), tmp_path / "pid"
    orders = {"spawn": [where, str(file)], "print": "done", "exit": 3}
    execution = ada.run(actor, orders)
    assert (execution["exitCode"], ada.logs(actor, execution["id"])) == (3, "done\n")
    child = int(file.read_text())
    eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")
    assert calls(ada, actor) == 1, "it is another process"


@pytest.mark.parametrize(
    "orders", [{"exit": 3}, {"exit": "text"}, {"raise": "x"}, {"signal": "SIGINT"}]
)
def test_a_process_outlives_how_a_message_ends(
    ada: Client, warm: str, orders: dict[str, Any]
) -> None:
    assert ada.run(warm, orders)["exitCode"] != 0
    assert calls(ada, warm) == 2


@pytest.mark.parametrize("orders", [{"leave": 3}, {"signal": "SIGSEGV"}, {"signal": "SIGHUP"}])
def test_a_process_that_has_ended_is_replaced(
    ada: Client, warm: str, orders: dict[str, Any]
) -> None:
    execution = ada.run(warm, {"print": "before", **orders})
    assert execution["exitCode"] != 0
    assert ada.logs(warm, execution["id"]) == "before\n"
    assert calls(ada, warm) == 1


def test_a_process_that_is_killed_between_messages_is_replaced(ada: Client, warm: str) -> None:
    process = psutil.Process(facts(ada, warm, "pid")["pid"])
    process.kill()
    execution = ada.run(warm, {"print": "all the same"})
    assert (execution["exitCode"], ada.logs(warm, execution["id"])) == (0, "all the same\n")


def test_a_process_that_is_killed_before_it_reads_its_message_is_replaced(
    ada: Client, warm: str
) -> None:
    process = psutil.Process(facts(ada, warm, "pid")["pid"])
    process.suspend()
    execution_id = ada.submit(warm, {"print": "all the same"})
    # it is seen as running when it was sent
    path = f"/{warm}/executions/{execution_id}"
    eventually(lambda: ada.result("GET", path)["status"] == "RUNNING")
    process.kill()
    assert ada.ended(warm, execution_id)["exitCode"] == 0
    assert ada.logs(warm, execution_id) == "all the same\n"


@pytest.mark.parametrize("first", [0, 3])
def test_an_actor_may_close_all_descriptors(ada: Client, warm: str, first: int) -> None:
    orders = {"print": "before", "close descriptors": first, "sleep": 0.5, "exit": 4}
    execution = ada.run(warm, orders)
    assert execution["exitCode"] == 4
    assert ada.logs(warm, execution["id"]) == "before\n"
    assert ada.run(warm, {})["exitCode"] == 0


@pytest.mark.parametrize("streams", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_an_actor_may_close_its_outputs(ada: Client, warm: str, streams: list[str]) -> None:
    execution = ada.run(warm, {"print": "before", "close": streams, "raise": "an error"})
    assert execution["exitCode"] == 1
    log = ada.logs(warm, execution["id"])
    assert (log.startswith("before\n"), log.endswith("ValueError: an error\n")) == (True, True)
    execution = ada.run(warm, {"print": "one", "complain": "two"})
    assert ada.logs(warm, execution["id"]) == "one\ntwo\n"
    assert calls(ada, warm) == 3


def test_an_actor_may_become_another_program(ada: Client, warm: str) -> None:
    program = ["/bin/sh", "-c", "echo another; exit 7"]
    execution = ada.run(warm, {"print": "before", "become": program})
    assert execution["exitCode"] == 7
    assert ada.logs(warm, execution["id"]) == "before\nanother\n"
    assert calls(ada, warm) == 1


def test_a_process_that_has_grown_is_replaced(ada: Client, warm: str) -> None:
    assert calls(ada, warm) == 1
    ada.run(warm, {"grow": MEGABYTES // 4})
    assert calls(ada, warm) == 3
    ada.run(warm, {"grow": MEGABYTES})
    assert calls(ada, warm) == 1


def test_a_process_ends_with_its_worker(ada: Client, warm: str) -> None:
    pid = facts(ada, warm, "pid")["pid"]
    ada.result("DELETE", f"/{warm}")
    eventually(lambda: not psutil.pid_exists(pid))


def test_a_process_ends_when_its_gateway_is_killed(tmp_path: Path) -> None:
    running = RunningGateway(tmp_path).start()
    with running.client() as client:
        pid = facts(client, client.actor("warm"), "pid")["pid"]
    running.kill()
    eventually(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("{}", marks=pytest.mark.long),
        "[]",
        '{"exit_code": 0, "tidy": true, "clean": true, "memory": "much", "cpu": 0}',
    ],
)
def test_an_actor_that_answers_in_the_place_of_its_host_ends_no_worker(
    ada: Client, gateway: RunningGateway, answer: str
) -> None:
    actor = ada.actor("impostor")
    execution = ada.submit(actor, {"message": answer})
    assert ada.ended(actor, execution)["exitCode"] == 137
    assert "the process was killed from outside" in ada.logs(actor, execution)
    assert ada.result("GET", f"/{actor}")["status"] == "READY"
    assert "Traceback" not in gateway.log.read_text()
