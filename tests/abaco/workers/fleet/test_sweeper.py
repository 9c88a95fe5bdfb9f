"""Of all gateways and nodes one sweeps at a time: what it cannot do, it leaves to another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy

from abaco import events
from abaco.store import actors, executions, tables
from abaco.store.database import Database
from abaco.store.rows import Actor
from abaco.workers.fleet import bell
from abaco.workers.fleet import sweeper as sweeping
from abaco.workers.fleet.sweeper import Sweeper
from tests import services
from tests.abaco.running import eventually
from tests.abaco.store.test_leases import LONG_AGO, an_actor, submit
from tests.balancer import Balancer
from tests.conftest import NO_SERVICES, SERVICES

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)


@pytest.fixture
def database(postgres: services.Postgres) -> Iterator[Database]:
    with contextlib.closing(Database(postgres.database())) as opened:
        yield opened


def let_be_unheard(database: Database) -> None:
    with database.write() as tx:
        tx.execute(sqlalchemy.update(tables.executions).values(rung=LONG_AGO))


def is_rung(database: Database) -> bool:
    with database.read() as tx:
        return tx.scalar(sqlalchemy.select(tables.executions.c.rung)) != LONG_AGO


def test_who_cannot_reach_the_broker_rings_for_nothing_until_it_can(
    database: Database, rabbitmq: services.RabbitMQ
) -> None:
    actor = an_actor(database)
    submit(database, actor)
    name = bell.name_of(actor, stateless=True)
    with Balancer(rabbitmq.host) as balancer:
        url = rabbitmq.url.replace(f":{rabbitmq.port}", f":{balancer.port}")
        with contextlib.closing(bell.Bell(url)) as ringing:
            sweeper = Sweeper(database, ringing, lambda _: "", 60)
            ringing.knock()
            eventually(lambda: ringing.is_away)
            let_be_unheard(database)
            for _ in range(3):
                sweeper.sweep()
            assert not is_rung(database)
            balancer.servers = [(rabbitmq.host, rabbitmq.port)]

            def rings() -> bool:
                sweeper.sweep()
                return bool(bell.lengths_of(rabbitmq.url, [name])[1].get(name))

            eventually(rings)
            assert is_rung(database)
            ringing.remove(actor)


def test_a_deletion_whose_gateway_is_gone_is_finished_and_one_that_goes_on_is_not(
    database: Database, rabbitmq: services.RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, linking = an_actor(database), an_actor(database)
    waiting = submit(database, actor)
    with database.write() as tx:
        actors.change(tx, linking, link=actor)
        actors.change(tx, actor, status=actors.SHUTTING_DOWN)

    def is_there() -> bool:
        with database.read() as tx:
            return actors.get(tx, actor) is not None

    with contextlib.closing(bell.Bell(rabbitmq.url)) as ringing:
        sweeper = Sweeper(database, ringing, lambda _: "", 60)
        for _ in range(2):
            sweeper.sweep()
        assert is_there()
        monkeypatch.setattr(sweeping, "DELETION_SECONDS", 0.0)
        sweeper.sweep()
        assert not is_there()
    with database.read() as tx:
        assert actors.get(tx, linking) is not None
        query = sqlalchemy.select(tables.executions.c.status).where(
            tables.executions.c.id == waiting
        )
        assert tx.scalar(query) == executions.ERROR


def test_an_actor_that_is_being_deleted_is_sent_nothing_by_links_and_crons(
    database: Database,
) -> None:
    actor = an_actor(database, cron_on=True, cron_next_ex=LONG_AGO, cron_schedule="now + 1 hour")
    linking = an_actor(database, link=actor)
    with database.write() as tx:
        assert actors.is_any_due(tx)
        assert events.emit(tx, _get(tx, linking), events.ACTOR_READY, "") is not None
        actors.change(tx, actor, status=actors.SHUTTING_DOWN)
        assert not actors.is_any_due(tx)
        assert actors.due(tx) == []
        assert events.emit(tx, _get(tx, linking), events.ACTOR_READY, "") is None


def _get(tx: sqlalchemy.Connection, actor_id: str) -> Actor:
    found = actors.get(tx, actor_id)
    assert found is not None
    return found
