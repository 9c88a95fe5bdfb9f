from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import OperationalError

from abaco.roles import ADMIN
from abaco.store import actors, executions, leases, migrations, notices, tables
from abaco.store.database import Database
from abaco.store.executions import TEXT, Message, Submission
from abaco.store.leases import LeaseLost, Taken
from abaco.store.moments import later
from abaco.store.registrations import Registrant
from abaco.workers.mailbox import delay_of
from tests.abaco.running import eventually
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
LONG_AGO = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - in UTC, as the database keeps it


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[Database]:
    with contextlib.closing(Database(postgres.database())) as opened:
        yield opened


def an_actor(database: Database, **description: Any) -> str:
    with database.write() as tx:
        registrant = Registrant("ada", (ADMIN,))
        described = {"image": "tacos", "status": actors.READY, **description}
        return str(actors.create(tx, "SD2E", registrant, described)["id"])


def submit(database: Database, actor: str, ordering: str | None = None) -> str:
    message = Message(b"tacos", TEXT, {})
    with database.write() as tx:
        sent = Submission("SD2E", actor, "ada", message, "ada", ordering)
        (accepted,) = Submission.write(tx, [sent])
    assert accepted is not None
    return accepted.execution_id


def take(database: Database, execution: str, holder: str = "here:1", *, dead: str = "") -> Any:
    with database.write() as tx:
        found = leases.find(tx, execution)
        if found is None:
            return None
        return leases.take(tx, found, holder, "worker", lambda other: other == dead)


def end(database: Database, taken: Taken) -> str | None:
    """End an execution; return the one that is rung for then."""
    row, hold = taken.row, taken.hold
    with database.write() as tx:
        leases.check(tx, hold)
        executions.Drop.write(tx, [executions.Drop((row["id"],))])
        return leases.next_in(tx, row["actor_id"], row["ordering"], hold.lane)


def let_expire(database: Database, taken: Taken, column: str = "lease") -> None:
    with database.write() as tx:
        mine = tables.executions.c.sequence == taken.hold.sequence
        tx.execute(sqlalchemy.update(tables.executions).where(mine).values({column: LONG_AGO}))


def set_back(database: Database, execution: str, column: str) -> None:
    """Let a moment of an execution be one of before the clock of the database was set back by an hour."""
    with database.write() as tx:
        mine = tables.executions.c.id == execution
        tx.execute(sqlalchemy.update(tables.executions).where(mine).values({column: later(3600.0)}))


def sweep(database: Database) -> list[str]:
    """Let those wait again whose lease has run out; return them."""
    with database.write() as tx:
        lost = leases.expired(tx)
        for row in lost:
            leases.give_back(tx, row["sequence"], row["id"], row["attempts"] + 1)
    return [row["id"] for row in lost]


def unheard(database: Database, actor: str) -> list[str]:
    with database.write() as tx:
        return [execution for found, execution, _ in leases.unheard(tx) if found == actor]


def test_a_message_has_one_holder(database: Database) -> None:
    execution = submit(database, an_actor(database))
    taken = take(database, execution)
    assert (taken.row["id"], taken.row["status"], taken.fresh) == (execution, "RUNNING", True)
    assert take(database, execution, "there:1") is None
    end(database, taken)
    assert take(database, execution, "there:1") is None


def test_a_message_is_taken_with_its_content_in_two_statements(database: Database) -> None:
    execution = submit(database, an_actor(database, stateless=True))
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sqlalchemy.event.listen(database.engine, "before_cursor_execute", count)
    try:
        taken = take(database, execution)
    finally:
        sqlalchemy.event.remove(database.engine, "before_cursor_execute", count)
    assert taken.message == Message(b"tacos", TEXT, {})
    assert len(statements) == 2, statements


def test_who_was_cut_off_ends_nothing_that_another_has_taken(database: Database) -> None:
    execution = submit(database, an_actor(database))
    first = take(database, execution)
    let_expire(database, first)
    assert sweep(database) == [execution]
    with pytest.raises(LeaseLost), database.write() as tx:
        leases.beat(tx, first.hold)
    second = take(database, execution, "there:1")
    assert (second.hold.fence, second.fresh, second.row["attempts"]) == (2, False, 1)
    with database.read() as tx:
        assert [leases.is_held(tx, execution, fence) for fence in (1, 2)] == [False, True]
        assert leases.is_held(tx, execution, 2, other_than="here")
        assert not leases.is_held(tx, execution, 2, other_than="there")
    with pytest.raises(LeaseLost):
        end(database, first)
    end(database, second)
    with pytest.raises(LeaseLost):
        end(database, second)


