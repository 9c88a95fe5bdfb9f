from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from abaco.workers import processes


def test_who_has_no_environment_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # as the processes of PostgreSQL, which write their titles over it
    others = [subprocess.Popen(["/bin/sleep", "60"], env={}) for _ in range(3)]
    waits: list[float] = []
    monkeypatch.setattr(processes, "time", SimpleNamespace(sleep=waits.append))
    try:
        assert processes.end_left("_abaco_worker_id", "nobody") == 0
        assert all(other.poll() is None for other in others)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert len(waits) < len(others), waits
