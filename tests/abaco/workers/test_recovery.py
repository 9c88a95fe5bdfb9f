from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from abaco import clock
from abaco.store import actors, executions
from abaco.store.database import Database
from abaco.store.registrations import Registrant
from abaco.workers.fate import MAX_ATTEMPTS
from tests.abaco.running import MODES, PROBE, Client, RunningGateway, eventually, gone, is_in_status
from tests.reliability.soak import STOP_SECONDS

SLOW = """
import pathlib, time
while pathlib.Path("block").exists():
    time.sleep(0.01)

def main():
    print("taco")
    pathlib.Path("called").touch()
"""


def cold(*command: str, folder: str = ".") -> dict[str, Any]:
    """An image that runs a program."""
    return {"folder": folder, "command": list(command)}


def warm(handler: str, folder: str = ".") -> dict[str, Any]:
    """An image that runs a function."""
    return {"folder": folder, "command": ["python3"], "mode": "warm", "handler": handler}


FAILS_LATE = """
import pathlib, time
here = pathlib.Path(__file__).parent
(here / "begun").touch()
while (here / "hold").exists():
    time.sleep(0.01)
import nothing_of_this_name
"""
BROKEN: dict[str, tuple[dict[str, Any] | None, str]] = {
    "no image": (None, "image no image is not known here: add it to "),
    "no folder": (cold("python3", folder="nowhere"), "nowhere does not exist"),
    "no program": (cold("no-such-program"), "no-such-program is not found, or not executable"),
    "no permission": (cold("./plain.txt"), "./plain.txt is not found, or not executable"),
    "no module": (warm("nothing:main"), "ModuleNotFoundError: No module named 'nothing'"),
    "no function": (warm("slow:missing"), "has no attribute 'missing'"),
    "no syntax": (warm("wrong:main"), "SyntaxError"),
    "no import": (warm("exits:main"), "exits:main cannot be imported: it ended without any output"),
}
IMAGES = {
    **PROBE,
    **{name: image for name, (image, _) in BROKEN.items() if image is not None},
    "slow": warm("slow:main"),
    "repaired": warm("repaired:main"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with images that cannot be run."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "plain.txt").touch()
    (folder / "slow.py").write_text(SLOW)
    (folder / "wrong.py").write_text("def main(:\n")
    (folder / "exits.py").write_text("raise SystemExit\n")
    with RunningGateway(folder, IMAGES) as running:
        yield running


@pytest.fixture(params=MODES)
def actor(request: pytest.FixtureRequest, ada: Client) -> str:
    """An actor of either mode."""
    return ada.actor(request.param)


class Message:
    """A message whose process notes that it runs, then waits.

    Args:
        folder: where it notes that.
        orders: what it does before.
    """

    def __init__(self, folder: Path, **orders: Any) -> None:
        self._go, self._pids = folder / "go", folder / "pids"
        self.orders = {**orders, "note": str(self._pids), "wait for": str(self._go), "exit": 3}

    def pids(self, count: int) -> list[int]:
        """The processes that have run it, when there were so many."""

        def find() -> list[int] | None:
            text = self._pids.read_text() if self._pids.exists() else ""
            pids = [int(line) for line in text.splitlines()]
            return pids if len(pids) >= count else None

        found: list[int] = eventually(find)
        return found

    def release(self) -> None:
        """Let it end."""
        self._go.touch()


def test_a_message_whose_process_is_killed_is_run_again(
    ada: Client, actor: str, tmp_path: Path
) -> None:
    message = Message(tmp_path, print="once more", results=["taco"])
    execution_id = ada.submit(actor, message.orders)
    following = ada.submit(actor, {})
    os.kill(message.pids(1)[0], signal.SIGKILL)
    assert len(set(message.pids(2))) == 2
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 1)
    message.release()
    execution = ada.ended(actor, execution_id)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 3)
    # what came of the first attempt is not there twice
    assert ada.logs(actor, execution_id) == "once more\n"
    assert [ada.result_of(actor, execution_id) for _ in range(2)] == [b"taco", b""]
    assert ada.ended(actor, following)["exitCode"] == 0
    assert len(message.pids(2)) == 2


def test_a_message_that_always_kills_its_process_is_given_up(
    ada: Client, actor: str, tmp_path: Path
) -> None:
    file = tmp_path / "runs"
    execution = ada.run(actor, {"append": [str(file), "x"], "signal": "SIGKILL"})
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 137)
    assert file.read_text() == "x" * MAX_ATTEMPTS
    note = f"[abaco] the process was killed from outside, {MAX_ATTEMPTS} times\n"
    assert ada.logs(actor, execution["id"]) == note
    assert ada.run(actor, {})["exitCode"] == 0


