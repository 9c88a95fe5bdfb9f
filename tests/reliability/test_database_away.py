"""Row 3: the database is killed, stopped or frozen under load, and comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from datacatalog import mongo
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from local.database import LocalDatabase
from tests.abaco.running import Client, RunningGateway, eventually, gone
from tests.conftest import TACOBOT, TIMEOUT
from tests.pipelinejobs.running import gateway_in, told
from tests.reliability.checker import Outcome, Record, problems
from tests.reliability.running import Sender, read_back, running_jobs, settled, under_load
from tests.reliability.soak import GREEN_SECONDS, RED_SECONDS, many, note

FROZEN_SECONDS = many(6.0, 30.0)
ROUNDS = many(1, 3)
JOBS = 4


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """The gateway of `make up`, whose actor waits two seconds for its database."""
    folder = tmp_path_factory.mktemp("up")
    with gateway_in(folder, _REACTOR_MONGODB_TIMEOUT="2") as running:
        yield running


@pytest.fixture(scope="module")
def mongodb(up: RunningGateway) -> Iterator[dict[str, Any]]:
    """The settings of its database."""
    server = LocalDatabase(up.folder / ".local").status()
    assert server is not None
    settings = {"authn": server.uri, "database": "catalog", "timeout": TIMEOUT}
    yield settings
    mongo.connect(settings).client.close()


def is_ready(gateway: RunningGateway) -> bool:
    return httpx.get(f"{gateway.url}/readyz", timeout=TIMEOUT).status_code == 200


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGSTOP, marks=pytest.mark.long),
    ],
)
def test_what_was_accepted_is_applied_when_the_database_is_back(
    up: RunningGateway, mongodb: dict[str, Any], how: signal.Signals
) -> None:
    record, back = Record(), []
    store, pipelines = PipelineJobStore(mongodb), PipelineStore(mongodb)
    jobs = running_jobs(store, pipelines.add_update_document(TACOBOT), JOBS)
    actor = told(up, "actor")
    with Client(up.url, told(up, "token")) as operator:
        sender = Sender(operator, actor, record)

        def send(number: int) -> None:
            sender.send(jobs[number % JOBS], wait=number % 3 == 0)

        for _ in range(ROUNDS):
            server = LocalDatabase(up.folder / ".local").status()
            assert server is not None
            acknowledged = record.count(Outcome.ACKNOWLEDGED)
            with under_load(send, 4):
                eventually(lambda n=acknowledged: record.count(Outcome.ACKNOWLEDGED) > n + 20)  # type: ignore[misc]
                os.kill(server.pid, how)
                if how == signal.SIGSTOP:
                    began = time.monotonic()
                    eventually(lambda: not is_ready(up), RED_SECONDS)
                    time.sleep(FROZEN_SECONDS - (time.monotonic() - began))
                    os.kill(server.pid, signal.SIGCONT)
                else:
                    # one that is told to stop puts its data in order first
                    eventually(lambda pid=server.pid: gone(pid))  # type: ignore[misc]
                began = time.monotonic()
                eventually(lambda pid=server.pid: _other_or_awake(up, pid, how), GREEN_SECONDS)  # type: ignore[misc]
                eventually(lambda: is_ready(up), GREEN_SECONDS)
                back.append(time.monotonic() - began)
        settled(operator, actor)
    assert problems(record, read_back(store.db, jobs)) == []
    assert max(back) < GREEN_SECONDS
    what = {"SIGKILL": "kills", "SIGTERM": "stops", "SIGSTOP": f"freezes of {FROZEN_SECONDS:g} s"}
    note(3, f"{what[how.name]} of the database under load", ROUNDS, record=record, back=back)


def _other_or_awake(gateway: RunningGateway, pid: int, how: signal.Signals) -> bool:
    """Tell whether the database answers again, as another process unless it was only frozen."""
    server = LocalDatabase(gateway.folder / ".local").status()
    return server is not None and (how == signal.SIGSTOP or server.pid != pid)
