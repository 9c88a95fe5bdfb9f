"""What is written together fails alone, and what has to be written is written in order."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from abaco.store import database as databases
from abaco.store import writer as writers
from abaco.store.database import Database
from abaco.store.writer import Writer


class Note(NamedTuple):
    """An operation that writes a line."""

    line: str

    @classmethod
    def write(cls, tx: Connection, notes: Sequence[Note]) -> list[str]:
        for note in notes:
            tx.execute(text("INSERT INTO notes VALUES (:line)"), {"line": note.line})
        return [note.line for note in notes]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "abaco.db"


@pytest.fixture
def database(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    # how long another writer is waited for, here by tests that are that other
    monkeypatch.setattr(databases, "BUSY_SECONDS", 1)
    with contextlib.closing(Database(f"sqlite:///{file}")) as opened:
        with opened.write() as tx:
            tx.execute(text("CREATE TABLE notes (line TEXT)"))
        yield opened


def lines(database: Database) -> list[str]:
    with database.read() as tx:
        return list(tx.execute(text("SELECT line FROM notes ORDER BY rowid")).scalars())


def test_what_no_driver_takes_fails_alone(database: Database) -> None:
    async def write() -> list[Any]:
        writer = Writer(database, asyncio.get_running_loop())
        given = ["a", "\ud800", "b"]
        with database.write():
            # all of them are in one batch, or wait for the first
            written = [writer.put(Note(line)) for line in given]
        found = await asyncio.gather(*written, return_exceptions=True)
        await writer.close()
        return list(found)

    first, wrong, last = asyncio.run(write())
    assert (first, last) == ("a", "b")
    assert isinstance(wrong, UnicodeEncodeError)
    assert lines(database) == ["a", "b"]


def test_what_has_to_be_written_is_written_in_order_when_it_can_be(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "RETRY_SECONDS", 0.05)

    async def write() -> None:
        writer = Writer(database, asyncio.get_running_loop())
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = writer.put(Note("first"), insistent=True)
            with pytest.raises(SQLAlchemyError):
                await writer.put(Note("refused"))
            second = writer.put(Note("second"), insistent=True)
            other.execute("ROLLBACK")
        accepted = writer.put(Note("accepted"))
        assert [await each for each in (first, second, accepted)] == ["first", "second", "accepted"]
        await writer.close()

    asyncio.run(write())
    assert lines(database) == ["first", "second", "accepted"]


def test_what_cannot_be_written_when_the_writer_is_closed_is_told_so(
    database: Database, file: Path
) -> None:
    async def write() -> Any:
        writer = Writer(database, asyncio.get_running_loop())
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            written = writer.put(Note("lost"), insistent=True)
            await writer.close()
            other.execute("ROLLBACK")
        late = writer.put(Note("too late"))
        return await asyncio.gather(written, late, return_exceptions=True)

    errors = asyncio.run(write())
    assert all(isinstance(error, SQLAlchemyError) for error in errors)
    assert lines(database) == []
