"""Statements that are executed for each message: SQLAlchemy compiles them once, the driver does the rest.

For each execution, SQLAlchemy looks the compiled form up, fits the values to it and makes a context of
its own. With SQLite that takes ten times as long as the statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Dialect
    from sqlalchemy.sql.dml import UpdateBase
    from sqlalchemy.sql.selectable import Select

    Row = Mapping[str, Any]

T = TypeVar("T")


class _Compiled(NamedTuple):
    """A statement as a driver takes it.

    Attributes:
        names: of its values, in their order.
        processes: what makes some values ready for the driver, by their place.
        positional: whether the driver takes a sequence of values, or else their names with them.
    """

    text: str
    names: tuple[str, ...]
    processes: tuple[tuple[int, Callable[[Any], Any]], ...]
    positional: bool

    def fit(self, row: Row) -> Any:
        """Return the values of a row as the driver takes them."""
        values = [row[name] for name in self.names]
        for place, process in self.processes:
            values[place] = process(values[place])
        return values if self.positional else dict(zip(self.names, values, strict=True))


class Statement:
    """A statement whose values are all named by `bindparam`, each once.

    Args:
        statement: for rows that have a value of each name, and may have others.
    """

    def __init__(self, statement: UpdateBase | Select[Any]) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def run(self, tx: Connection, rows: Sequence[Row]) -> None:
        """Execute it for each of some rows.

        Raises:
            SQLAlchemyError: as SQLAlchemy raises it.
        """
        self._execute(tx, rows, _run)

    def first(self, tx: Connection, rows: Sequence[Row]) -> list[Any]:
        """Execute it for each of some rows; return the first value that each gives, None where it gives none.

        Raises:
            SQLAlchemyError: as SQLAlchemy raises it.
        """
        found = self._execute(tx, rows, _fetch)
        return [each[0][0] if each else None for each in found]

    def _execute(
        self,
        tx: Connection,
        rows: Sequence[Row],
        execute: Callable[[Any, _Compiled, list[Any]], T],
    ) -> T:
        compiled = self._compiled_for(tx.dialect)
        fitted = [compiled.fit(row) for row in rows]
        cursor = tx.connection.cursor()
        try:
            return execute(cursor, compiled, fitted)
        except Exception as error:
            raise _explained(tx, compiled.text, error) from error
        finally:
            cursor.close()

    def _compiled_for(self, dialect: Dialect) -> _Compiled:
        known = self._compiled.get(dialect.name)
        if known is None:
            known = self._compiled[dialect.name] = self._compile(dialect)
        return known

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled = self._statement.compile(dialect=dialect)
        names = tuple((compiled.positiontup if dialect.positional else compiled.binds) or ())
        types = (compiled.binds[name].type.dialect_impl(dialect) for name in names)
        processes = (each.bind_processor(dialect) for each in types)
        needed = tuple((place, each) for place, each in enumerate(processes) if each is not None)
        return _Compiled(str(compiled), names, needed, dialect.positional)


def execute(tx: Connection, text: str) -> None:
    """Execute SQL that has no values.

    Raises:
        SQLAlchemyError: as SQLAlchemy raises it.
    """
    cursor = tx.connection.cursor()
    try:
        cursor.execute(text)
    except Exception as error:
        raise _explained(tx, text, error) from error
    finally:
        cursor.close()


def _run(cursor: Any, compiled: _Compiled, rows: list[Any]) -> None:
    if len(rows) == 1:
        cursor.execute(compiled.text, rows[0])
    else:
        cursor.executemany(compiled.text, rows)


def _fetch(cursor: Any, compiled: _Compiled, rows: list[Any]) -> list[list[Any]]:
    """Fetch what a statement gives for each row."""
    if compiled.positional or len(rows) == 1:
        return [cursor.execute(compiled.text, row).fetchall() for row in rows]
    # psycopg does it in one round trip
    cursor.executemany(compiled.text, rows, returning=True)
    found = [cursor.fetchall()]
    while cursor.nextset():
        found.append(cursor.fetchall())
    return found


def _explained(tx: Connection, text: str, error: Exception) -> Exception:
    """Return an error of the driver as SQLAlchemy raises it; another one as it is."""
    kind = tx.dialect.loaded_dbapi.Error
    if not isinstance(error, kind):
        return error
    return DBAPIError.instance(text, None, error, kind, hide_parameters=True, dialect=tx.dialect)
