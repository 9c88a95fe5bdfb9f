"""Executions that have ended with something that the database will never take."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from abaco.settings import Limits
from abaco.store import executions, leases
from abaco.store.database import Database
from abaco.store.executions import Accepted
from abaco.store.rows import Execution
from abaco.throttling import Throttle
from abaco.workers import endings
from abaco.workers.fleet.bell import Bell
from abaco.workers.fleet.leased import LeasedMessage
from abaco.workers.mailboxes import Mailboxes
from tests.abaco.running import SECONDS
from tests.abaco.workers.ended import end_of, submit
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres

refused = pytest.mark.parametrize(
    "wrong", [{"log": "half of a character: \ud800"}, {"io": 2**70}], ids=["text", "number"]
)
NOWHERE = "amqp://127.0.0.1:1//"


def seen(database: Database, accepted: Accepted) -> Execution:
    with database.read() as tx:
        found = executions.find(tx, accepted.submission.actor_id, accepted.execution_id)
    assert found is not None
    return found


def has_ended_in_error(database: Database, accepted: Accepted) -> bool:
    row = seen(database, accepted)
    state = row["final_state"] or {}
    return (row["status"], state.get("Error")) == (executions.ERROR, endings.NOT_TAKEN)


@refused
@pytest.mark.parametrize("at_once", [False, True], ids=["on disk", "not on disk"])
def test_a_gateway_ends_in_error_what_sqlite_never_takes(
    tmp_path: Path, wrong: dict[str, Any], *, at_once: bool
) -> None:
    async def end(database: Database) -> str:
        mailboxes = Mailboxes(database, Limits(), Throttle(), lambda _: None)
        accepted = submit(database)
        if at_once:
            sent = await mailboxes.submit(accepted.submission, answered=True, awaited=True)
            assert sent is not None
            accepted = accepted._replace(execution_id=sent[0])
        else:
            mailboxes.deliver(accepted)
        (entry,) = mailboxes.take(accepted.submission.actor_id, 1, lambda _: False)
        waiting = mailboxes.ending(accepted.execution_id)
        mailboxes.end(end_of(database, accepted, wrong), entry, [b"1", b"2"], "")
        outcome = await asyncio.wait_for(waiting, SECONDS)
        assert has_ended_in_error(database, accepted)
        with database.read() as tx:
            assert executions.results_of(tx, accepted.execution_id) == [b"1", b"2"]
        await mailboxes.close(SECONDS)
        return outcome.unavailable

    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        assert asyncio.run(end(database)) == endings.NOT_TAKEN


@refused
@pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
def test_a_node_ends_in_error_what_postgresql_never_takes_and_goes_on(
    postgres: Postgres, wrong: dict[str, Any]
) -> None:
    async def end(message: LeasedMessage, database: Database, wrong: dict[str, Any]) -> Accepted:
        accepted = submit(database)
        with database.write() as tx:
            found = leases.find(tx, accepted.execution_id)
            assert found is not None
            taken = leases.take(tx, found, "here:1", "worker")
        assert taken is not None
        message.put(taken, asyncio.get_running_loop().time())
        (entry,) = message.take(accepted.submission.actor_id, 1, lambda _: False)
        message.end(end_of(database, accepted, wrong), entry, [], "")
        await asyncio.wait_for(message.settled(), SECONDS)
        return accepted

    async def end_two(database: Database) -> tuple[Accepted, Accepted]:
        message = LeasedMessage(database, Bell(NOWHERE), 60)
        return await end(message, database, wrong), await end(message, database, {})

    with contextlib.closing(Database(postgres.database())) as database:
        first, second = asyncio.run(end_two(database))
        assert has_ended_in_error(database, first)
        assert seen(database, second)["status"] == executions.COMPLETE
