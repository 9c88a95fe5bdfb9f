from __future__ import annotations

import contextlib

import pytest

from abaco.store import locks
from abaco.store.database import Database
from tests.abaco.running import eventually
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)


def test_those_who_ask_at_the_same_time_whether_a_lock_is_free_do_not_see_each_other(
    postgres: Postgres,
) -> None:
    with contextlib.closing(Database(postgres.database())) as database:
        lock = locks.Lock(database, locks.ONLY_GATEWAY)
        with database.read() as one, database.read() as other:
            assert locks.is_free(one, locks.ONLY_GATEWAY)
            assert locks.is_free(other, locks.ONLY_GATEWAY)
        assert lock.take()
        with database.read() as one:
            assert not locks.is_free(one, locks.ONLY_GATEWAY)
        lock.release()


def test_a_lock_that_several_share_is_nobodys_own_until_all_of_them_have_let_it_go(
    postgres: Postgres,
) -> None:
    with contextlib.closing(Database(postgres.database())) as database:
        alone = locks.Lock(database, locks.ONLY_GATEWAY)
        shared = [locks.Lock(database, locks.ONLY_GATEWAY, shared=True) for _ in range(2)]
        assert [lock.take() for lock in (*shared, alone)] == [True, True, False]
        shared[0].release()
        assert not alone.take()
        shared[1].release()
        # the server ends a connection when it finds time
        eventually(alone.take)
        assert not shared[0].take()
        alone.release()


def test_a_lock_that_is_lost_with_its_connection_is_taken_again(postgres: Postgres) -> None:
    with contextlib.closing(Database(postgres.database())) as database:
        alone = locks.Lock(database, locks.ONLY_GATEWAY)
        shared = locks.Lock(database, locks.ONLY_GATEWAY, shared=True)
        assert shared.take()
        postgres.break_connections()
        database.close()
        assert shared.take()
        assert not alone.take()
        shared.release()
