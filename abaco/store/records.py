"""What the modules of nouns share: how rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

Record: TypeAlias = dict[str, Any]
"""Values by the names of columns, of no table in particular."""
Row = TypeVar("Row")


def one(tx: Connection, query: Executable, row: type[Row]) -> Row | None:  # noqa: ARG001 - for its type
    """Return the first row, which has the columns of `row`."""
    found = tx.execute(query).mappings().first()
    return None if found is None else cast("Row", dict(found))


def every(tx: Connection, query: Executable, row: type[Row]) -> list[Row]:  # noqa: ARG001 - for its type
    """Return all rows, which have the columns of `row`."""
    return [cast("Row", dict(found)) for found in tx.execute(query).mappings()]
