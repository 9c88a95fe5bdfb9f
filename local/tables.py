"""The tables of the database of this machine, all made before anything is kept in it.

The server spreads collections over 16 tables, by their names, and makes a table when the first
collection comes that belongs into it. A server that is killed meanwhile leaves half a table, with
which no server starts again.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pymongo

_COLLECTIONS = "abcdefghijklmnop"
"""Each belongs into another table: the server goes by the last bits of the FNV-1a hash of the name."""


def make(client: pymongo.MongoClient[dict[str, object]]) -> None:
    """Have the server make its tables.

    Raises:
        PyMongoError: it does not do it.
    """
    # a name that nobody has given to a database of theirs
    database = f"tables-{secrets.token_hex(8)}"
    for name in _COLLECTIONS:
        client[database].create_collection(name, check_exists=False)
    client.drop_database(database)
