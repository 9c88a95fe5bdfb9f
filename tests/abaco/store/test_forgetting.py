"""What has expired is removed without keeping those waiting who write meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from abaco import clock, server
from abaco.store import executions, tables
from abaco.store.database import Database

MANY = 5 * executions.MAX_FORGOTTEN // 2


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as opened:
        yield opened


def expires_in(seconds: float) -> dict[str, Any]:
    moment = clock.now() + datetime.timedelta(seconds=seconds)
    return {"actor_id": "actor", "expires": moment}


def log(number: int, seconds: float) -> dict[str, Any]:
    name = f"execution {number}"
    return {"execution_id": name, "tenant": "SD2E", "logs": "text", **expires_in(seconds)}


def result(number: int, seconds: float) -> dict[str, Any]:
    return {"execution_id": f"execution {number}", "body": b"result", **expires_in(seconds)}


def test_much_that_has_expired_is_removed_a_little_in_each_transaction(database: Database) -> None:
    with database.write() as tx:
        for table, row in ((tables.logs, log), (tables.results, result)):
            rows = [row(number, -1.0) for number in range(MANY)]
            tx.execute(insert(table), [*rows, row(MANY, 60.0)])
    removed = [0]
    event.listen(database.engine, "commit", lambda _: removed.append(0))

    @event.listens_for(database.engine, "after_cursor_execute")
    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            removed[-1] += cursor.rowcount

    asyncio.run(server.forget(database))
    assert sum(removed) == 2 * MANY
    assert max(removed) <= 2 * executions.MAX_FORGOTTEN
    with database.read() as tx:
        for table in (tables.logs, tables.results):
            assert tx.execute(select(table.c.execution_id)).scalars().all() == [f"execution {MANY}"]
