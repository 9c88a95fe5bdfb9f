"""Fixtures: the command line on the database of one test, and on a gateway that is up."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from datacatalog.mongo import Document
from local.database import Server
from pipelinejobs.app import main
from tests.abaco.running import RunningGateway
from tests.conftest import hanging_up
from tests.pipelinejobs.running import Result, Run, Screen, read_until, site_in
from tests.site import Site, running_site


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in a folder without settings, and without the caches of clients."""
    for name in ("AGAVE_CACHE_DIR", "PIPELINEJOBS_LOCAL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def variables(mongodb: dict[str, Any]) -> dict[str, str]:
    """What names the database of this test."""
    return {
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
        "_REACTOR_MONGODB_TIMEOUT": str(mongodb["timeout"]),
    }


@pytest.fixture
def connections() -> Iterator[None]:
    """Close the connections of a test when it ends: commands in this process make many."""
    with hanging_up():
        yield


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], connections: None) -> Run:
    """Run a command in this process, with the environment as it is."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def cli(bare: Run, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, on the database of this test."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return bare


@pytest.fixture
def screen(cli: Run, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Run a command in this process, whose output is a terminal without colours."""

    def run(width: int, *arguments: str) -> str:
        controller, terminal = pty.openpty()
        with ThreadPoolExecutor() as pool, monkeypatch.context() as patch:
            shown = pool.submit(read_until, controller, None)
            for name, value in (("TERM", "xterm-256color"), ("COLUMNS", width), ("NO_COLOR", 1)):
                patch.setenv(name, str(value))
            with os.fdopen(terminal, "w", encoding="utf-8") as output:
                patch.setattr("sys.stdout", output)
                patch.setattr("sys.stderr", output)
                done = cli(*arguments)
        os.close(controller)
        assert done.code == 0, shown.result()
        return shown.result()

    return run


@pytest.fixture(scope="package")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A manager behind a gateway, which modules share."""
    with running_site(server, tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def work(site: Site) -> Document:
    """A job whose work is to be reported."""
    return site.job()


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """The gateway of `make up`, with a database and everything in a folder of its own.

    The modules of a folder share it: there may be jobs, users and pipelines of other tests.
    """
    with site_in(tmp_path_factory.mktemp("up")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def up(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """The gateway that modules share, or one for a module that says `ALONE = True`."""
    if not getattr(request.module, "ALONE", False):
        yield request.getfixturevalue("shared")
        return
    with site_in(tmp_path_factory.mktemp("up")) as gateway:
        yield gateway


@pytest.fixture
def here(up: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> RunningGateway:
    """Work in the folder in which the gateway is up."""
    monkeypatch.chdir(up.folder)
    return up