def test_a_message_is_run_again_though_its_worker_is_to_end(
    ada: Client, actor: str, tmp_path: Path
) -> None:
    message = Message(tmp_path)
    execution_id = ada.submit(actor, message.orders)
    (pid,) = message.pids(1)
    (worker,) = ada.result("GET", f"/{actor}/workers")
    ada.result("DELETE", f"/{actor}/workers/{worker['id']}")
    os.kill(pid, signal.SIGKILL)
    message.pids(2)
    message.release()
    execution = ada.ended(actor, execution_id)
    assert execution["exitCode"] == 3
    assert execution["workerId"] != worker["id"]


def attempts(gateway: RunningGateway, execution: str) -> int:
    """Return how many attempts of an execution count: after ten, it is not begun again."""
    query = "SELECT attempts FROM executions WHERE id = ?"
    with contextlib.closing(sqlite3.connect(gateway.folder / "data" / "abaco.db")) as database:
        return int(database.execute(query, (execution,)).fetchone()[0])


@pytest.mark.parametrize(
    "child", [pytest.param({}, marks=pytest.mark.long), {"spawn": "new session"}]
)
def test_what_a_killed_gateway_left_is_ended_and_run_again(
    gateway: RunningGateway, ada: Client, actor: str, tmp_path: Path, child: dict[str, str]
) -> None:
    file = tmp_path / "child"
    orders = {name: [value, str(file)] for name, value in child.items()}
    said = {"print": "begins", "results": ["taco"]}
    message = Message(tmp_path, save=str(tmp_path / "facts"), **said, **orders)
    execution_id = ada.submit(actor, message.orders)
    waiting = [ada.submit(actor, {"exit": code}) for code in range(2)]
    (pid,) = message.pids(1)
    path = f"/{actor}/executions/{execution_id}"
    eventually(lambda: ada.result("GET", path)["status"] == "RUNNING")
    left = [pid, *(int(file.read_text()) for _ in child)]
    home = Path(json.loads((tmp_path / "facts").read_text())["environment"]["HOME"])
    gateway.kill()
    assert not any(gone(each) for each in left)
    assert home.exists()
    gateway.start()
    assert all(gone(each) for each in left)
    assert not home.exists()
    assert message.pids(2)[1] != pid
    assert attempts(gateway, execution_id) == 0
    message.release()
    assert ada.ended(actor, execution_id)["exitCode"] == 3
    # what came of the first attempt is not there twice
    assert ada.logs(actor, execution_id) == "begins\n"
    assert [ada.result_of(actor, execution_id) for _ in range(2)] == [b"taco", b""]
    assert [ada.ended(actor, each)["exitCode"] for each in waiting] == [0, 1]
    assert "1 executions were interrupted and start again" in gateway.log.read_text()


