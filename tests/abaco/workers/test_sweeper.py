"""Of all gateways and nodes one sweeps at a time: what it cannot do, it leaves to another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy

from abaco.store import tables
from abaco.store.database import Database
from abaco.workers.fleet import bell
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
