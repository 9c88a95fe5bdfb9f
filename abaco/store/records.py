"""What the modules of nouns share: rows as dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

Record: TypeAlias = dict[str, Any]
"""A row: values by the names of the columns."""


def one(tx: Connection, query: Executable) -> Record | None:
    """Return the first row."""
    row = tx.execute(query).mappings().first()
    return None if row is None else dict(row)


def every(tx: Connection, query: Executable) -> list[Record]:
    """Return all rows."""
    return [dict(row) for row in tx.execute(query).mappings()]
