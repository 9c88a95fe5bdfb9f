"""Copies of the client and of its wrapper, where nothing else is installed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from datacatalog.mongo import Document
from pipelinejobs.client import VARIABLE, main
from tests.abaco.running import SECONDS
from tests.conftest import ROOT
from tests.site import Site

MODULE = ROOT / "pipelinejobs" / "client.py"
WRAPPER = ROOT / "pipelinejobs" / "report.py"
PYENV = Path.home() / ".pyenv" / "versions"
"""Where other Pythons may be."""


@pytest.fixture
def url(site: Site, work: Document) -> str:
    return site.callback(work)


def test_it_needs_the_standard_library_alone_of_an_old_python() -> None:
    for path, others in ((MODULE, set()), (WRAPPER, {"pipelinejobs", "client"})):
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        imported = {
            (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | others


def alone(
    folder: Path,
    url: str,
    *arguments: str,
    files: tuple[Path, ...] = (MODULE,),
    python: str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run the last of some files, which are copied to a folder, in a Python without packages."""
    for file in files:
        shutil.copy(file, folder)
    return subprocess.run(
        [python, "-S", str(folder / files[-1].name), *arguments],
        env={VARIABLE: url, "PATH": os.environ["PATH"]},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_a_copy_of_it_is_a_command(site: Site, work: Document, url: str, tmp_path: Path) -> None:
    runs = [
        alone(tmp_path, url, "run"),
        alone(tmp_path, url, "update", "--data", '{"progress": 0.4}', "--event-id", "1"),
        alone(tmp_path, url, "update", "--data", '{"progress": 0.4}', "--event-id", "1"),
        alone(tmp_path, "", "finish", "--callback", url),
        alone(tmp_path, url, "run"),
        alone(
            tmp_path, url.replace(site.gateway.url, "http://127.0.0.1:1"), "run", "--patience", "0"
        ),
        alone(tmp_path, "", "run"),
        alone(tmp_path, url, "run", "--data", "{"),
    ]

    assert [done.returncode for done in runs] == [0, 0, 0, 0, 1, 75, 1, 2]
    assert site.events(work) == ["run", "update", "finish"]
    assert runs[4].stderr.startswith("run event refused: not allowed in state FINISHED")
    assert (
        runs[5].stderr
        == "run event: not reported: no answer from 127.0.0.1:1 (Connection refused)\n"
    )
    assert "there is no callback" in runs[6].stderr
    assert "--data: it is not JSON: Expecting property name" in runs[7].stderr
    for secret in (site.nonce, work["_update_token"]):
        assert secret not in "".join(done.stdout + done.stderr for done in runs)


@pytest.mark.parametrize(
    ("data", "says"),
    [("[1]", "--data"), ('{"a": 1, "a": 2}', "a key stands twice in one object")],
)
def test_data_that_is_no_object_or_has_a_key_twice_is_refused(
    site: Site, work: Document, url: str, data: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--callback", url, "--data", data])
    assert says in capsys.readouterr().err
    assert site.events(work) == []


def test_copies_of_both_files_wrap_a_command(
    site: Site, work: Document, url: str, tmp_path: Path
) -> None:
    command = ("--", "sh", "-c", "echo smoke >&2; exit 3")
    done = alone(tmp_path, url, *command, files=(MODULE, WRAPPER))

    assert (done.returncode, done.stdout, done.stderr) == (3, "", "smoke\n")
    assert site.events(work) == ["run", "fail"]


def found(version: str) -> str:
    """Return an interpreter of a version; empty if this machine has none."""
    named = shutil.which(f"python{version}")
    candidates = [*map(str, PYENV.glob(f"{version}.*/bin/python")), *([named] if named else [])]
    works = (
        each for each in candidates if not subprocess.run([each, "-c", ""], check=False).returncode
    )
    return next(works, "")


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_copies_of_both_files_run_in_other_pythons(
    site: Site, work: Document, url: str, tmp_path: Path, version: str
) -> None:
    python = found(version)
    if not python:
        pytest.skip(f"there is no Python {version}")
    sent = alone(tmp_path, url, "resource", "--data", '{"queue": "long"}', python=python)
    done = alone(tmp_path, url, "--", "false", files=(MODULE, WRAPPER), python=python)

    assert (sent.returncode, sent.stderr) == (0, "")
    assert (done.returncode, done.stderr) == (1, "")
    assert site.events(work) == ["resource", "run", "fail"]
