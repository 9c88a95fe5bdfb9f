"""Nothing that was accepted is lost, whatever is killed; and it is done once."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from tests.abaco.running import Client, RunningGateway, eventually, opened
from tests.conftest import ROOT

IMAGE = "pipelinejobs-manager"
MESSAGES = 1000
UNDER_LOAD = 300
CONCURRENCY = 32
JOBS = 16
WORKERS = 2
KILLS = 8
PATIENCE = 90.0
LOG = re.compile(
    r"\S+ INFO job (?P<job>\S+): update event(?P<again>, which an earlier delivery had applied)?, "
    r"state RUNNING, revision (?P<revision>\d+)\n"
)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that knows this repository's actor as its `images.yml` does."""
    image = yaml.safe_load((ROOT / "images.yml").read_text())[IMAGE]
    gateway = RunningGateway(tmp_path, {IMAGE: {**image, "folder": str(ROOT)}}).start()
    yield gateway
    gateway.kill()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway of the test's own, which it may kill."""
    gateway = RunningGateway(tmp_path).start()
    yield gateway
    gateway.kill()


def hosts(gateway: RunningGateway) -> list[psutil.Process]:
    """Return the processes of a gateway's workers."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(gateway.pid).children()
    return []


class Senders:
    """Post messages, each with a number of its own, and note what becomes of them.

    Args:
        client: a client.
        count: the number of messages.
        post: returns the actor and the body of a message.

    Attributes:
        accepted: the executions of the messages that were acknowledged.
        unknown: the numbers of those whose connection broke, or that came too late.
    """

    def __init__(self, client: Client, count: int, post: Callable[[int], tuple[str, Any]]) -> None:
        self.accepted: dict[int, str] = {}
        self.unknown: set[int] = set()
        self._client = client
        self._post = post
        self._numbers = iter(range(count))
        self._threads = [threading.Thread(target=self._send_all) for _ in range(CONCURRENCY)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int) -> None:
        """Return when so many messages were acknowledged."""
        eventually(lambda: len(self.accepted) >= count)

    def join(self) -> None:
        """Return when all have been posted."""
        for thread in self._threads:
            thread.join()

    def _send_all(self) -> None:
        for number in self._numbers:
            self._send(number)

    def _send(self, number: int) -> None:
        actor, body = self._post(number)
        while True:
            try:
                reply = self._client.post(f"/{actor}/messages", json=body)
            except httpx.ConnectError:
                # it was not sent
                time.sleep(0.05)
                continue
            except httpx.TransportError:
                self.unknown.add(number)
                return
            if reply.status_code == 503:
                # it is being stopped
                self.unknown.add(number)
                return
            assert reply.status_code == 200, reply.text
            self.accepted[number] = reply.json()["result"]["executionId"]
            return


@contextlib.contextmanager
def killing(gateway: RunningGateway) -> Iterator[list[int]]:
    """Kill some processes of workers, now and then; which ones, it tells."""
    killed: list[int] = []
    ended = threading.Event()
    chance = random.Random(0)  # noqa: S311 - so that a failure can be seen again

    def kill() -> None:
        while len(killed) < KILLS and not ended.wait(chance.uniform(0.1, 1.0)):
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                victim = chance.choice(hosts(gateway))
                victim.kill()
                killed.append(victim.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def managed(jobs: PipelineJobStore, pipeline: Document) -> list[Document]:
    """Jobs in the state RUNNING, with their tokens."""
    made = []
    for number in range(JOBS):
        fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/tacos"}
        job = jobs.create({**fields, "data": {"number": number}})
        made.append(jobs.handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"]))
    return made


def test_of_a_thousand_messages_none_is_lost_and_none_is_done_twice(
    manager: RunningGateway,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    managed: list[Document],
) -> None:
    def message(number: int) -> dict[str, Any]:
        job = managed[number % JOBS]
        given = {"uuid": job["uuid"], "token": job["_update_token"]}
        return {**given, "name": "update", "data": {"number": number}}

    variables = {
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
        "_REACTOR_MONGODB_TIMEOUT": str(mongodb["timeout"]),
    }
    with manager.admin() as client:
        actor = client.actor(IMAGE, defaultEnvironment=variables)
        client.result("POST", f"/{actor}/workers", json={"num": WORKERS})
        with killing(manager) as killed:
            senders = Senders(client, MESSAGES, lambda number: (actor, message(number)))
            for count in (MESSAGES // 4, MESSAGES // 2):
                senders.wait_for(count)
                manager.kill()
                manager.start()
            senders.join()
            executions = all_ended(client, actor)
        logs = logs_of(client, actor)
    assert killed
    assert len(senders.accepted) > 0.8 * MESSAGES
    assert len(senders.accepted) + len(senders.unknown) == MESSAGES

    # every acknowledged message was carried out, and an unknown one no more than once
    assert {execution["status"] for execution in executions} == {"COMPLETE"}
    done = [execution["id"] for execution in executions]
    assert set(senders.accepted.values()) <= set(done)
    assert len(done) <= MESSAGES
    histories = {job["uuid"]: jobs.history(job["uuid"]) for job in managed}
    numbers = Counter(
        entry["data"]["number"] for history in histories.values() for entry in history[2:]
    )
    assert set(numbers.values()) == {1}
    assert set(senders.accepted) <= set(numbers) <= set(senders.accepted) | senders.unknown
    assert len(numbers) == len(done)

    # each history is in order, without a gap, and ends in what is stored
    for job in managed:
        history, stored = histories[job["uuid"]], jobs.load(job["uuid"])
        assert [entry["name"] for entry in history[:2]] == ["create", "run"]
        assert {entry["name"] for entry in history[2:]} == {"update"}
        assert {entry["data"]["number"] % JOBS for entry in history[2:]} == {managed.index(job)}
        dates = [entry["date"] for entry in history]
        assert dates == sorted(dates)
        assert stored["_properties"]["revision"] == len(history) - 1
        assert (stored["state"], stored["last_event"]) == ("RUNNING", "update")

    # each log is of its message alone
    assert set(logs) == set(done)
    found = {each: LOG.fullmatch(log) for each, log in logs.items()}
    said = {each: (match["job"], int(match["revision"])) for each, match in found.items() if match}
    assert set(said) == set(done)
    assert sorted(said.values()) == sorted(
        (uuid, revision)
        for uuid, history in histories.items()
        for revision in range(2, len(history))
    )
    for number, execution in senders.accepted.items():
        uuid, revision = said[execution]
        assert histories[uuid][revision]["data"] == {"number": number}


def all_ended(client: Client, actor: str) -> list[dict[str, Any]]:
    """Return the executions of an actor when the last has ended."""
    found: list[dict[str, Any]] = eventually(
        lambda: (
            None
            if client.result("GET", f"/{actor}/messages")["messages"]
            else client.result("GET", f"/{actor}/executions")["executions"]
        ),
        PATIENCE,
    )
    return [
        client.ended(actor, each["id"]) if each["status"] == "RUNNING" else each for each in found
    ]


def logs_of(client: Client, actor: str) -> dict[str, str]:
    """Return all logs of an actor, by their executions."""
    found = client.result("GET", "/search/logs", params={"limit": 10 * MESSAGES})["search"]
    return {each["executionId"]: each["logs"] for each in found if each["actorId"] == actor}


# How a gateway, or a process, ends while there is something to do


@pytest.mark.parametrize(
    ("mode", "end"), [("cold", RunningGateway.kill), ("warm", RunningGateway.stop)]
)
def test_what_was_running_begins_again_at_the_next_start(
    running: RunningGateway, tmp_path: Path, mode: str, end: Callable[[RunningGateway], Any]
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with running.client() as ada:
        actor = ada.actor(mode)
        orders = {"print": "begins", "results": ["taco"], "touch": str(begun)}
        execution = ada.submit(actor, {**orders, "wait for": str(gate)})
        behind = ada.submit(actor, {"print": "next"})
        eventually(begun.exists)
        end(running)
        begun.unlink()
        running.start()
        eventually(begun.exists)
        assert attempts(running, execution) == 0
        gate.touch()
        assert [ada.ended(actor, each)["exitCode"] for each in (execution, behind)] == [0, 0]
        assert [ada.logs(actor, each) for each in (execution, behind)] == ["begins\n", "next\n"]
        # what came of the first attempt is not there twice
        assert [ada.result_of(actor, execution) for _ in range(2)] == [b"taco", b""]


def attempts(gateway: RunningGateway, execution: str) -> int:
    """Return how many attempts of an execution count: after ten, it is not begun again."""
    query = "SELECT attempts FROM executions WHERE id = ?"
    with contextlib.closing(sqlite3.connect(gateway.folder / "data" / "abaco.db")) as database:
        return int(database.execute(query, (execution,)).fetchone()[0])


def test_of_a_process_that_is_killed_nothing_is_left_for_the_next_attempt(
    running: RunningGateway, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with running.client() as ada:
        actor = ada.actor("warm")
        orders = {"print": "begins", "results": ["taco"], "touch": str(begun)}
        execution = ada.submit(actor, {**orders, "wait for": str(gate)})
        eventually(begun.exists)
        begun.unlink()
        (host,) = hosts(running)
        host.kill()
        eventually(begun.exists)
        gate.touch()
        assert ada.ended(actor, execution)["exitCode"] == 0
        assert ada.logs(actor, execution) == "begins\n"
        assert [ada.result_of(actor, execution) for _ in range(2)] == [b"taco", b""]


def test_a_process_that_is_killed_while_it_starts_is_started_again(
    running: RunningGateway, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "slow.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
        "def main(): print('taco')\n"
    )
    image = {"folder": str(tmp_path), "command": ["python3"], "mode": "warm"}
    images = {"slow": {**image, "handler": "slow:main"}}
    (running.folder / "images.yml").write_text(yaml.safe_dump(opened(images)))
    with running.client() as ada:
        actor = ada.result("POST", "", json={"image": "slow"})["id"]
        execution = ada.submit(actor, {})
        killed: set[int] = set()
        for _ in range(3):
            (host,) = eventually(lambda: [h for h in hosts(running) if h.pid not in killed])
            killed.add(host.pid)
            host.kill()
        gate.touch()
        assert ada.ended(actor, execution)["exitCode"] == 0
        assert ada.logs(actor, execution) == "taco\n"
        assert ada.result("GET", f"/{actor}")["status"] == "READY"


def test_a_gateway_that_is_told_to_stop_under_load_stops_soon_and_loses_nothing(
    running: RunningGateway, tmp_path: Path
) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with running.client() as ada:
        cold, warm = actors = [ada.actor(mode) for mode in ("cold", "warm")]
        stubborn = ada.actor("cold")
        orders = {"touch": str(begun), "wait for": str(gate)}
        execution = ada.submit(stubborn, orders)
        eventually(begun.exists)
        senders = Senders(
            ada, UNDER_LOAD, lambda number: (warm if number % 10 else cold, {"print": number})
        )
        senders.wait_for(100)
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as slow:
            token = ada.headers["Authorization"]
            head = f"POST /actors/v2/{warm}/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n"
            slow.sendall(f"{head}Content-Length: 10\r\n\r\n".encode())
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < 10
            answer = b"".join(iter(lambda: slow.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"The gateway is stopping: try again later." in answer
        assert "Traceback" not in running.log.read_text()
        gate.touch()
        running.start()
        senders.join()
        assert ada.ended(stubborn, execution)["exitCode"] == 0
        logs: dict[str, str] = {}
        for actor in actors:
            assert {each["status"] for each in all_ended(ada, actor)} == {"COMPLETE"}
            logs |= logs_of(ada, actor)
    assert len(senders.accepted) + len(senders.unknown) == UNDER_LOAD
    assert {each: logs[each] for each in senders.accepted.values()} == {
        each: f"{number}\n" for number, each in senders.accepted.items()
    }
