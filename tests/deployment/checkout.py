"""A folder from which the actor is deployed, by `make` as people call it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from abaco import clientcache
from deployment.__main__ import main
from tests.abaco.running import EVERYONE, SECONDS, Client, RunningGateway
from tests.conftest import ROOT

STANDINS = Path(__file__).parent / "standins"
HUSH = "hush-hush-4711"
"""A value of secrets.json that nobody may see."""


class Result(NamedTuple):
    """What a target has done."""

    code: int
    out: str
    err: str

    @property
    def table(self) -> dict[str, str]:
        """The lines of the plan, by their first words."""
        pairs = [line.partition("  ") for line in self.out.splitlines() if "  " in line]
        return {name.strip(): rest.strip() for name, _, rest in pairs}

    @property
    def error(self) -> str:
        """The one line that says what was wrong."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("ERROR ")]
        return line.removeprefix("ERROR ")


class Checkout:
    """A folder with reactor.rc and secrets.json, and a user who may be signed in.

    Programs are found in its folder `bin` only, so that those of the machine do not matter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        shutil.copy(ROOT / "reactor.rc.sample", folder / "reactor.rc")
        self.write_secrets({"HUSH": HUSH})
        # one alias stands for one actor, and each test has its own
        self.environ: dict[str, str] = {"REACTOR_ALIAS": ""}

    def write_secrets(self, content: Any, mode: int = 0o600) -> None:
        """Write secrets.json."""
        file = self.folder / "secrets.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        file.chmod(mode)

    def sign_in(
        self,
        gateway: RunningGateway,
        user: str = "ada",
        server: str | None = None,
        roles: Sequence[str] = (EVERYONE,),
    ) -> Checkout:
        """Sign a user in at a gateway."""
        cache = self.folder / "agave" / "current"
        url = server or gateway.url
        clientcache.write(cache, gateway.grant(user, roles), tenant="SD2E", user=user, server=url)
        self.environ["AGAVE_CACHE_DIR"] = str(cache.parent)
        return self

    def install(self, name: str) -> Path:
        """Install the stand-in of a program; return the file of the calls that it gets."""
        program = self.programs / name
        program.write_text(f"#!{sys.executable}\n{(STANDINS / f'{name}.py').read_text()}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        calls = self.folder / f"{name}.calls"
        self.environ[f"{name.upper()}_CALLS"] = str(calls)
        calls.touch()
        return calls

    def calls(self, name: str) -> list[list[str]]:
        """Return the arguments of each call that a stand-in has got."""
        text = (self.folder / f"{name}.calls").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def make(self, target: str, **variables: str) -> Result:
        """Run a target of the Makefile; nothing that it prints is secret."""
        return _told_no_secret(self._make(Path(sys.executable).parent, target, variables))

    def run(self, target: str, **variables: str) -> Result:
        """Run what a target of the Makefile calls in this process, which takes less time.

        `make` runs, too: it says with which arguments.
        """
        binaries, noted = self.folder / ".bin", self.folder / ".arguments"
        binaries.mkdir(exist_ok=True)
        python = binaries / "python"
        python.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > {shlex.quote(str(noted))}\n")
        python.chmod(0o700)
        made = self._make(binaries, target, variables)
        assert (made.code, made.out) == (0, ""), made.err
        _module, _name, *arguments = noted.read_text().split("\0")[:-1]
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.ExitStack() as opened,
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.chdir(self.folder)
            # a process of its own would close them by its end
            connect = httpx.Client
            patch.setattr(httpx, "Client", lambda **how: opened.enter_context(connect(**how)))
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in {**self._variables, **variables}.items():
                patch.setenv(name, value)
            try:
                code = main(arguments)
            except SystemExit as end:
                code = int(end.code or 0)
        return _told_no_secret(Result(code, out.getvalue(), err.getvalue()))

    @property
    def _variables(self) -> dict[str, str]:
        return {
            "PATH": str(self.programs),
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            **self.environ,
        }

    def _make(self, binaries: Path, target: str, variables: Mapping[str, str]) -> Result:
        make = shutil.which("make")
        assert make is not None
        done = subprocess.run(
            [
                *(make, "--silent", "-f", str(ROOT / "Makefile"), "-o", ".venv/.installed"),
                f"BIN={binaries}",
                target,
                *(f"{name}={value}" for name, value in variables.items()),
            ],
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def deploy(self, **variables: str) -> str:
        """Deploy; return the id of the actor."""
        done = self.run("deploy", **variables)
        assert done.code == 0, done.err
        last = done.out.splitlines()[-1]
        assert last.endswith(" is READY.")
        return last.split()[0]


def _told_no_secret(done: Result) -> Result:
    assert HUSH not in done.out + done.err
    assert "Traceback" not in done.err
    return done


def actors(client: Client) -> set[str]:
    """Return the ids of the actors that a user sees."""
    return {each["id"] for each in client.result("GET", "")}
