"""What is running when a process or the gateway ends begins again, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.abaco.running import RunningGateway, eventually, opened


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway of the test's own, which it may kill."""
    gateway = RunningGateway(tmp_path).start()
    yield gateway
    gateway.kill()


def hosts(gateway: RunningGateway) -> list[psutil.Process]:
    """Return the processes of a gateway's workers."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(gateway.pid).children()
    return []


@pytest.mark.parametrize(
    ("mode", "end"),
    [
        ("cold", RunningGateway.kill),
        pytest.param("warm", RunningGateway.stop, marks=pytest.mark.long),
    ],
)
def test_what_was_running_begins_again_at_the_next_start(
    running: RunningGateway, tmp_path: Path, mode: str, end: Callable[[RunningGateway], Any]
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with running.client() as ada:
        actor = ada.actor(mode)
        orders = {"print": "begins", "results": ["taco"], "touch": str(begun)}
        execution = ada.submit(actor, {**orders, "wait for": str(gate)})
        behind = ada.submit(actor, {"print": "next"})
        eventually(begun.exists)
        end(running)
        begun.unlink()
        running.start()
        eventually(begun.exists)
        assert attempts(running, execution) == 0
        gate.touch()
        assert [ada.ended(actor, each)["exitCode"] for each in (execution, behind)] == [0, 0]
        assert [ada.logs(actor, each) for each in (execution, behind)] == ["begins\n", "next\n"]
        # what came of the first attempt is not there twice
        assert [ada.result_of(actor, execution) for _ in range(2)] == [b"taco", b""]


def attempts(gateway: RunningGateway, execution: str) -> int:
    """Return how many attempts of an execution count: after ten, it is not begun again."""
    query = "SELECT attempts FROM executions WHERE id = ?"
    with contextlib.closing(sqlite3.connect(gateway.folder / "data" / "abaco.db")) as database:
        return int(database.execute(query, (execution,)).fetchone()[0])


def test_of_a_process_that_is_killed_nothing_is_left_for_the_next_attempt(
    running: RunningGateway, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with running.client() as ada:
        actor = ada.actor("warm")
        orders = {"print": "begins", "results": ["taco"], "touch": str(begun)}
        execution = ada.submit(actor, {**orders, "wait for": str(gate)})
        eventually(begun.exists)
        begun.unlink()
        (host,) = hosts(running)
        host.kill()
        eventually(begun.exists)
        gate.touch()
        assert ada.ended(actor, execution)["exitCode"] == 0
        assert ada.logs(actor, execution) == "begins\n"
        assert [ada.result_of(actor, execution) for _ in range(2)] == [b"taco", b""]


def test_a_process_that_is_killed_while_it_starts_is_started_again(
    running: RunningGateway, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "slow.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
        "def main(): print('taco')\n"
    )
    image = {"folder": str(tmp_path), "command": ["python3"], "mode": "warm"}
    images = {"slow": {**image, "handler": "slow:main"}}
    (running.folder / "images.yml").write_text(yaml.safe_dump(opened(images)))
    with running.client() as ada:
        actor = ada.result("POST", "", json={"image": "slow"})["id"]
        execution = ada.submit(actor, {})
        killed: set[int] = set()
        for _ in range(3):
            (host,) = eventually(lambda: [h for h in hosts(running) if h.pid not in killed])
            killed.add(host.pid)
            host.kill()
        gate.touch()
        assert ada.ended(actor, execution)["exitCode"] == 0
        assert ada.logs(actor, execution) == "taco\n"
        assert ada.result("GET", f"/{actor}")["status"] == "READY"


@pytest.mark.long
def test_several_that_were_running_begin_again_at_the_next_start(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with RunningGateway(tmp_path) as gateway, gateway.client() as ada:
        sent = []
        for _ in range(3):
            actor = ada.actor("cold")
            sent.append((actor, ada.submit(actor, {"wait for": str(gate)})))
            path = f"/{actor}/executions/{sent[-1][1]}"
            eventually(lambda path=path: ada.result("GET", path)["status"] == "RUNNING")  # type: ignore[misc]
        gateway.kill()
        gateway.start()
        gate.touch()
        assert [ada.ended(*each)["exitCode"] for each in sent] == [0, 0, 0]
