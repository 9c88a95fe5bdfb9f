from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from abaco.store import nonces, permissions, tables
from abaco.store.database import Database
from tests.services import Postgres

MONTH_OF_USES = 2**31 - 1


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'abaco.db'}"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    with contextlib.closing(Database(url)) as opened:
        yield opened


def test_a_nonce_may_be_used_for_years(database: Database) -> None:
    whose = ("SD2E", permissions.ACTOR, "actor")
    with database.write() as tx:
        nonce = nonces.create(
            tx,
            *whose,
            owner="ada",
            roles=[],
            level=permissions.EXECUTE,
            max_uses=nonces.UNLIMITED,
            description="",
        )
        tx.execute(update(tables.nonces).values(current_uses=MONTH_OF_USES))
    uses = nonces.Uses()
    uses.count(nonce["id"])
    uses.count(nonce["id"])
    uses.write(database)
    with database.read() as tx:
        (found,) = nonces.all_of(tx, *whose)
    assert found["current_uses"] == MONTH_OF_USES + 2