def test_a_lease_that_is_renewed_does_not_run_out(database: Database) -> None:
    taken = take(database, submit(database, an_actor(database)))
    let_expire(database, taken)
    with database.write() as tx:
        assert leases.beat(tx, taken.hold) == ""
    assert sweep(database) == []
    with database.write() as tx:
        assert leases.ask_to_stop(tx, taken.row["id"], "enough")
        assert leases.beat(tx, taken.hold) == "enough"
    end(database, taken)


def test_a_holder_that_is_known_to_be_dead_is_relieved_at_once(database: Database) -> None:
    execution = submit(database, an_actor(database))
    first = take(database, execution, "here:1")
    second = take(database, execution, "here:2", dead="here:1")
    assert (second.former, second.hold.fence, second.row["attempts"]) == ("worker", 2, 1)
    with pytest.raises(LeaseLost):
        end(database, first)
    end(database, second)


@pytest.mark.parametrize(
    ("stateless", "key"), [(False, None), (True, "tacos")], ids=["stateful", "ordered"]
)
def test_of_a_lane_the_first_is_taken_and_the_next_is_rung_for_at_its_end(
    database: Database, stateless: bool, key: str | None
) -> None:
    actor = an_actor(database, stateless=stateless)
    first, second, third, fourth = (submit(database, actor, key) for _ in range(4))
    # the ring of the first was lost, and that of the third is used up
    taken = take(database, third)
    assert taken.row["id"] == first
    # heard while the first runs, so that its ring is used up
    assert take(database, second) is None
    assert end(database, taken) == second
    taken = take(database, second)
    assert end(database, taken) == third
    taken = take(database, third)
    # the ring of the fourth is still to be heard
    assert end(database, taken) is None
    end(database, take(database, fourth))


def test_other_keys_and_none_are_taken_meanwhile(database: Database) -> None:
    actor = an_actor(database)
    taken = [take(database, submit(database, actor, key)) for key in ("a", "b", None, None)]
    assert all(taken)
    for each in taken:
        end(database, each)


def test_what_is_due_later_holds_up_its_lane(database: Database) -> None:
    actor = an_actor(database)
    first, second = submit(database, actor, "a"), submit(database, actor, "a")
    taken = take(database, first)
    with database.write() as tx:
        leases.give_back(tx, taken.hold.sequence, first, 0, 1, 60.0, "the oven is cold")
        (state,) = leases.states_of(tx, [first])
    assert state["delay"] is not None
    assert 0 < state["delay"] <= 60
    assert take(database, second) is None
    submission = Submission("SD2E", actor, "ada", Message(b"", TEXT, {}), "ada", "a")
    with database.read() as tx:
        ahead = leases.ahead_of(tx, submission)
    assert ahead is not None
    assert (ahead["id"], ahead["reason"]) == (first, "the oven is cold")
    let_expire(database, taken, "due")
    end(database, take(database, second))


def test_what_nobody_has_heard_is_rung_for_again_but_not_all_the_time(database: Database) -> None:
    actor = an_actor(database)
    waiting = [submit(database, actor) for _ in range(leases.MAX_RUNG + 1)]
    assert unheard(database, actor) == []
    with database.write() as tx:
        tx.execute(sqlalchemy.update(tables.executions).values(rung=LONG_AGO))
    assert unheard(database, actor) == waiting[:-1]
    assert unheard(database, actor) == waiting[-1:]
    assert unheard(database, actor) == []


def test_what_is_put_off_is_tried_again_by_the_clock_of_the_database_though_that_is_set_back(
    database: Database,
) -> None:
    actor = an_actor(database)
    taken = take(database, submit(database, actor))
    delay = max(delay_of(tries) for tries in range(1, 1000))
    assert delay < leases.MAX_DELAY
    with database.write() as tx:
        leases.give_back(tx, taken.hold.sequence, taken.row["id"], 0, 1, delay)
    assert take(database, taken.row["id"]) is None
    assert unheard(database, actor) == []
    set_back(database, taken.row["id"], "due")
    assert unheard(database, actor) == [taken.row["id"]]
    end(database, take(database, taken.row["id"]))


def test_what_a_gateway_whose_clock_is_ahead_has_rung_for_is_rung_for_again(
    database: Database,
) -> None:
    actor = an_actor(database)
    execution = submit(database, actor)
    set_back(database, execution, "rung")
    assert unheard(database, actor) == [execution]
    assert unheard(database, actor) == []


