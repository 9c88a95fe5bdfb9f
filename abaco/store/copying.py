"""The way from one database of the platform to another: from one machine to several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from abaco.exceptions import SettingsError
from abaco.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping, Table

    from abaco.store.database import Database

_ROWS, _LARGE_ROWS = 1_000, 16
"""In one statement, which are in memory at the same time, and how many of those that may have megabytes each."""
_LARGE = {tables.messages.name, tables.logs.name, tables.results.name}
_LEFT = {tables.nodes.name}
"""What is not copied: it says which processes use a database."""


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copy all that one database has into another, all of it or nothing.

    Nobody may use the source meanwhile: what is written to it later is not copied.

    Returns:
        How many rows of each table.

    Raises:
        SettingsError: the other database has rows already.
        SQLAlchemyError: one of them does not answer, or does not take a value.
    """
    copied = [table for table in tables.metadata.sorted_tables if table.name not in _LEFT]
    with source.read() as old, target.write() as new:
        full = [table.name for table in copied if new.scalar(select(select(table).exists()))]
        if full:
            message = f"the database to copy into is not empty: it has {', '.join(full)}"
            raise SettingsError(message)
        return {table.name: _copy(old, new, table) for table in copied}


def _copy(old: Connection, new: Connection, table: Table) -> int:
    count = 0
    together = _LARGE_ROWS if table.name in _LARGE else _ROWS
    found = old.execution_options(yield_per=together).execute(select(table))
    for rows in found.mappings().partitions():
        new.execute(insert(table), [_storable(row) for row in rows])
        count += len(rows)
    if count and new.dialect.name == "postgresql" and table.autoincrement_column is not None:
        _go_on_after(new, table)
    return count


def _storable(row: RowMapping) -> dict[str, Any]:
    """Return a row as PostgreSQL takes it: earlier versions have left NULs in logs."""
    return {
        name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
        for name, value in row.items()
    }


def _go_on_after(new: Connection, table: Table) -> None:
    """Let the numbers that PostgreSQL gives to new rows begin after those that there are."""
    (column,) = table.primary_key.columns
    last = select(func.max(column)).scalar_subquery()
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    new.execute(select(func.setval(sequence, last)))
