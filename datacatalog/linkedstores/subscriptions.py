"""The subscriptions: those that are kept here, how it goes with all of them, and dead letters."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from datacatalog import mongo
from datacatalog.linkedstores.basestore import indexes
from datacatalog.linkedstores.basestore.store import now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from datacatalog.mongo import Document

    Noted = tuple[Mapping[str, int], Mapping[str, Any]]

DEFINITION = "definition"
IS_NEW = "is_new"
"""Whether nobody who delivers has known of it yet."""
_ALL = "all"
_AHEAD = datetime.timedelta(minutes=1)
"""By less than that the clocks of machines differ."""


def _sound(document: Document) -> Document:
    is_dated = isinstance(document.get("since"), datetime.datetime)
    if DEFINITION in document and not (is_dated and isinstance(document[DEFINITION], dict)):
        document[DEFINITION] = {}
    return document if is_dated else {**document, "since": now()}


class SubscriptionExists(ValueError):
    """There is a subscription of this name."""


class Subscriptions:
    """What is kept of subscriptions, by their names.

    Args:
        mongodb: settings, or a database.
    """

    def __init__(self, mongodb: Mapping[str, Any] | Database[Any]) -> None:
        self.db = mongo.connect(mongodb)
        self.coll = self.db["subscriptions"]
        self.dead = self.db["dead_letters"]
        # what is lost of it with a power cut is seen again soon
        concern = WriteConcern(w=1)
        self._health = self.db.get_collection("subscriptions_health", write_concern=concern)

    def kept(self) -> dict[str, Document]:
        """Return what is kept of all of them, and how it goes.

        One that something else has written, and that has no definition of our form, has an empty one.
        """
        found = [*map(_sound, self.coll.find({"_id": {"$type": "string"}}, sort=[("_id", 1)]))]
        health = (self._health.find_one({"_id": _ALL}) or {}) if found else {}
        return {each["_id"]: {**health.get(each["_id"], {}), **each} for each in found}

    def add(self, name: str, definition: Mapping[str, Any]) -> None:
        """Keep a new subscription, from now on.

        Raises:
            SubscriptionExists: there is one of this name.
        """
        try:
            kept = {"_id": name, DEFINITION: dict(definition), "since": now(), IS_NEW: True}
            self.coll.insert_one(kept)
        except DuplicateKeyError as error:
            message = f"there is a subscription {name!r} already"
            raise SubscriptionExists(message) from error

    def begin(self, name: str, since: datetime.datetime) -> datetime.datetime:
        """Note a subscription of the settings when it is seen first; return since when it is one."""
        self.coll.update_one({"_id": name}, {"$setOnInsert": {"since": since}}, upsert=True)
        found = self.coll.find_one({"_id": name}, {"since": 1})
        moment: datetime.datetime = found["since"] if found else since
        return moment

    def begin_now(self, kept: Mapping[str, Document]) -> None:
        """Let subscriptions begin now that begin later, since the clock was set back after they were added."""
        moment = now()
        for name, document in kept.items():
            if document["since"] > moment + _AHEAD:
                query = {"_id": name, "since": document["since"]}
                self.coll.update_one(query, {"$set": {"since": moment}})
                document["since"] = moment

    def begun(self, name: str, since: datetime.datetime) -> None:
        """Note that who delivers knows of a subscription, and what it is to be told since it was added."""
        self.coll.update_one({"_id": name, "since": since}, {"$unset": {IS_NEW: ""}})

    def remove(self, name: str) -> bool:
        """Drop a subscription with all that is kept of it; tell whether there was one."""
        self.dead.delete_many({"subscriber": name})
        self._health.update_one({"_id": _ALL}, {"$unset": {name: ""}})
        return bool(self.coll.delete_one({"_id": name}).deleted_count)

    def note(self, changes: Mapping[str, Noted]) -> None:
        """Note how it goes with some subscriptions, in one document, so that many cost one write.

        Args:
            changes: by their names, counts that are added and values that are replaced.
        """
        counts = {
            f"{n}.{key}": count for n, each in changes.items() for key, count in each[0].items()
        }
        values = {
            f"{n}.{key}": value for n, each in changes.items() for key, value in each[1].items()
        }
        change = {"$inc": counts, "$set": values}
        if wanted := {operator: fields for operator, fields in change.items() if fields}:
            self._health.update_one({"_id": _ALL}, wanted, upsert=True)

    def end(self, name: str, note: str) -> None:
        """End a subscription: nothing more is told, until it is removed and added again."""
        self.coll.update_one({"_id": name}, {"$set": {"ended": now(), "note": note}})

    def retry(self, name: str) -> None:
        """Ask whoever delivers to try again at once."""
        self.coll.update_one({"_id": name}, {"$set": {"retry": now()}})

    # Dead letters

    def bury(self, letter: Mapping[str, Any]) -> None:
        """Keep that a subscriber was not told of an event, and never will be by itself.

        Args:
            letter: `subscriber`, `job_id`, `job_uuid`, `number` (of the entry), `event`, `date`,
                `reason`, `tries`.
        """
        indexes.ensure(self.dead, [IndexModel([("subscriber", 1), ("date", 1)])])
        key = f"{letter['subscriber']}:{letter['job_id']}:{letter['number']}"
        self.dead.replace_one({"_id": key}, {**letter, "_id": key, "died": now()}, upsert=True)

    def dead_letters(self, name: str | None = None, *, limit: int = 100) -> list[Document]:
        """Return dead letters, of one subscription or of all, the oldest event first."""
        query = {} if name is None else {"subscriber": name}
        return list(self.dead.find(query, sort=[("date", 1), ("_id", 1)], limit=limit))

    def count_dead(self, name: str) -> int:
        """Count the dead letters of a subscription."""
        return self.dead.count_documents({"subscriber": name})

    def revived(self, key: str) -> None:
        """Drop a dead letter, whose event was told after all."""
        self.dead.delete_one({"_id": key})
