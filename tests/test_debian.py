"""`make browser` and `make engines`: what they install, and who says so."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

STANDIN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def make(folder: Path, target: str, uid: int, **variables: str) -> tuple[int, str, list[str]]:
    """Run a target where neither it nor its programs are installed; return what was called."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("sh", "env", "basename"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "id").write_text(f"#!/bin/sh\necho {uid}\n")
    (programs / "apt-get").write_text(STANDIN)
    (programs / "sudo").write_text(f'{STANDIN}exec "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    done = subprocess.run(
        [
            shutil.which("make") or "make",
            "--silent",
            target,
            *(f"{k}={v}" for k, v in variables.items()),
        ],
        cwd=ROOT,
        env={"PATH": str(programs), "CALLS": str(calls)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


@pytest.mark.parametrize(("target", "package"), [("browser", "chromium"), ("engines", "podman")])
def test_root_installs_what_is_said_first(tmp_path: Path, target: str, package: str) -> None:
    code, said, calls = make(tmp_path, target, uid=0)
    assert code == 0, said
    update, install = calls
    assert update == "apt-get update --quiet=2"
    assert package in install.split()
    assert said == f"apt-get update && {install}\n"


def test_nobody_else_becomes_root_unasked(tmp_path: Path) -> None:
    code, said, calls = make(tmp_path, "engines", uid=1000)
    assert code != 0
    assert calls == []
    assert "make engines SUDO=sudo" in said
    assert "apt-get install" in said


def test_who_asks_becomes_root(tmp_path: Path) -> None:
    code, said, calls = make(tmp_path, "browser", uid=1000, SUDO="sudo")
    assert code == 0, said
    assert [call.split()[0] for call in calls] == ["sudo", "apt-get", "sudo", "apt-get"]
