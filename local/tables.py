"""The tables of the database of this machine, all made before anything is kept in it.

The server spreads collections over 16 tables, by their names, and makes a table when the first
collection comes that belongs into it. A server that is killed meanwhile leaves half a table, with
which no server starts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pymongo

_FILES = "secantus_documents_sh*.wt"
_DATABASE = "tables"
_COLLECTIONS = "abcdefghijklmnop"
"""Each belongs into another table: the server goes by the last bits of the FNV-1a hash of the name."""


def are_lacking(data: Path) -> bool:
    """Tell whether there are tables in a data folder that the server would make later."""
    return sum(1 for _ in data.glob(_FILES)) < len(_COLLECTIONS)


def make(client: pymongo.MongoClient[dict[str, object]]) -> None:
    """Have the server make its tables.

    Raises:
        PyMongoError: it does not do it.
    """
    # what an attempt has left that was interrupted
    client.drop_database(_DATABASE)
    for name in _COLLECTIONS:
        client[_DATABASE].create_collection(name, check_exists=False)
    client.drop_database(_DATABASE)
