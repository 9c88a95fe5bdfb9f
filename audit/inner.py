"""`make check`: what can be said about one file in seconds.

The linters look at that file alone. mypy checks all types: the first time takes half a minute, then it
knows from its cache what has not changed. Of the tests, those run that are called after the
module: `tests/manager/**/test_messages*.py` for `manager/messages.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BINARIES = Path(sys.executable).parent
_SYNTAX = 2


def tests_of(file: Path, folder: Path) -> list[Path]:
    """Return the tests of a file: itself if it is one, else those that are called after it."""
    tests = folder / "tests"
    if file.is_relative_to(tests):
        return [file] if file.name.startswith("test_") else []
    # another room may have a module of the same name
    *rooms, _ = file.relative_to(folder).parts
    room = tests.joinpath(*rooms[:1])
    return sorted([*room.rglob(f"test_{file.stem}.py"), *room.rglob(f"test_{file.stem}_*.py")])


def commands(file: Path, folder: Path) -> list[list[str]]:
    """Return what is run for a file, one after the other."""
    name = str(file.relative_to(folder))
    if file.suffix != ".py":
        return [["python", "-m", "audit.prose", name]]
    tests = [str(path.relative_to(folder)) for path in tests_of(file, folder)]
    return [
        ["ruff", "format", "--check", name],
        ["ruff", "check", name],
        ["python", "-m", "audit.prose", name],
        ["mypy"],
        *([["pytest", "-n", "0", "-q", "-x", *tests]] if tests else []),
    ]


def main(arguments: list[str], folder: Path) -> int:
    """Check the file that is named; return the exit code of the first command that fails."""
    file = folder.joinpath(*arguments).resolve()
    if not file.is_file() or not file.is_relative_to(folder):
        sys.stderr.write("Name a file of this repository: make check FILE=manager/messages.py\n")
        return _SYNTAX
    for program, *words in commands(file, folder):
        print(f"$ {program} {' '.join(words)}", flush=True)
        done = subprocess.run([str(BINARIES / program), *words], cwd=folder, check=False)
        if done.returncode:
            return done.returncode
    if file.suffix == ".py" and not tests_of(file, folder):
        print(f"No test is called after {file.name}: run those that use it.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
