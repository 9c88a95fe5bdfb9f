"""Counts what is asked of the platform's database: by SQLAlchemy, and by the statements that the driver executes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy

from abaco.store.database import Database
from abaco.store.statements import Statement


@dataclasses.dataclass
class Counts:
    """What is asked of a database: statements, those of them that may write, and commits."""

    statements: int = 0
    writing: int = 0
    commits: int = 0


@contextlib.contextmanager
def counting(database: Database) -> Iterator[Counts]:
    """Count until the end of the block."""
    counts = Counts()

    def execute(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            counts.statements += 1
            counts.writing += connection.get_execution_options().get("writing", False)

    def commit(_connection: Any) -> None:
        counts.commits += 1

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        def note(statement: Statement, tx: Any, rows: Any) -> Any:
            execute(tx, None, "")
            return method(statement, tx, rows)

        return note

    events: dict[str, Callable[..., Any]] = {"before_cursor_execute": execute, "commit": commit}
    for name, function in events.items():
        sqlalchemy.event.listen(database.engine, name, function)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("run", "first"):
            patch.setattr(Statement, name, noting(getattr(Statement, name)))
        yield counts
    for name, function in events.items():
        sqlalchemy.event.remove(database.engine, name, function)
