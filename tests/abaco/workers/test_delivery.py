"""What is running when the gateway ends begins again; see `test_recovery.py` for the main case."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.abaco.running import RunningGateway, eventually
from tests.abaco.workers.test_recovery import attempts


@pytest.mark.long
def test_what_was_running_begins_again_after_a_stop(tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with RunningGateway(tmp_path) as gateway, gateway.client() as ada:
        actor = ada.actor("warm")
        orders = {"print": "begins", "results": ["taco"], "touch": str(begun)}
        execution = ada.submit(actor, {**orders, "wait for": str(gate)})
        behind = ada.submit(actor, {"print": "next"})
        eventually(begun.exists)
        assert gateway.stop() == 0
        begun.unlink()
        gateway.start()
        eventually(begun.exists)
        assert attempts(gateway, execution) == 0
        gate.touch()
        assert [ada.ended(actor, each)["exitCode"] for each in (execution, behind)] == [0, 0]
        assert [ada.logs(actor, each) for each in (execution, behind)] == ["begins\n", "next\n"]
        # what came of the first attempt is not there twice
        assert [ada.result_of(actor, execution) for _ in range(2)] == [b"taco", b""]


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
