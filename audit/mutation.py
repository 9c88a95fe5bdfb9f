"""`make mutate`: change the code that decides who may do what, and see whether a test notices.

The report is docs/mutation.md. What no test notices has its reason in survivors.toml beside this file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from audit import toml
from local.database import LocalDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).parent.parent
REPORT = PROJECT / "docs" / "mutation.md"
MUTANTS = PROJECT / "mutants"
REASONS = Path(__file__).parent / "survivors.toml"
LEAST_PERCENT = 90
SHARED_DATABASE = "PIPELINEJOBS_TEST_DATABASE"
"""Where tests/conftest.py finds a database that runs already."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - for a folder of its own, in memory
_MUTMUT = (sys.executable, "-m", "mutmut")
_SURVIVED = (0, 5, 33)
"""Exit codes of pytest for a mutant: all tests passed, or there are none."""
_NAME = re.compile(r"(.+)\.x(?:ǁ(\w+)ǁ|_)(\w+?)__mutmut_\d+")
_INTRODUCTION = """\
# Mutation testing

`make mutate` changes the code that decides who may do what and what has happened, one small change (a mutant) at a
time, and runs the tests that know that code. A mutant is killed if a test fails or does not end. [mutmut](https://mutmut.readthedocs.io)
makes the mutants; which files and tests is in `pyproject.toml`. This page is what the last run has found;
the run fails below {least} % or if a survivor has no reason in `audit/survivors.toml`.

mutmut changes functions. Tables such as the one of the state machine are not functions: `tests/datacatalog/linkedstores/pipelinejob/test_fsm.py`
compares that one with a second one, pair by pair.
"""


class Survivor(NamedTuple):
    """A mutant that no test noticed."""

    function: str
    change: str
    """what was there, an arrow, what is there instead"""


class Reason(NamedTuple):
    """Why some mutants survive: patterns of their functions and changes."""

    function: str
    change: str
    reason: str


class Found(NamedTuple):
    """What a run has found."""

    mutants: Counter[str]
    """by module"""
    survivors: list[tuple[Survivor, str]]
    """with their reasons; empty where there is none"""

    @property
    def percent(self) -> float:
        """Of the mutants, those that were killed."""
        total = self.mutants.total()
        return 100 * (total - len(self.survivors)) / total


def function_of(mutant: str) -> str:
    """Return the function that a mutant is one of, as people write it."""
    match = _NAME.fullmatch(mutant)
    if match is None:
        message = f"{mutant} is not the name of a mutant"
        raise ValueError(message)
    return ".".join(part for part in match.groups() if part)


def change_of(diff: str) -> str:
    """Return what a diff changes, on one line."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return f"{before} → {after or 'nothing'}"


def reasons(file: Path = REASONS) -> list[Reason]:
    """Read why mutants survive."""
    entries = toml.read(file).get("survivor", [])
    return [Reason(each["function"], each["change"], each["reason"]) for each in entries]


def reason_of(survivor: Survivor, known: Sequence[Reason]) -> str:
    """Return why a mutant survives, empty where nobody has said."""
    for each in known:
        if fnmatchcase(survivor.function, each.function) and each.change in survivor.change:
            return each.reason
    return ""


def report(found: Found) -> str:
    """Return the page that tells what a run has found."""
    lines = [
        _INTRODUCTION.format(least=LEAST_PERCENT),
        f"Of {found.mutants.total()} mutants {found.percent:.1f} % were killed.",
        "",
        "| module | mutants | killed |",
        "|---|---|---|",
    ]
    lost = Counter(_module(survivor.function) for survivor, _ in found.survivors)
    for module, count in sorted(found.mutants.items()):
        lines.append(f"| `{module}` | {count} | {count - lost[module]} |")
    lines += [
        "",
        "## Survivors",
        "",
        "| function | change | why no test notices |",
        "|---|---|---|",
    ]
    for survivor, reason in sorted(found.survivors):
        change = survivor.change.replace("|", "\\|")
        lines.append(f"| `{survivor.function}` | `` {change} `` | {reason} |")
    return "\n".join([*lines, ""])


def _module(function: str) -> str:
    name = function
    while name and not (PROJECT / f"{name.replace('.', '/')}.py").exists():
        package = PROJECT / name.replace(".", "/") / "__init__.py"
        if package.exists():
            return name
        name = name.rpartition(".")[0]
    return name


def forget_survivors(folder: Path) -> None:
    """Have mutants tried again that no test noticed: by now one may.

    Args:
        folder: in which mutmut keeps the results of its runs.
    """
    for file in folder.rglob("*.meta"):
        content = json.loads(file.read_text(encoding="utf-8"))
        codes = content["exit_code_by_key"]
        content["exit_code_by_key"] = {
            name: None if code in _SURVIVED else code for name, code in codes.items()
        }
        file.write_text(json.dumps(content), encoding="utf-8")


def _results() -> Iterator[tuple[str, int | None]]:
    for file in sorted(MUTANTS.rglob("*.meta")):
        yield from json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"].items()


def _run(database: str) -> int:
    command = [*_MUTMUT, "run", "--max-children", str(os.cpu_count() or 1)]
    environ = {**os.environ, SHARED_DATABASE: database}
    return subprocess.run(command, cwd=PROJECT, env=environ, check=False).returncode


def _diff(mutant: str) -> str:
    command = [*_MUTMUT, "show", mutant]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> int:
    """Run mutmut, write the report; return the exit code.

    After an interruption, and after a change of tests or code, the next run tries what is left.
    """
    forget_survivors(MUTANTS)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        database = LocalDatabase(Path(folder))
        database.start()
        try:
            code = _run(folder)
        finally:
            database.stop()
    results = dict(_results())
    if code or None in results.values():
        print("mutmut did not come to its end")
        return 1
    known = reasons()
    survivors = []
    for mutant in (name for name, exit_code in results.items() if exit_code in _SURVIVED):
        survivor = Survivor(function_of(mutant), change_of(_diff(mutant)))
        survivors.append((survivor, reason_of(survivor, known)))
    found = Found(Counter(_module(function_of(name)) for name in results), survivors)
    REPORT.write_text(report(found), encoding="utf-8")
    unexplained = [survivor for survivor, reason in survivors if not reason]
    for survivor in unexplained:
        print(f"no reason: {survivor.function}: {survivor.change}")
    print(f"{found.percent:.1f} % killed, see {REPORT.relative_to(PROJECT)}")
    return int(found.percent < LEAST_PERCENT or bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
