"""What the image gets: the files that the Dockerfile copies, and what requirements.txt pins."""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from datacatalog.mongo import Db, Document
from tests.conftest import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
OPTIONAL = {"magic", "cloudevents", "openlineage", "pygraphviz"}
"""What `datacatalog.filetypes` does without, and what a subscription that needs it asks for by name."""


def instructions(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage that come after FROM, with their arguments."""
    lines = [line for line in stage.splitlines()[1:] if line.strip() and line[0] != "#"]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in whole)]


def copied() -> list[str]:
    """Return what the last stage copies from the repository."""
    found: list[str] = []
    for name, rest in instructions(STAGES[-1]):
        if name == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            assert target in {"/", *(f"/{source}" for source in sources)}
            found += sources
    return found


def in_context(path: str) -> bool:
    """Tell whether the engine gets to see a path, by .dockerignore: the last pattern wins."""
    seen = True
    names = [*Path(path).parents, Path(path)]
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!").removeprefix("**/")
        nested = "**/" in line
        if any(fnmatch.fnmatchcase(n.name if nested else str(n), pattern) for n in names if n.name):
            seen = line.startswith("!")
    return seen


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the image that are the actor's own."""
    folder = tmp_path_factory.mktemp("image")
    for name in copied():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


# The files


def test_what_is_copied_is_seen_and_nothing_else_is() -> None:
    seen = {path.name for path in ROOT.iterdir() if in_context(path.name)}
    assert seen == {*copied(), "requirements.txt"}
    assert in_context("manager/actions.py")


@pytest.mark.parametrize(
    "path",
    [
        "secrets.json",
        "reactor.rc",
        ".ACTOR_ID",
        ".git/config",
        ".local/abaco/agave/current",
        ".venv/bin/python",
        "tests/conftest.py",
        "local/database.py",
        "manager/__pycache__/actions.cpython-312.pyc",
    ],
)
def test_what_is_private_or_not_needed_is_not_seen(path: str) -> None:
    assert not in_context(path)


@pytest.mark.parametrize("name", ["secrets.json", "reactor.rc", ".ACTOR_ID"])
def test_what_is_private_is_not_committed(name: str) -> None:
    assert name in (ROOT / ".gitignore").read_text().splitlines()
    assert f"{name}.sample" not in (ROOT / ".gitignore").read_text()


def test_the_files_process_a_message_on_their_own(
    tree: Path, tmp_path: Path, mongodb: dict[str, Any], job: Document, db: Db
) -> None:
    (command,) = [rest for name, rest in instructions(STAGES[-1]) if name == "CMD"]
    python, reactor = json.loads(command)
    assert (python, reactor) == ("python3", "/reactor.py")
    message = {"uuid": job["uuid"], "name": "run", "token": job["_update_token"]}
    done = subprocess.run(
        [sys.executable, f"{tree}{reactor}"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "MSG": repr(message),
            "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
            "_REACTOR_MONGODB_DATABASE": mongodb["database"],
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stored = db["jobs"].find_one({"uuid": job["uuid"]})
    assert stored is not None
    assert stored["state"] == "RUNNING"


# The packages


def requirements() -> dict[str, str]:
    """Return the pinned versions, by the names of the packages."""
    found: dict[str, str] = {}
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        requirement, *hashes = line.split()
        name, _, version = requirement.partition("==")
        assert version, line
        assert hashes, f"{name} has no hash: make requirements"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
        found[canonicalize_name(name)] = version
    return found


def test_requirements_pin_what_the_project_declares() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)
    assert block is not None
    declared = [Requirement(text) for text in re.findall(r'"([^"]+)"', block[1])]
    pinned = requirements()
    assert len(declared) == 7
    for each in declared:
        version = pinned[canonicalize_name(each.name)]
        # what the image has is what is tested
        assert each.specifier.contains(version), each
        assert f'"{each.name}=={version}"' in pyproject, each


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_requirements_pin_what_these_need(machine: str) -> None:
    pinned = requirements()
    platform = {
        "python_version": "3.12",
        "python_full_version": "3.12.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "extra": "",
    }
    looked_at = 0
    for name, version in pinned.items():
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if distribution.version != version:
            continue
        looked_at += 1
        for each in map(Requirement, distribution.requires or ()):
            if each.marker is None or each.marker.evaluate(platform):
                assert canonicalize_name(each.name) in pinned, f"{name} needs {each}"
    assert looked_at > 7


def test_all_that_is_imported_comes_with_the_image(tree: Path) -> None:
    known = {path.stem for path in tree.iterdir()} | set(sys.stdlib_module_names) | OPTIONAL
    for name in requirements():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            files = importlib.metadata.files(name) or []
            known |= {file.parts[0].removesuffix(".py") for file in files}
    strange = {file: imported(file) - known for file in tree.rglob("*.py")}
    assert {file: names for file, names in strange.items() if names} == {}


def imported(file: Path) -> set[str]:
    """Return the first parts of the modules that a file imports, in its functions as well."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0
            found.add(node.module.partition(".")[0])
    return found


# The rest


def test_each_stage_is_built_on_the_argument_that_has_the_digest() -> None:
    assert re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE) == ["PYTHON"]
    assert {stage.split()[0] for stage in STAGES} == {"${PYTHON}"}


def test_packages_are_installed_by_their_hashes_and_pip_does_not_stay() -> None:
    installs = [rest for name, rest in instructions(STAGES[0]) if name == "RUN"]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    last = " ".join(rest for name, rest in instructions(STAGES[-1]) if name == "RUN")
    assert "pip uninstall" in last
    assert "pip install" not in last


def test_it_does_not_run_as_root_and_can_write_where_it_works() -> None:
    values = dict(instructions(STAGES[-1]))
    assert int(values["USER"]) > 0
    folder = values["WORKDIR"]
    assert f"--mode=1777 {folder}" in values["RUN"]
    assert f"HOME={folder}" in values["ENV"]
