"""A database has one gateway that runs its messages itself, or a fleet: never both."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from tests.abaco.fleet import RunningFleet
from tests.abaco.running import RunningGateway, eventually
from tests.abaco.store.test_leases import an_actor, submit, take
from tests.conftest import NO_SERVICES, SERVICES

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
NOBODY = "amqp://127.0.0.1:9//"


@pytest.fixture
def database(postgres: services.Postgres) -> Iterator[Database]:
    with contextlib.closing(Database(postgres.database())) as opened:
        yield opened


def started(folder: Path, database: Database, *command: str, **settings: Any) -> str:
    """Return what a gateway or node says that does not start on a database."""
    folder.mkdir()
    url = database.engine.url.render_as_string(hide_password=False)
    gateway = RunningGateway(folder, settings={"database": url, **settings})
    done = gateway.command(*command, "--port=0")
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[-1]


def test_a_gateway_that_runs_messages_itself_does_not_start_beside_a_fleet(
    database: Database, tmp_path: Path
) -> None:
    execution = submit(database, an_actor(database))
    taken = take(database, execution)
    membership = Membership(database)
    membership.begin()
    line = started(tmp_path / "one", database, "serve")
    assert line.startswith("ERROR a fleet of gateways and nodes is using the platform's database")
    membership.end()
    # the node is gone, its process runs the message
    line = started(tmp_path / "two", database, "serve")
    assert line.startswith("ERROR a process of a node is still using the platform's database")
    with database.write() as tx:
        leases.beat(tx, taken.hold)


def test_neither_a_gateway_nor_a_node_of_a_fleet_starts_beside_one_that_runs_messages_itself(
    database: Database, tmp_path: Path
) -> None:
    fleet = {"engine": "celery", "broker": NOBODY, "public_url": "http://127.0.0.1:9"}
    alone = locks.Lock(database, locks.ONLY_GATEWAY)
    assert alone.take()
    for command in ("serve", "worker"):
        line = started(tmp_path / command, database, command, **fleet)
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


def test_each_gateway_and_node_is_of_the_fleet_also_after_its_connections_were_lost(
    postgres: services.Postgres, rabbitmq: services.RabbitMQ, tmp_path: Path
) -> None:
    shared = sqlalchemy.text(
        "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        "WHERE locktype = 'advisory' AND mode = 'ShareLock' AND datname = current_database()"
    )
    with RunningFleet(tmp_path / "fleet", postgres, rabbitmq) as fleet:
        (tmp_path / "fleet").mkdir()
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda start: start(), [fleet.gateway, fleet.node]))

        def members(besides: Collection[int] = ()) -> set[int]:
            """Return the two connections that have it, if there are two; a sweep has it for a moment."""
            with contextlib.closing(Database(fleet.database)) as database, database.read() as tx:
                found = set(tx.scalars(shared))
            return found if len(found) == 2 and found.isdisjoint(besides) else set()

        before = eventually(members)
        postgres.break_connections()
        eventually(lambda: members(besides=before))
