"""The dispatcher as it runs beside a gateway."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from tests.abaco.running import eventually
from tests.conftest import ROOT
from tests.pipelinejobs.running import interrupted, started


def test_it_says_why_it_cannot_begin(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelinejobs.dispatcher", str(tmp_path), "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR no database: start the local one with `make up`")
    assert len(done.stderr.splitlines()) == 1


def test_it_does_without_the_command_line() -> None:
    statement = "import pipelinejobs.dispatcher, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", statement], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"pymongo", "manager.subscriptions.service"} <= {*done.stdout.split()}
    assert not {"typer", "rich", "pipelinejobs.app"} & {*done.stdout.split()}


def test_ctrl_c_ends_it_in_order_though_it_comes_again(
    jobs: PipelineJobStore, variables: dict[str, str], tmp_path: Path
) -> None:
    with started("dispatch", folder=tmp_path, variables=variables) as process:
        eventually(jobs.untold.holder)
        # as `timeout` sends it, to the process and to its group, or an impatient person
        for _ in range(10):
            process.send_signal(signal.SIGINT)
            time.sleep(0.001)
        done = interrupted(process)
    assert (done.code, done.err) == (130, "")
    # the next need not wait until the lease has run out
    assert jobs.untold.holder() is None
