"""A document that is read and changed as an event does it, with nothing in between."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.catalog import Catalog
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob


class Bare:
    """A document in a collection with one index, that of its `uuid`.

    Args:
        jobs: in whose database it is.
        like: the job that it is a copy of.
    """

    def __init__(self, jobs: Catalog, like: StoredJob) -> None:
        self._collection = jobs.jobs.db["bare"]
        self._collection.create_index("uuid", unique=True)
        self._query = {"uuid": like["uuid"]}
        self._collection.replace_one(self._query, like, upsert=True)
        self._entry = like["history"][-1]
        self._most = len(like["history"])

    def find(self) -> None:
        """Read it."""
        self._collection.find_one(self._query)

    def update(self) -> None:
        """Change it, and wait until that is on disk."""
        moment = datetime.datetime.now(datetime.timezone.utc)
        self._collection.update_one(
            self._query,
            {
                "$set": {"state": "RUNNING", "last_event": "update", "updated": moment},
                "$push": {"history": {"$each": [self._entry], "$slice": -self._most}},
                "$inc": {"_properties.revision": 1},
            },
        )

    def both(self) -> None:
        """Read it, and change it."""
        self.find()
        self.update()
