"""The parts of an audit: each runs a program of others, and returns what it found in lines."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from audit.accepted import Acceptance

BASELINE = ".secrets.baseline"
MAX_SECONDS = 300
_SOCKET_SECONDS = 5
_UNREACHABLE = ("requests.exceptions.", "ConnectionError", "Could not connect")


class Failed(Exception):
    """One of the programs did not do its work."""


class Unreachable(Exception):
    """The service that knows of vulnerabilities does not answer, or knows none of the packages."""


def vulnerabilities(folder: Path, accepted: Acceptance) -> list[str]:
    """Look for known vulnerabilities of what the image has, and of what is installed here.

    Raises:
        Failed: pip-audit did not do its work.
        Unreachable: nobody can be asked.
    """
    found: list[str] = []
    pinned = ["--requirement", "requirements.txt", "--disable-pip", "--require-hashes"]
    for where in (pinned, ["--skip-editable"]):
        dependencies = _ask(folder, *where)
        if dependencies and all("skip_reason" in each for each in dependencies):
            message = "it knows none of the packages"
            raise Unreachable(message)
        found += [
            f"{each['name']} {each['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'no version'}"
            for each in dependencies
            for one in each.get("vulns", [])
            if not accepted.has(one["id"], each["name"])
        ]
    return sorted(set(found))


def _ask(folder: Path, *where: str) -> list[dict[str, Any]]:
    arguments = ["--format", "json", "--progress-spinner", "off", "--timeout", str(_SOCKET_SECONDS)]
    try:
        done = _run(folder, "pip_audit", *arguments, *where)
    except Failed as error:
        raise Unreachable(str(error)) from error
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if any(sign in done.stderr for sign in _UNREACHABLE):
            raise Unreachable(last[:200]) from None
        message = f"pip_audit failed: {last}"
        raise Failed(message) from None
    return dependencies


def code(folder: Path, accepted: Acceptance) -> list[str]:
    """Look for what is dangerous in the code, with bandit."""
    files = [file for file in tracked(folder) if file.endswith(".py")]
    arguments = ["--configfile", "pyproject.toml", "--format", "json", "--quiet"]
    done = _run(folder, "bandit", *arguments, *(f for f in files if not f.startswith("tests/")))
    report = json.loads(done.stdout)
    problems = [f"{each['filename']}: {each['reason']}" for each in report["errors"]]
    for each in report["results"]:
        file = each["filename"].removeprefix("./")
        if not accepted.has(each["test_id"], file):
            problems.append(f"{file}:{each['line_number']}: {each['test_id']} {each['issue_text']}")
    return problems + accepted.unused(lambda test: test[:1] == "B" and test[1:].isdecimal())


def secrets(folder: Path, accepted: Acceptance) -> list[str]:
    """Look for secrets in what is under version control; those of the baseline are made up."""
    files = [file for file in tracked(folder) if file != BASELINE and (folder / file).is_file()]
    known = json.loads((folder / BASELINE).read_text(encoding="utf-8"))
    done = _run(folder, "detect_secrets", "scan", "--no-verify", *files)
    report = json.loads(done.stdout)["results"]
    problems = []
    for file, found in sorted(report.items()):
        hashes = {each["hashed_secret"] for each in known["results"].get(file, [])}
        problems += [
            f"{file}:{each['line_number']}: {each['type']}"
            for each in found
            if each["hashed_secret"] not in hashes or not accepted.has("secret", file)
        ]
    return problems + accepted.unused(lambda test: test == "secret")


def tracked(folder: Path) -> list[str]:
    """Return the files that are under version control."""
    done = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - the one that whoever works here uses
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [file for file in done.stdout.split("\0") if file]


def _run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=MAX_SECONDS,
        )
    except subprocess.TimeoutExpired:
        message = f"{module} did not end within {MAX_SECONDS} s"
        raise Failed(message) from None