def test_a_lease_of_before_the_clock_was_set_back_runs_out_and_is_renewed_as_any(
    database: Database,
) -> None:
    taken = take(database, submit(database, an_actor(database)))
    set_back(database, taken.row["id"], "lease")
    assert sweep(database) == []
    with database.read() as tx:
        query = sqlalchemy.select(tables.executions.c.lease <= later(leases.LEASE_SECONDS))
        assert tx.scalar(query.where(tables.executions.c.id == taken.row["id"]))
    with database.write() as tx:
        assert leases.beat(tx, taken.hold) == ""
    end(database, taken)


def test_more_messages_are_numbered_than_32_bits_hold(database: Database) -> None:
    actor = an_actor(database)
    with database.write() as tx:
        tx.execute(sqlalchemy.text(f"SELECT setval('executions_sequence_seq', {2**31})"))
    taken = take(database, submit(database, actor))
    assert taken.row["sequence"] == 2**31 + 1
    with database.read() as tx:
        assert [*executions.messages_at(tx, [2**31 + 1])] == [2**31 + 1]


def test_a_listener_that_was_not_started_is_stopped(database: Database) -> None:
    notices.Listener(database, lambda _: None).stop()


def test_what_one_writes_the_others_hear(postgres: Postgres, database: Database) -> None:
    heard: list[notices.Notice] = []
    other = Database(database.engine.url.render_as_string(hide_password=False))
    listener = notices.Listener(other, heard.append)
    listener.start()
    try:
        eventually(lambda: heard == [(notices.MISSED, "")])
        with contextlib.suppress(ZeroDivisionError), database.write() as tx:
            notices.tell(tx, notices.ENDED, "never")
            raise ZeroDivisionError
        an_actor(database)
        eventually(lambda: heard[1:] == [(notices.CHANGED, "")])
        postgres.break_connections()
        # what was told meanwhile may be lost, and that is heard
        eventually(lambda: heard[2:] == [(notices.MISSED, "")])
    finally:
        listener.stop()
        other.close()


def test_the_migrations_make_the_tables_that_an_empty_postgresql_is_given(
    postgres: Postgres, database: Database
) -> None:
    engine = sqlalchemy.create_engine(postgres.database())
    try:
        migrations.upgrade(engine)
        shown = []
        for each in (engine, database.engine):
            with each.connect() as tx:
                ours = {"include_name": lambda name, *_: name != "ix_executions_lane"}
                context = MigrationContext.configure(tx, opts=ours)
                assert compare_metadata(context, tables.metadata) == []
                query = "SELECT indexname, replace(indexdef, 'public.', '') FROM pg_indexes"
                rows = tx.execute(sqlalchemy.text(f"{query} WHERE schemaname = 'public'")).all()
                shown.append(json.dumps(sorted(map(list, rows))))
        assert shown[0] == shown[1]
        assert shown[0].count("ix_executions_lane") == 2
    finally:
        engine.dispose()


def test_postgresql_is_not_asked_before_each_use_of_a_connection(postgres: Postgres) -> None:
    url = postgres.database()
    with contextlib.closing(Database(url)) as opened:
        for _ in range(100):
            with opened.read() as tx:
                tx.execute(sqlalchemy.select(1))
    with contextlib.closing(Database(url)) as other:

        def transactions() -> int:
            with other.read() as tx:
                found = tx.execute(
                    sqlalchemy.text(
                        "SELECT xact_commit + xact_rollback FROM pg_stat_database"
                        " WHERE datname = current_database()"
                    )
                )
                return int(found.scalar_one())

        counted = eventually(lambda: (found := transactions()) >= 100 and found)
    # the others made the tables, and counted
    assert counted < 150


def test_why_there_is_no_connection_is_said_once(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.database()
    name = url.rpartition("/")[2]
    with contextlib.closing(Database(url)) as opened:
        with postgres._connect() as server:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        opened.engine.dispose()
        for _ in range(3):
            with pytest.raises(OperationalError), opened.read():
                pass
        (line,) = caplog.messages
        assert line.startswith("the platform's database cannot be used: connection failed: ")
        assert f'FATAL:  database "{name}" is not currently accepting connections' in line


def test_a_connection_that_the_server_has_ended_is_not_lent(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abaco.store.database.IDLE_SECONDS", 0.0)
    url = postgres.database()
    with contextlib.closing(Database(url)) as opened, contextlib.closing(Database(url)) as other:
        with opened.read() as tx:
            first = tx.execute(sqlalchemy.select(sqlalchemy.func.pg_backend_pid())).scalar_one()
        with other.read() as tx:
            ended = tx.execute(sqlalchemy.select(sqlalchemy.func.pg_terminate_backend(first, 9000)))
            assert ended.scalar_one()
        with opened.read() as tx:
            assert tx.execute(sqlalchemy.select(1)).scalar_one() == 1
