"""The way from one database to another, for what there may be much of."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path

import pytest
import sqlalchemy

from abaco.store import copying, tables
from abaco.store.database import Database
from abaco.store.executions import BINARY, Message, Submission
from tests.abaco.store.test_leases import an_actor
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
LARGE = 256 * 1024
MESSAGES = 100


def test_large_messages_are_not_in_memory_all_at_once(postgres: Postgres, tmp_path: Path) -> None:
    with (
        contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as source,
        contextlib.closing(Database(postgres.database())) as target,
    ):
        actor = an_actor(source)
        with source.write() as tx:
            for number in range(MESSAGES):
                message = Message(bytes([number]) * LARGE, BINARY, {})
                Submission.write(tx, [Submission("SD2E", actor, "ada", message, "ada")])
        tracemalloc.start()
        try:
            assert copying.copy(source, target)["messages"] == MESSAGES
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        with target.read() as tx:
            query = sqlalchemy.select(tables.messages.c.body)
            bodies = tx.scalars(query.order_by(tables.messages.c.sequence)).all()
    assert bodies == [bytes([number]) * LARGE for number in range(MESSAGES)]
    assert most < MESSAGES * LARGE / 2, most
