"""The dispatcher as it runs beside a gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


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
