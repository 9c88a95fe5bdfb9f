"""The command line as people run it: in this process, and as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from local.database import LocalDatabase
from tests import databases
from tests.abaco.running import SECONDS, RunningGateway, eventually
from tests.conftest import ROOT

TRUSTED = "trudy"
"""A user whom the manager of the gateway that is up trusts."""
COMMAND = [sys.executable, "-m", "pipelinejobs"]


class Result(NamedTuple):
    """What a command has done."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


Run = Callable[..., Result]
Screen = Callable[..., str]
"""Runs a command whose output is a terminal, told its width; returns what that shows."""


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that finds the code and nothing of the machine's own."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nowhere", **variables}


def execute(
    *arguments: str, folder: Path, variables: Mapping[str, str] | None = None, text: str = ""
) -> Result:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(variables or {}),
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(
    *arguments: str, folder: Path, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a command that does not end by itself."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(variables or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> Result:
    """Press Ctrl-C; return what became of a command."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    return Result(process.returncode, out, err)


def read_until(controller: int, text: str | None) -> str:
    """Return what a terminal shows until a string comes, or to the end."""
    shown = b""
    while text is None or text.encode() not in shown:
        try:
            part = os.read(controller, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    return shown.decode()


def gateway_in(folder: Path, **environ: str) -> RunningGateway:
    """Return the gateway of `make up`, not started yet, with all its files in a folder."""
    databases.place(folder / ".local")
    images = yaml.safe_load((ROOT / "images.yml").read_text())
    for image in images.values():
        image["folder"] = str(ROOT)
    settings = {"data": ".local/abaco", "setup": "local.up"}
    return RunningGateway(folder, images=images, settings=settings, environ=environ)


@contextmanager
def site_in(folder: Path) -> Iterator[RunningGateway]:
    """Have the gateway of `make up` run, with a database, and end in order."""
    trusted = {"_REACTOR_AUTHORIZATION_TRUSTED_USERS": f'["{TRUSTED}"]'}
    gateway = gateway_in(folder, **trusted).start()
    database = LocalDatabase(folder / ".local")
    yield gateway
    assert gateway.stop() == 0, gateway.log.read_text()
    assert database.status() is None


def line_of(gateway: RunningGateway, what: str) -> str:
    """Return the line about something that `make up` prints, one after the other."""
    found: list[str] = eventually(
        lambda: [line for line in gateway.lines if line.startswith(f"{what} ")]
    )
    return found[0]


def told(gateway: RunningGateway, what: str) -> str:
    """Return what `make up` prints about something."""
    return line_of(gateway, what).split()[1]
