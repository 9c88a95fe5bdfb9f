from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from abaco.store.database import Database
from abaco.store.leases import LeaseLost
from abaco.workers.fleet import leased
from abaco.workers.fleet.bell import Bell
from tests.abaco.running import SECONDS, eventually
from tests.abaco.store.test_leases import an_actor, submit, take
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)


def test_a_holder_that_gets_no_answer_at_all_gives_up_before_its_lease_ends(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased, "SAFE_SECONDS", 0.5)
    with (
        contextlib.closing(Database(postgres.database())) as database,
        contextlib.closing(Bell("amqp://127.0.0.1:1//")) as bell,
    ):
        message = leased.LeasedMessage(database, bell, 60)
        began = time.monotonic()
        message.put(take(database, submit(database, an_actor(database))), began)
        with postgres.silent(), pytest.raises(LeaseLost):
            asyncio.run(asyncio.wait_for(message.beat(None, 60), SECONDS))
        assert message.is_lost
        # the answer comes after all
        eventually(lambda: database.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
