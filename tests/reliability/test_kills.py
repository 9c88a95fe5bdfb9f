"""Rows 1 and 16: processes are killed or stopped, at named points and at any moment under load."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from local.database import Server
from tests.abaco.running import SECONDS, Client, RunningGateway, eventually
from tests.reliability.checker import Outcome, Record, leaks, problems
from tests.reliability.running import (
    IMAGE,
    Sender,
    kill,
    manager_gateway,
    processes,
    read_back,
    running_jobs,
    settled,
    under_load,
)
from tests.reliability.soak import BACK_SECONDS, STOP_SECONDS, many, note
from tests.reliability.wire import Command, Fault, Proxy

JOBS = 8
POINTS = {
    "before the write": Fault.HOLD_BEFORE,
    "after the write, before the answer": Fault.HOLD_AFTER,
    "after the answer": None,
}
ROUNDS = many(1, 8)
"""Of each victim at each point, warm and cold: 96 in a long run."""
UNDER_LOAD = many(150, 3000)
KILLS = many(2, 100)
"""Of workers at any moment; with those above and the restarts, more than 200 in a long run."""
RESTARTS = many(1, 10)
STOPS = many(1, 10)
LOG = re.compile(
    r"\S+ INFO job (?P<job>\S+): update event(, which an earlier delivery had applied)?, "
    r"state RUNNING, revision (?P<revision>\d+)\n"
)


def once(fault: Fault) -> Callable[[Command], Fault | None]:
    """Plan a fault for the next write of an event."""
    left = [fault]
    return lambda command: left.pop() if left and command.writes("jobs") else None


def leaked(gateway: RunningGateway, jobs: list[Document], client: Client) -> list[str]:
    """Return the secrets in what a gateway tells of itself."""
    secrets = {f"the token of job {job['uuid']}": job["_update_token"] for job in jobs}
    secrets["the access token"] = client.headers["Authorization"].removeprefix("Bearer ")
    texts = {
        "the gateway's log": gateway.log.read_text(),
        "the metrics": client.get(f"{gateway.url}/metrics").text,
        "the logs of executions": client.get("/search/logs", params={"limit": 100_000}).text,
    }
    return [*leaks(secrets, texts)]


@pytest.mark.parametrize("mode", ["warm", pytest.param("cold", marks=pytest.mark.long)])
def test_a_kill_at_a_named_point_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
    server: Server,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
    mode: str,
) -> None:
    record, made, back = Record(), running_jobs(jobs, pipeline, JOBS), []
    rounds = [*itertools.product(("actor", "gateway"), POINTS.values())] * ROUNDS
    with Proxy(server.uri) as proxy, ThreadPoolExecutor(1) as thread:
        gateway = manager_gateway(tmp_path, {**mongodb, "authn": proxy.uri}, mode).start()
        try:
            with gateway.admin() as admin:
                actor = admin.actor(IMAGE)
                sender = Sender(admin, actor, record)
                for number, (victim, point) in enumerate(rounds):
                    job, other = made[number % JOBS], made[(number + 1) % JOBS]
                    proxy.held.clear()
                    proxy.go_on.clear()
                    if point is None:
                        assert sender.send(job)[0].outcome is Outcome.ACKNOWLEDGED
                    else:
                        proxy.plan = once(point)
                        sending = thread.submit(sender.send, job)
                        assert proxy.held.wait(SECONDS)
                    kill(gateway, victim)
                    proxy.go_on.set()
                    began = time.monotonic()
                    if victim == "gateway":
                        gateway.start()
                    back.append(sender.until_acknowledged(other, began))
                    if point is not None:
                        sending.result()
                settled(admin, actor)
                assert leaked(gateway, made, admin) == []
        finally:
            gateway.kill()
    assert problems(record, read_back(db, made)) == []
    assert max(back) < BACK_SECONDS
    note(1, f"kills at named points, {mode} actor", len(rounds), record=record, back=back)


@contextlib.contextmanager
def killing(gateway: RunningGateway) -> Iterator[list[int]]:
    """Kill some processes of workers, now and then; which ones, it tells."""
    killed: list[int] = []
    ended = threading.Event()
    chance = random.Random(0)  # noqa: S311 - so that a failure can be seen again

    def kill_now_and_then() -> None:
        while len(killed) < KILLS and not ended.wait(chance.uniform(0.1, 1.0)):
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                victim = chance.choice(processes(gateway))
                victim.kill()
                killed.append(victim.pid)

    thread = threading.Thread(target=kill_now_and_then)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def test_kills_at_any_moment_under_load_lose_nothing_and_double_nothing(
    tmp_path: Path,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record, made, back = Record(), running_jobs(jobs, pipeline, JOBS), []
    gateway = manager_gateway(tmp_path, mongodb).start()
    try:
        with gateway.admin() as admin:
            actor = admin.actor(IMAGE)
            admin.result("POST", f"/{actor}/workers", json={"num": 2})
            sender = Sender(admin, actor, record)

            def send(number: int) -> None:
                # one in three waits for its answer, so that what is accepted is not ever more
                sender.send(made[number % JOBS], wait=number % 3 == 0)

            with killing(gateway) as killed, under_load(send):
                for part in range(1, RESTARTS + 2):
                    wanted = UNDER_LOAD * part // (RESTARTS + 1)
                    eventually(lambda n=wanted: record.count(Outcome.ACKNOWLEDGED) >= n, 120)  # type: ignore[misc]
                    eventually(lambda n=part: len(killed) >= n)  # type: ignore[misc]
                    if part <= RESTARTS:
                        gateway.kill()
                        began = time.monotonic()
                        gateway.start()
                        back.append(sender.until_acknowledged(made[0], began))
            executions = settled(admin, actor)
            logs = logs_of(admin, actor)
            assert leaked(gateway, made, admin) == []
    finally:
        gateway.kill()
    assert killed
    assert {execution["status"] for execution in executions} == {"COMPLETE"}
    found = read_back(db, made)
    assert problems(record, found) == []

    # each log is of its message alone
    assert set(logs) == {execution["id"] for execution in executions}
    said = {
        (match["job"], int(match["revision"]))
        for match in map(LOG.fullmatch, logs.values())
        if match
    }
    assert len(said) == len(logs)
    assert said == {
        (job.document["uuid"], entry["_revision"]) for job in found for entry in job.entries[2:]
    }
    count = len(killed) + RESTARTS
    note(1, "kills at any moment under load", count, record=record, back=back)


def logs_of(client: Client, actor: str) -> dict[str, str]:
    """Return all logs of an actor, by their executions."""
    found = client.result("GET", "/search/logs", params={"limit": 100_000})["search"]
    return {each["executionId"]: each["logs"] for each in found if each["actorId"] == actor}


@pytest.mark.long
def test_a_gateway_that_is_told_to_stop_under_load_stops_soon_and_loses_nothing(
    tmp_path: Path,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    record, made, back, stopping = Record(), running_jobs(jobs, pipeline, JOBS), [], []
    gateway = manager_gateway(tmp_path, mongodb).start()
    try:
        with gateway.admin() as admin:
            actor = admin.actor(IMAGE)
            sender = Sender(admin, actor, record)

            def send(number: int) -> None:
                sender.send(made[number % JOBS], wait=number % 3 == 0)

            for number in range(1, STOPS + 1):
                with under_load(send), beginning_a_post(gateway, admin, actor) as slow:
                    eventually(lambda n=number: record.count(Outcome.ACKNOWLEDGED) >= 100 * n, 120)  # type: ignore[misc]
                    began = time.monotonic()
                    assert gateway.stop() == 0
                    stopping.append(time.monotonic() - began)
                    answer = b"".join(iter(lambda s=slow: s.recv(65_536), b""))  # type: ignore[misc]
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"The gateway is stopping: try again later." in answer
                began = time.monotonic()
                gateway.start()
                back.append(sender.until_acknowledged(made[0], began))
            settled(admin, actor)
            assert leaked(gateway, made, admin) == []
    finally:
        gateway.kill()
    assert max(stopping) < STOP_SECONDS
    assert "Traceback" not in gateway.log.read_text()
    assert problems(record, read_back(db, made)) == []
    measured = f"longest stop {max(stopping):.1f} s, exit code 0"
    note(16, "stops under load", STOPS, record=record, back=back, measured=measured)


@contextlib.contextmanager
def beginning_a_post(
    gateway: RunningGateway, client: Client, actor: str
) -> Iterator[socket.socket]:
    """Give the connection of a client that has begun to send a message."""
    token = client.headers["Authorization"]
    head = (
        f"POST /actors/v2/{actor}/messages HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\n"
        f"Authorization: {token}\r\nContent-Length: 10\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=SECONDS) as slow:
        slow.sendall(head.encode())
        yield slow