def test_a_gateway_that_is_stopped_lets_messages_end(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor("cold")
    message = Message(tmp_path)
    execution_id = ada.submit(actor, message.orders)
    message.pids(1)
    threading.Timer(0.5, message.release).start()
    assert gateway.stop() == 0
    gateway.start()
    assert ada.ended(actor, execution_id)["exitCode"] == 3
    assert len(message.pids(1)) == 1


@pytest.mark.long
def test_a_gateway_that_is_stopped_puts_back_what_goes_on(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actors = [ada.actor(mode) for mode in MODES]
    folders = [tmp_path / mode for mode in MODES]
    for folder in folders:
        folder.mkdir()
    messages = [Message(folder) for folder in folders]
    replies: list[httpx.Response] = []
    senders = [
        threading.Thread(target=lambda a=actor, m=message: replies.append(ada.ask(a, m.orders)))
        for actor, message in zip(actors, messages, strict=True)
    ]
    for sender in senders:
        sender.start()
    left = [message.pids(1)[0] for message in messages]
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS
    for sender in senders:
        sender.join()
    assert [reply.status_code for reply in replies] == [503, 503]
    assert all("will be run when it is back" in reply.json()["message"] for reply in replies)
    assert all(gone(pid) for pid in left)
    gateway.start()
    for actor, message in zip(actors, messages, strict=True):
        message.pids(2)
        message.release()
        (execution,) = ada.result("GET", f"/{actor}/executions")["executions"]
        assert ada.ended(actor, execution["id"])["exitCode"] == 3


def test_an_actor_that_was_being_deleted_is_gone_after_a_restart(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor, message = ada.actor("cold"), Message(tmp_path)
    ada.submit(actor, message.orders)
    (pid,) = message.pids(1)

    def delete() -> None:
        with pytest.raises(httpx.TransportError):
            ada.delete(f"/{actor}")

    deleting = threading.Thread(target=delete)
    deleting.start()
    eventually(is_in_status(ada, actor, "SHUTTING_DOWN"))
    gateway.kill()
    deleting.join()
    gateway.start()
    assert actor in ada.refusal("GET", f"/{actor}", 404)
    assert gone(pid)
    assert len(message.pids(1)) == 1


def test_what_ended_with_its_actor_is_not_put_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'abaco.db'}")
    message = executions.Message(b"{}", executions.TEXT, {})
    with database.write() as tx:
        actor = actors.create(tx, "SD2E", Registrant("ada"), {"image": "cold"})
        _, submitted, _ = executions.submit(tx, actor, "ada", message)
        executions.Beginning.write(tx, [executions.Beginning(submitted, "worker", clock.now())])
        assert executions.abandon(tx, actor["id"]) == [submitted]
        executions.Return.write(tx, [executions.Return(submitted, 1)])
        assert executions.waiting(tx, actor["id"]) == 0
        found = executions.find(tx, actor["id"], submitted)
        assert found is not None
        assert found["status"] == "ERROR"
    database.close()


@pytest.mark.parametrize("image", BROKEN)
def test_an_actor_that_cannot_be_run_says_why(ada: Client, image: str) -> None:
    actor = ada.result("POST", "", json={"image": image})["id"]
    eventually(is_in_status(ada, actor, "ERROR"))
    assert BROKEN[image][1] in ada.result("GET", f"/{actor}")["statusMessage"]
    assert ada.result("GET", f"/{actor}/workers") == []


@pytest.mark.parametrize("by", ["message", "update"])
def test_an_actor_that_has_been_repaired_runs_what_was_waiting(
    gateway: RunningGateway, ada: Client, by: str
) -> None:
    module = gateway.folder / "repaired.py"
    module.write_text("import nothing_of_this_name")
    actor = ada.result("POST", "", json={"image": "repaired"})["id"]
    eventually(is_in_status(ada, actor, "ERROR"))
    waiting = ada.submit(actor, {})
    assert ada.result("GET", f"/{actor}/executions/{waiting}")["status"] == "SUBMITTED"
    module.write_text("def main():\n    print('repaired')\n")
    if by == "update":
        ada.result("PUT", f"/{actor}", json={"image": "repaired"})
    else:
        assert ada.run(actor, {})["exitCode"] == 0
    assert ada.ended(actor, waiting)["exitCode"] == 0
    assert ada.logs(actor, waiting) == "repaired\n"
    assert ada.result("GET", f"/{actor}")["status"] == "READY"


def test_an_actor_that_is_repaired_while_it_fails_to_start_starts(
    gateway: RunningGateway, ada: Client
) -> None:
    module, begun, hold = (gateway.folder / name for name in ("repaired.py", "begun", "hold"))
    module.write_text(FAILS_LATE)
    hold.touch()
    actor = ada.result("POST", "", json={"image": "repaired"})["id"]
    eventually(begun.exists)
    module.write_text("def main():\n    print('repaired')\n")
    ada.result("PUT", f"/{actor}", json={"image": "repaired"})
    hold.unlink()
    eventually(is_in_status(ada, actor, "READY"))
    assert ada.run(actor, {})["exitCode"] == 0


def hosts(gateway: RunningGateway, handler: str) -> list[psutil.Process]:
    """Return the warm processes of an image that there are."""
    found = []
    for process in psutil.Process(gateway.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if handler in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_a_process_that_is_killed_while_it_starts_is_started_again(
    gateway: RunningGateway, ada: Client
) -> None:
    block = gateway.folder / "block"
    block.touch()
    actor = ada.result("POST", "", json={"image": "slow"})["id"]
    execution = ada.submit(actor, {})
    killed: set[int] = set()
    for _ in range(3):
        (host,) = eventually(
            lambda: [h for h in hosts(gateway, "slow:main") if h.pid not in killed]
        )
        killed.add(host.pid)
        host.kill()
    block.unlink()
    assert ada.ended(actor, execution)["exitCode"] == 0
    assert ada.logs(actor, execution) == "taco\n"
    assert ada.result("GET", f"/{actor}")["status"] == "READY"
    ada.result("DELETE", f"/{actor}")
    (gateway.folder / "called").unlink()


def test_a_message_can_be_stopped_while_its_process_is_made_ready(
    gateway: RunningGateway, ada: Client
) -> None:
    actor, block = ada.actor("slow"), gateway.folder / "block"
    called = gateway.folder / "called"
    (process,) = hosts(gateway, "slow:main")
    process.kill()
    block.touch()
    execution_id = ada.submit(actor, {})
    path = f"/{actor}/executions/{execution_id}"
    eventually(lambda: ada.result("GET", path)["status"] == "RUNNING")
    ada.result("DELETE", path)
    execution = ada.ended(actor, execution_id)
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 137)
    assert "stopped on request" in ada.logs(actor, execution_id)
    assert not called.exists()
    block.unlink()
    assert ada.run(actor, {})["exitCode"] == 0
    assert called.exists()
