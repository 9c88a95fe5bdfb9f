"""Views of the list of jobs that somebody has saved under a name, for all who look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from datacatalog import mongo
from datacatalog.linkedstores.basestore.store import now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from datacatalog.mongo import Document

MAX_VIEWS = 100
MAX_NAME, MAX_QUERY = 60, 2000
"""Characters."""


class InvalidView(ValueError):
    """The view cannot be saved; the text says why."""


class Views:
    """What is saved, by name.

    Args:
        mongodb: settings, or a database.
    """

    def __init__(self, mongodb: Mapping[str, Any] | Database[Any]) -> None:
        self._coll = mongo.connect(mongodb)["views"]

    def all(self) -> list[Document]:
        """Return `name`, `query` and `owner` of all of them, by their names."""
        found = self._coll.find(sort=[("_id", 1)], limit=MAX_VIEWS)
        return [
            {"name": row["_id"], "query": row.get("query"), "owner": row.get("owner")}
            for row in found
        ]

    def save(self, name: str, query: str, owner: str) -> None:
        """Save a view.

        Args:
            name: that is not taken yet.
            query: the filters, as an address has them.
            owner: who saves it.

        Raises:
            InvalidView: the name or the number of views does not allow it.
        """
        if not name or len(name) > MAX_NAME or not name.isprintable():
            message = f"give a name of at most {MAX_NAME} characters that can be printed"
            raise InvalidView(message)
        if len(query) > MAX_QUERY:
            message = f"the filters are longer than {MAX_QUERY} characters"
            raise InvalidView(message)
        if self._coll.estimated_document_count() >= MAX_VIEWS:
            message = f"there are {MAX_VIEWS} views already: remove one first"
            raise InvalidView(message)
        try:
            self._coll.insert_one({"_id": name, "query": query, "owner": owner, "date": now()})
        except DuplicateKeyError as error:
            message = f"there is a view {name!r} already: remove it first, or use another name"
            raise InvalidView(message) from error

    def owner(self, name: str) -> str | None:
        """Return who has saved a view, or None if there is none of this name."""
        found = self._coll.find_one({"_id": name}, {"owner": 1})
        return None if found is None else str(found.get("owner"))

    def remove(self, name: str) -> None:
        """Drop a view, if there is one of this name."""
        self._coll.delete_one({"_id": name})
