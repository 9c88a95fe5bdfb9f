"""However many executions have ended, what is asked again and again reads few of them."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from abaco import clock
from abaco.http.call import Call, Principal
from abaco.http.endpoints import search
from abaco.http.endpoints.actors import list_actors, utilization
from abaco.store import actors, counts, executions, permissions, tables
from abaco.store.counts import ExecutionCounts
from abaco.store.database import Database
from abaco.store.records import every
from abaco.store.registrations import Registrant

ENDED = 3_000
STEP = 100
COUNTED = ("currentActors", "totalActors")
MOST_STEPS = 60
"""Hundreds of SQLite's instructions for a question; to look at all that has ended takes several times as many."""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(counts, "MARGIN", 10)
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as opened:
        yield opened


@pytest.fixture
def actor(database: Database) -> str:
    with database.write() as tx:
        return make_actor(tx)


def make_actor(tx: Connection) -> str:
    return actors.create(tx, "SD2E", Registrant("ada"), {"image": "image"})["id"]


def add(tx: Connection, actor: str, *statuses: str) -> list[str]:
    """Add executions of an actor; return their ids."""
    row: dict[str, Any] = dict.fromkeys(("attempts", "tries", "cpu", "io", "runtime"), 0)
    row |= {"tenant": "SD2E", "actor_id": actor, "executor": "ada", "sender": "ada"}
    ids = [f"{actor} {next(numbers)}" for _ in statuses]
    received = {"message_received_time": clock.now()}
    pairs = zip(ids, statuses, strict=True)
    rows = [{**row, **received, "id": each, "status": status} for each, status in pairs]
    tx.execute(insert(tables.executions), rows)
    return ids


numbers = itertools.count()


