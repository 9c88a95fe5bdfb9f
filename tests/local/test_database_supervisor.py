"""`make up` keeps its database running, and says when messages could not be handled."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pymongo
import pytest

import local.database
import local.database_supervisor
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from local import processes
from local.database import LocalDatabase, Server
from local.database_supervisor import DatabaseSupervisor
from tests.abaco.running import RunningGateway, eventually
from tests.databases import place
from tests.pipelinejobs.running import Run, gateway_in, told
from tests.reliability.soak import GREEN_SECONDS, RED_SECONDS

pytestmark = pytest.mark.usefixtures("connections")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = gateway_in(tmp_path_factory.mktemp("up")).start()
    assert applied(post(gateway, 0))
    yield gateway
    assert gateway.stop() == 0, gateway.log.read_text()
    assert database_of(gateway).status() is None


def database_of(gateway: RunningGateway) -> LocalDatabase:
    return LocalDatabase(gateway.folder / ".local")


def server_of(gateway: RunningGateway) -> Server:
    server = database_of(gateway).status()
    assert server is not None
    return server


def ready(gateway: RunningGateway) -> str:
    """Return what the gateway says of itself, and nothing if it is ready."""
    assert httpx.get(f"{gateway.url}/healthz").status_code == 200
    reply = httpx.get(f"{gateway.url}/readyz")
    return "" if reply.status_code == 200 else str(reply.json()["message"])


def red(gateway: RunningGateway) -> str:
    return str(eventually(lambda: ready(gateway), RED_SECONDS))


def green(gateway: RunningGateway) -> None:
    eventually(lambda: not ready(gateway), GREEN_SECONDS)


def post(gateway: RunningGateway, number: int) -> httpx.Response:
    """Send an event to the job that is offered, and wait for the answer."""
    (line,) = [line for line in gateway.lines if line.startswith("job ")]
    _, uuid, _, _, token = line.split()
    return httpx.post(
        f"{gateway.url}/actors/v2/{told(gateway, 'actor')}/messages",
        params={
            "x-nonce": told(gateway, "nonce"),
            "_abaco_synchronous": "true",
            "event_id": f"{number}",
        },
        json={"uuid": uuid, "name": "run" if number == 0 else "update", "token": token}
        | {"data": {"number": number, "filling": "x" * 3000}},
        timeout=60,
    )


def applied(reply: httpx.Response) -> bool:
    """Tell whether the manager has said that an event is in the history."""
    try:
        answer: dict[str, Any] = json.loads(reply.content)
    except ValueError:
        return False
    return reply.status_code == 200 and answer.get("state") == "RUNNING"


def stored(gateway: RunningGateway) -> list[int]:
    """Return the numbers of the events in the history."""
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(server_of(gateway).uri) as client:
        history = PipelineJobStore(client["catalog"]).history(told(gateway, "job"))
    return [entry["data"]["number"] for entry in history if entry["name"] in ("run", "update")]


# What becomes of the gateway


def test_a_database_that_dies_is_started_again_which_is_said_in_a_line(up: RunningGateway) -> None:
    assert applied(post(up, 0))
    green(up)
    server = server_of(up)
    for _ in range(2):
        os.kill(server_of(up).pid, signal.SIGKILL)
        red(up)
        green(up)
    again = server_of(up)
    assert (again.port, again.pid != server.pid) == (server.port, True)
    assert up.log.read_text().count("the job database died and was started again") == 2
    assert applied(post(up, 1))
    assert stored(up) == [0, 1]
    # who comes after a gateway that was killed finds out that this one is its own
    assert (up.folder / ".local" / "abaco" / "database.pid").read_text() == str(again.pid)


def test_a_frozen_database_makes_it_not_ready_and_is_left_to_itself(up: RunningGateway) -> None:
    green(up)
    server = server_of(up)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert red(up).startswith("The job database does not answer (")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    green(up)
    assert server_of(up) == server


@pytest.mark.long
def test_what_was_applied_before_the_disk_was_full_is_there_once_after_a_restart(
    up: RunningGateway,
) -> None:
    """The server may write no file any further, which is what a full disk does to it."""
    green(up)
    server, before = server_of(up), stored(up)
    acknowledged: list[int] = []
    full = threading.Event()

    def send(first: int) -> None:
        for number in range(first, first + 100):
            if full.is_set():
                return
            if applied(post(up, number)):
                acknowledged.append(number)
            else:
                full.set()

    with ThreadPoolExecutor() as threads:
        senders = [threads.submit(send, first) for first in (1000, 2000, 3000)]
        eventually(lambda: len(acknowledged) > 9)
        psutil.Process(server.pid).rlimit(psutil.RLIMIT_FSIZE, (1, 1))
        for sender in senders:
            sender.result()
    assert len(acknowledged) < 300
    eventually(lambda: (now := database_of(up).status()) and now.pid != server.pid)
    green(up)
    assert "the job database failed and was started again" in up.log.read_text()
    found = [number for number in stored(up) if number not in before]
    # what was not acknowledged may be there, as far as its sender knows
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    # what could not be handled meanwhile goes first
    eventually(lambda: applied(post(up, 500)))


def test_doctor_says_why_the_gateway_is_not_ready(
    up: RunningGateway, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(up.folder)
    monkeypatch.setenv("_REACTOR_MONGODB_TIMEOUT", "1")
    green(up)
    pid = server_of(up).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        message = red(up)
        rows = {row["subject"]: row for row in bare("doctor", "-o", "json").rows}
        assert rows["gateway"]["status"] == "bad"
        assert message in rows["gateway"]["found"]
    finally:
        os.kill(pid, signal.SIGCONT)
    green(up)


# What the supervisor does by itself


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LocalDatabase]:
    database = place(tmp_path / "local")
    yield database
    server = database.status()
    if server is not None:
        os.kill(server.pid, signal.SIGKILL)


def kept(database: LocalDatabase) -> tuple[DatabaseSupervisor, Callable[[], str | None]]:
    """Return a supervisor of a new database, and its check."""
    server = database.start()
    kept = DatabaseSupervisor(database, server, database.folder / "note")
    mongodb = {"authn": database.admit(server, "catalog"), "database": "catalog"}
    return kept, lambda: kept.check(mongodb)


@pytest.mark.long
def test_a_database_that_is_frozen_for_long_is_replaced(
    database: LocalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, check = kept(database)
    server = database.status()
    assert server is not None
    assert check() is None
    monkeypatch.setattr(local.database_supervisor, "FROZEN_SECONDS", 1.0)
    monkeypatch.setattr(local.database_supervisor, "CHECK_SECONDS", 0.5)
    monkeypatch.setattr(local.database, "STOP_SECONDS", 0.2)
    os.kill(server.pid, signal.SIGSTOP)
    eventually(lambda: check() == "the job database is being started again")
    eventually(lambda: check() is None)
    again = database.status()
    assert again is not None
    assert (again.port, again.pid != server.pid) == (server.port, True)
    supervisor.close()
    assert database.status() is None


@pytest.mark.long
def test_one_that_cannot_be_started_is_tried_again_and_complained_of_once(
    database: LocalDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, check = kept(database)
    server = database.status()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not processes.is_open(server.port))
    with socket.create_server(("127.0.0.1", server.port)):
        eventually(lambda: check() and caplog.records)
        first = supervisor._starting
        # it is tried again
        eventually(lambda: check() and supervisor._starting is not first)
    eventually(lambda: check() is None)
    lines = [record.getMessage() for record in caplog.records]
    port = f"another program has taken port {server.port}, where clients look for it"
    assert lines == [
        f"the job database died and cannot be started: {port}",
        "the job database died and was started again",
    ]
    supervisor.close()
