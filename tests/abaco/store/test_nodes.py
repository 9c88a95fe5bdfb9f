"""Whether a node is there, whatever the clocks of those who say so and look."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy

from abaco import clock
from abaco.store import nodes, tables
from abaco.store.database import Database
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
NODE = {"id": "n", "host": "here", "pid": 1, "queues": ["default"], "concurrency": 1}
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def tx(postgres: Postgres) -> Iterator[sqlalchemy.Connection]:
    with contextlib.closing(Database(postgres.database())) as database, database.write() as opened:
        yield opened


def present(tx: sqlalchemy.Connection) -> list[str]:
    nodes.forget_silent(tx)
    return [node["id"] for node in nodes.present(tx)]


@pytest.mark.parametrize("off", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_a_node_is_there_though_its_clock_is_off(
    tx: sqlalchemy.Connection, monkeypatch: pytest.MonkeyPatch, off: datetime.timedelta
) -> None:
    moment = clock.now()
    with monkeypatch.context() as its:
        its.setattr(clock, "now", lambda: moment + off)
        nodes.enter(tx, NODE)
    assert present(tx) == ["n"]
    with monkeypatch.context() as its:
        its.setattr(clock, "now", lambda: moment + off)
        assert nodes.beat(tx, "n", draining=False)
        assert present(tx) == ["n"]
    assert present(tx) == ["n"]


@pytest.mark.parametrize("off", [-HOUR, HOUR], ids=["silent", "set back"])
def test_a_node_that_is_silent_is_forgotten_though_the_clock_was_set_back(
    tx: sqlalchemy.Connection, off: datetime.timedelta
) -> None:
    nodes.enter(tx, NODE)
    tx.execute(sqlalchemy.update(tables.nodes).values(beat=tables.nodes.c.beat + off))
    assert nodes.present(tx) == []
    assert present(tx) == []
    assert not nodes.beat(tx, "n", draining=False)
