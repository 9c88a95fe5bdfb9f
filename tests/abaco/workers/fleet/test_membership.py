"""A database has one gateway that runs its messages itself, or a fleet: never both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from abaco.store import executions, leases, locks, tables
from abaco.store.database import Database
from abaco.workers.fleet.bell import Bell
from abaco.workers.fleet.membership import Membership
from abaco.workers.fleet.sweeper import Sweeper
from tests import services
from tests.abaco.running import RunningGateway, eventually
from tests.abaco.store.test_leases import an_actor, submit, take
from tests.conftest import NO_SERVICES, SERVICES

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
NOBODY = "amqp://127.0.0.1:9//"


@pytest.fixture
def database(postgres: services.Postgres) -> Iterator[Database]:
    with contextlib.closing(Database(postgres.database())) as opened:
        yield opened


Started = Callable[..., str]


@pytest.fixture
def started(database: Database, tmp_path: Path) -> Started:
    """Starts a gateway or a node, which does not start on the database; returns what it says."""

    def start(name: str, command: str, **settings: Any) -> str:
        (tmp_path / name).mkdir()
        url = database.engine.url.render_as_string(hide_password=False)
        gateway = RunningGateway(tmp_path / name, settings={"database": url, **settings})
        return gateway.complaint(command, "--port=0").splitlines()[-1]

    return start


def test_a_gateway_that_runs_messages_itself_does_not_start_beside_a_fleet(
    database: Database, started: Started
) -> None:
    execution = submit(database, an_actor(database))
    taken = take(database, execution)
    membership = Membership(database)
    membership.begin()
    line = started("one", "serve")
    assert line.startswith("ERROR a fleet of gateways and nodes is using the platform's database")
    membership.end()
    # the node is gone, its process runs the message
    line = started("two", "serve")
    assert line.startswith("ERROR a process of a node is still using the platform's database")
    with database.write() as tx:
        leases.beat(tx, taken.hold)


def test_neither_a_gateway_nor_a_node_of_a_fleet_starts_beside_one_that_runs_messages_itself(
    database: Database, started: Started
) -> None:
    fleet = {"engine": "celery", "broker": NOBODY, "public_url": "http://127.0.0.1:9"}
    alone = locks.Lock(database, locks.ONLY_GATEWAY)
    assert alone.take()
    for command in ("serve", "worker"):
        line = started(command, command, **fleet)
        assert line == (
            "ERROR a gateway with engine: local is using the platform's database: stop it first"
        )
    alone.release()


def test_what_a_gateway_runs_itself_is_not_swept_by_a_fleet_that_has_lost_its_lock(
    database: Database,
) -> None:
    execution = submit(database, an_actor(database))
    running = tables.executions.c.id == execution
    with database.write() as tx:
        # a gateway that runs messages itself has no leases
        changed = {"status": executions.RUNNING, "lease": None}
        tx.execute(sqlalchemy.update(tables.executions).where(running).values(changed))

    def status() -> str:
        with database.read() as tx:
            return str(tx.scalar(sqlalchemy.select(tables.executions.c.status).where(running)))

    alone = locks.Lock(database, locks.ONLY_GATEWAY)
    assert alone.take()
    with contextlib.closing(Bell(NOBODY)) as bell:
        sweeper = Sweeper(database, bell, lambda _: "", 60)
        sweeper.sweep()
        assert status() == executions.RUNNING
        alone.release()

        def is_swept() -> bool:
            sweeper.sweep()
            return status() == executions.SUBMITTED

        eventually(is_swept)
