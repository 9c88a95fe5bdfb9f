"""The job database of `make up` hangs: what waits for it is shown, and handled when it is back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from local.database import LocalDatabase
from tests.abaco.running import Client, RunningGateway, eventually
from tests.pipelinejobs.page.conftest import Person
from tests.pipelinejobs.running import Run, gateway_in, line_of, told

HANGS = "did not answer within 0.5 s: try again later"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with gateway_in(tmp_path_factory.mktemp("up"), _REACTOR_MONGODB_TIMEOUT="0.5") as running:
        yield running


@pytest.fixture
def frozen(up: RunningGateway) -> Iterator[int]:
    """The process of the database, which hangs."""
    server = LocalDatabase(up.folder / ".local").status()
    assert server is not None
    os.kill(server.pid, signal.SIGSTOP)
    yield server.pid
    os.kill(server.pid, signal.SIGCONT)


@pytest.mark.long
def test_what_waits_for_the_database_is_shown_and_can_be_dropped(
    up: RunningGateway, frozen: int, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, actor = told(up, "token"), told(up, "actor")
    line = line_of(up, "job")
    job, job_token = line.split()[1], line.split()[-1]
    event = {"uuid": job, "name": "run", "token": job_token}
    page = f"/platform/{actor}"
    with Client(up.url, token) as operator, Person(up, token) as person:
        first, second = (operator.submit(actor, event) for _ in range(2))
        eventually(lambda: operator.result("GET", f"/{actor}/messages")["postponed"])
        assert HANGS in person.get(page).text
        monkeypatch.chdir(up.folder)
        monkeypatch.setenv("_REACTOR_MONGODB_TIMEOUT", "0.5")
        rows = {row["subject"]: row for row in bare("doctor", "-o", "json").rows}
        assert rows["mailbox"]["status"] == "bad"
        assert HANGS in rows["mailbox"]["found"]
        # whether it waits or is just being tried
        assert "; 1 could not be handled yet, " in rows["mailbox"]["found"]

        def drop() -> bool:
            person.submit(f"{page}/executions/{first}/stop", at=page)
            found = operator.result("GET", f"/{actor}/executions/{first}")
            # one that is just being tried is stopped instead
            return found["status"] == "ERROR" or found.get("exitCode") not in (None, 0)

        eventually(drop)
        os.kill(frozen, signal.SIGCONT)
        assert operator.ended(actor, second)["exitCode"] == 0
        assert HANGS not in person.get(page).text
