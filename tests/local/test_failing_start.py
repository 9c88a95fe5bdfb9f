"""Whatever makes a start of `make up` fail, nothing of it is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from pipelinejobs.exceptions import FAILED
from tests.abaco.running import SECONDS, eventually
from tests.conftest import ROOT
from tests.databases import place

SETUP = """
from local import processes
from local import up

def fail(*_):
    raise ValueError("no page today")

{patch}
prepare = up.prepare
"""


class FailingStart:
    """A start of the gateway of `make up`, in a folder in which it has been before.

    Args:
        folder: of its files.
        patch: what is done to the modules before.
    """

    def __init__(self, folder: Path, patch: str = "") -> None:
        (folder / "preparation.py").write_text(SETUP.format(patch=patch))
        content = {
            "port": 0,
            "setup": "preparation",
            "images": str(ROOT / "images.yml"),
        }
        (folder / "abaco.yml").write_text(yaml.safe_dump(content))
        paths = os.pathsep.join([str(ROOT), str(folder)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "abaco", "serve"],
            cwd=folder,
            env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        """Return the exit code, and what it said."""
        try:
            printed, said = self.process.communicate(timeout=SECONDS)
        finally:
            # one that does not fail, as it should
            self.process.terminate()
        assert printed == ""
        return self.process.returncode, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("up")
    place(folder / ".local")
    yield folder
    assert left(folder) == []


def left(folder: Path) -> list[str]:
    """Return the command lines of what runs in a folder."""
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("up.make_page = fail", "ERROR no page today\n"),
        pytest.param(
            "up.make_page = lambda *_: fail", "ValueError: no page today\n", marks=pytest.mark.long
        ),
        pytest.param("up._job = fail", "ERROR no page today\n", marks=pytest.mark.long),
    ],
    ids=["the page", "the application", "the job"],
)
def test_what_cannot_be_made_leaves_no_database_running(
    folder: Path, patch: str, says: str
) -> None:
    code, said = FailingStart(folder, patch).end()
    assert (code, said[-len(says) :]) == (1, says)
    assert left(folder) == []


@pytest.mark.long
def test_a_full_disk_is_said_with_the_folder_and_leaves_no_database_running(folder: Path) -> None:
    full = "OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
    patch = f"import errno, os\ndef refuse(_): raise {full}\nos.fsync = refuse"
    code, said = FailingStart(folder, patch).end()
    assert (code, said) == (1, f"ERROR {folder / '.local'}: No space left on device\n")
    assert left(folder) == []


def test_ctrl_c_ends_a_start_that_waits_for_the_database(folder: Path) -> None:
    program = folder / "sleeper"
    program.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)\n")
    program.chmod(0o755)
    start = FailingStart(folder, "processes.PROGRAM = 'sleeper'")
    eventually(lambda: any("sleeper" in line for line in left(folder)))
    start.process.send_signal(signal.SIGINT)
    code, said = start.end()
    assert code in (FAILED, 128 + signal.SIGINT)
    assert said == "ERROR the start of the local database was interrupted\n"
    assert left(folder) == []
