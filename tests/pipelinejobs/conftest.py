"""Fixtures: the command line on the database of one test, and on a gateway that is up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from datacatalog import mongo
from local.database import LocalDatabase
from pipelinejobs.app import main
from tests.abaco.running import RunningGateway
from tests.pipelinejobs.running import Result, Run, gateway_in


@pytest.fixture(scope="session", autouse=True)
def closed_connections() -> Iterator[None]:
    """Close, in the end, the connections that stores keep for the life of a process."""
    yield
    for thing in gc.get_objects():
        if type(thing) is pymongo.MongoClient:
            thing.close()


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
def bare(capsys: pytest.CaptureFixture[str]) -> Run:
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


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """The gateway of `make up`, with a database and everything in a folder of its own."""
    gateway = gateway_in(tmp_path_factory.mktemp("up")).start()
    database = LocalDatabase(gateway.folder / ".local")
    server = database.status()
    assert server is not None
    yield gateway
    # it would wait for the connection of this process
    mongo.connect({"authn": server.uri}).client.close()
    assert gateway.stop() == 0, gateway.log.read_text()
    assert database.status() is None


@pytest.fixture
def here(up: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> RunningGateway:
    """Work in the folder in which the gateway is up."""
    monkeypatch.chdir(up.folder)
    return up
