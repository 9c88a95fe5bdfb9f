from __future__ import annotations

import contextlib

import pytest

from abaco.store import locks
from abaco.store.database import Database
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