def steps(tx: Connection, ask: Callable[[Connection], Any]) -> int:
    """Return how many hundred instructions SQLite takes for a question."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    driver: Any = tx.connection.driver_connection
    driver.set_progress_handler(count, STEP)
    ask(tx)
    driver.set_progress_handler(None, STEP)
    return taken


def test_what_has_ended_costs_nothing_any_more(database: Database, actor: str) -> None:
    known = ExecutionCounts()
    with database.write() as tx:
        add(tx, actor, *[executions.COMPLETE] * ENDED)
        add(tx, actor, executions.SUBMITTED, executions.RUNNING)
        known.by_status(tx)
        questions: dict[str, Callable[[Connection], Any]] = {
            "metrics": known.by_status,
            "the number of an actor's": lambda tx: known.of_actor(tx, actor),
            "a start": executions.in_mailboxes,
            "what was running": executions.recover,
            "what is away": lambda tx: executions.postponed(tx, actor, 100),
            "the newest": lambda tx: executions.newest_of(tx, actor, 10),
            "the first page": lambda tx: executions.page_of(tx, actor, 0, 10, ENDED + 2),
            "the last page": lambda tx: executions.page_of(tx, actor, ENDED - 8, 10, ENDED + 2),
        }
        taken = {name: steps(tx, ask) for name, ask in questions.items()}
        assert max(taken.values()) <= MOST_STEPS, taken


def test_a_message_that_waits_without_end_does_not_have_later_ones_counted_again(
    database: Database, actor: str
) -> None:
    known = ExecutionCounts()
    with database.write() as tx:
        (stuck,) = add(tx, make_actor(tx), executions.SUBMITTED)
        add(tx, actor, *[executions.COMPLETE] * ENDED)
        before = known.by_status(tx)
        assert before == {executions.SUBMITTED: 1, executions.COMPLETE: ENDED}
        assert steps(tx, known.by_status) <= MOST_STEPS
        assert known.by_status(tx) == before
        this = tables.executions.c.id == stuck
        tx.execute(update(tables.executions).where(this).values(status=executions.ERROR))
        assert known.by_status(tx) == {executions.ERROR: 1, executions.COMPLETE: ENDED}


def test_executions_are_counted_as_they_come_and_end(database: Database, actor: str) -> None:
    known, chance = ExecutionCounts(), random.Random(1)  # noqa: S311 - no secret
    with database.write() as tx:
        names = [actor, make_actor(tx)]
        expected: dict[str, str] = {}
        for _ in range(60):
            of = chance.choice(names)
            expected |= dict.fromkeys(add(tx, of, *[executions.SUBMITTED] * 3), "SUBMITTED")
            waiting = [name for name, status in expected.items() if status not in executions.ENDED]
            for ended in waiting[: chance.randrange(6)]:
                expected[ended] = chance.choice(executions.ENDED)
                this = tables.executions.c.id == ended
                tx.execute(update(tables.executions).where(this).values(status=expected[ended]))
            found = known.by_status(tx)
            assert found == {each: [*expected.values()].count(each) for each in found}
            assert sum(found.values()) == len(expected)
            for name in names:
                mine = [each for each in expected if each.startswith(name)]
                assert known.of_actor(tx, name) == len(mine)


@pytest.mark.parametrize("kind", ["executions", "logs"])
def test_a_search_reads_nothing_of_actors_that_the_sender_may_not_read(
    database: Database, actor: str, kind: str
) -> None:
    gateway = SimpleNamespace(database=database)
    principal = Principal("SD2E", "mallory", ())
    call: Any = SimpleNamespace(gateway=gateway, principal=principal, tenant="SD2E", path={})
    call.query, text = [("actorId.neq", "taco")], "tacos are ready"
    with database.write() as tx:
        names = add(tx, actor, *[executions.COMPLETE] * ENDED)
        log = {"actor_id": actor, "tenant": "SD2E", "logs": text, "expires": clock.now()}
        tx.execute(insert(tables.logs), [{**log, "execution_id": each} for each in names])
        for subject in ("another", make_actor(tx)):
            permissions.grant(tx, "SD2E", permissions.ACTOR, subject, "mallory", permissions.READ)
    with database.read() as tx:
        gateway.database = SimpleNamespace(read=lambda: contextlib.nullcontext(tx))
        found = []
        taken = steps(tx, lambda _: found.append(search.search_in(call, kind)))
    assert found[0].result["search"] == []
    assert taken <= MOST_STEPS


@pytest.mark.parametrize("ask", [list_actors, utilization])
def test_a_list_and_a_count_read_no_descriptions_of_others(
    database: Database, ask: Callable[[Call], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = SimpleNamespace(database=database, workers_of=lambda _: [])
    principal = Principal("SD2E", "mallory", ())
    call: Any = SimpleNamespace(gateway=gateway, principal=principal, tenant="SD2E")
    call.parameters, read = {}, []
    with database.write() as tx:
        for _ in range(3):
            make_actor(tx)

    def note(*given: Any) -> list[Any]:
        found = every(*given)
        read.extend(found)
        return found

    monkeypatch.setattr(actors, "every", note)
    assert ask(call).result in ([], {**dict.fromkeys(COUNTED, 3), "workers": 0, "commandQueue": 0})
    assert read == []


@pytest.mark.parametrize("skip", [0, 1, 10, 17, 25, 29, 30, 40])
@pytest.mark.parametrize("limit", [0, 1, 7, 100])
def test_a_page_is_the_same_from_either_end(
    database: Database, actor: str, skip: int, limit: int
) -> None:
    statuses = [*executions.ENDED, *executions.UNFINISHED, executions.COMPLETE] * 6
    with database.write() as tx:
        ids = []
        for status in statuses:
            ids += add(tx, actor, status)
            add(tx, "another", status)
        page = executions.page_of(tx, actor, skip, limit, len(ids))
        assert [each["id"] for each in page] == ids[skip : skip + limit]
        newest = executions.newest_of(tx, actor, limit)
        assert [each["id"] for each in newest] == ids[max(0, len(ids) - limit) :]
