from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reactors import process
from reactors.runtime import process as from_runtime
from reactors.utils import process as from_utils

PYTHON = sys.executable


def test_callers_find_it_in_runtime_and_utils() -> None:
    assert process is from_runtime is from_utils


def test_a_program_is_run_and_what_it_wrote_returned() -> None:
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    response = process.run([PYTHON, "-c", code])
    assert response.exit_code == 0
    assert response.output == "out\nerr\n"
    assert response.cmdline.startswith(f"{PYTHON} -c 'import sys;")
    assert 0 < response.elapsed_msec < 20_000
    assert response == dict(response)


@pytest.mark.parametrize(
    ("code", "exit_code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_a_program_that_fails_is_told_by_its_exit_code(code: str, exit_code: int) -> None:
    assert process.run([PYTHON, "-c", code]).exit_code == exit_code


def test_arguments_are_no_shell_and_may_be_of_any_type(tmp_path: Path) -> None:
    command: list[Any] = [PYTHON, "-c", "import sys; print(sys.argv[1:])"]
    arguments = ["$HOME; id", "a b", 5, 1.5, tmp_path]
    expected = ["$HOME; id", "a b", "5", "1.5", str(tmp_path)]
    assert process.run([*command, *arguments]).output == f"{expected}\n"


def test_a_program_has_nothing_to_read_and_the_actors_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SALSA", "verde")
    code = "import os, sys; print(os.environ['SALSA'], repr(sys.stdin.read()))"
    assert process.run([PYTHON, "-c", code]).output == "verde ''\n"


def test_output_that_is_no_text_is_kept_as_far_as_it_is() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'caf\xe9 \xf0\x9f\x8c\xae')"
    assert process.run([PYTHON, "-c", code]).output == "caf� 🌮"


def test_a_lot_of_output_is_read() -> None:
    response = process.run([PYTHON, "-c", "print('x' * 5_000_000)"])
    assert len(response.output) == 5_000_001


@pytest.mark.parametrize("name", ["no-such-program", "/no/such/program"])
def test_a_program_that_is_not_there_is_127(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        process.run([name, "x"])
    response = process.run([name, "x"], permissive=True)
    assert response.return_code == response.exit_code
    assert response.exit_code == process.NOT_FOUND == 127
    assert response.output == f"{name}: No such file or directory"


def test_a_program_that_cannot_be_run_is_126(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    with pytest.raises(PermissionError):
        process.run([tmp_path / "data"])
    response = process.run([tmp_path / "data"], permissive=True)
    assert response.exit_code == process.NOT_STARTED == 126
    assert response.output.endswith("data: Permission denied")


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    code = (
        "import subprocess, sys, time; print('began', flush=True)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(started)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)"
    )
    began = time.monotonic()
    response = process.run([PYTHON, "-c", code], timeout=2)
    assert time.monotonic() - began < 30
    assert response.exit_code == process.TIMED_OUT == 124
    assert response.output == "began\n"
    assert 2_000 <= response.elapsed_msec < 30_000
    ended(int(started.read_text()))


def test_a_time_out_does_not_hurt_a_program_that_is_fast() -> None:
    assert process.run([PYTHON, "-c", "print(1)"], timeout=60).output == "1\n"


def ended(pid: int) -> None:
    """Wait until a process is gone, or but an entry in the table of its new parent."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)
