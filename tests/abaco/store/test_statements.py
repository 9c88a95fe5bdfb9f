"""Statements that the driver executes: what they give, and how they fail, is as SQLAlchemy has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from abaco import clock
from abaco.store import executions, tables
from abaco.store.database import Database
from abaco.store.executions import JSON, Message, Submission
from abaco.store.statements import Statement
from abaco.store.writer import is_of_value
from tests.abaco.workers.ended import submit
from tests.conftest import NO_SERVICES, SERVICES

_MOMENT = clock.now()
INSERT = Statement(
    insert(tables.results).values(
        {name: bindparam(name) for name in ("execution_id", "actor_id", "body", "expires")}
    )
)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)),
    ]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'abaco.db'}"
    else:
        url = request.getfixturevalue("postgres").database()
    with contextlib.closing(Database(url)) as made:
        yield made


def row(**others: Any) -> dict[str, Any]:
    return {"execution_id": "e", "actor_id": "a", "body": b"\0", "expires": _MOMENT, **others}


def test_what_is_written_is_read_again(database: Database) -> None:
    with database.write() as tx:
        INSERT.run(tx, [row(), row(body=b"second", more="is left out")])
    with database.read() as tx:
        found = tx.execute(select(tables.results).order_by(tables.results.c.sequence)).all()
    assert [bytes(each.body) for each in found] == [b"\0", b"second"]
    assert {each.expires for each in found} == {_MOMENT}


def test_each_row_gives_its_first_value_in_order(database: Database) -> None:
    find = Statement(select(tables.actors.c.id).where(tables.actors.c.id == bindparam("id")))
    ids = [submit(database).submission.actor_id for _ in range(3)]
    with database.read() as tx:
        asked = [{"id": each} for each in (ids[2], "nobody", ids[0])]
        assert find.first(tx, asked) == [ids[2], None, ids[0]]
        assert find.first(tx, asked[1:2]) == [None]


def test_messages_get_their_places_in_order(database: Database) -> None:
    first = submit(database)
    sent = first.submission._replace(message=Message(b"x", JSON, {"ä": "ö"}))
    with database.write() as tx:
        accepted = Submission.write(tx, [sent, sent._replace(actor_id="nobody"), sent])
    assert accepted[1] is None
    places = [each.sequence for each in accepted if each is not None]
    assert places == sorted(places)
    assert first.sequence < places[0] < places[1]
    with database.read() as tx:
        assert executions.messages_at(tx, [*places, 0]) == dict.fromkeys(places, sent.message)


def test_a_value_that_is_refused_is_told_from_a_database_that_is_away(database: Database) -> None:
    taken = row(sequence=1)
    twice = Statement(insert(tables.results).values({name: bindparam(name) for name in taken}))
    for rows, expected in (([taken, taken], IntegrityError), ([row(body=None)], IntegrityError)):
        statement = twice if "sequence" in rows[0] else INSERT
        with pytest.raises(expected) as caught, database.write() as tx:
            statement.run(tx, rows)
        assert is_of_value(caught.value)
        # values may be secret
        assert "parameters" not in str(caught.value) or "hidden" in str(caught.value)
    with pytest.raises((DataError, OverflowError)) as refused, database.write() as tx:
        twice.run(tx, [row(sequence=2**70)])
    assert is_of_value(refused.value)
    with database.read() as tx:
        assert tx.execute(select(tables.results)).all() == []


def test_a_table_that_is_not_there_is_no_fault_of_the_value(tmp_path: Path) -> None:
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        with database.write() as tx:
            tx.exec_driver_sql("DROP TABLE results")
        with pytest.raises(OperationalError) as caught, database.write() as tx:
            INSERT.run(tx, [row()])
        assert not is_of_value(caught.value)
