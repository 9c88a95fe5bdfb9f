"""How the database is: its version, clock and permissions, and whether the indexes are there."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import OperationFailure

from datacatalog import mongo
from datacatalog.linkedstores.basestore import indexes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datacatalog.linkedstores.basestore import LinkedStore

_NO_DOCUMENT = {"_id": "of no document"}
_NO_CHANGE = (_NO_DOCUMENT, {"$set": {"nothing": True}})
_UNAUTHORIZED = 13


class Condition(NamedTuple):
    """What was found out about a database."""

    database: str
    version: str
    seconds: float
    """that it took to answer"""
    clock: datetime.datetime | None
    """what time it has; None if it does not tell"""
    refused: list[str]
    """what its user may not do"""

    @property
    def version_info(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(int(part) for part in self.version.split(".") if part.isdecimal())


def examine(mongodb: Mapping[str, Any]) -> Condition:
    """Find out about the database that the settings name; nothing is changed."""
    db = mongo.connect(mongodb)
    client = db.client
    client.admin.command("ping")
    began = time.perf_counter()
    hello = client.admin.command("hello")
    seconds = time.perf_counter() - began
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: db["jobs"].find_one(_NO_DOCUMENT),
        "write": lambda: db["jobs"].update_one(*_NO_CHANGE),
    }
    refused = [name for name, attempt in attempts.items() if not _is_allowed(attempt)]
    return Condition(
        db.name,
        str(client.server_info()["version"]),
        seconds,
        _aware(hello.get("localTime")),
        refused,
    )


def check_writable(mongodb: Mapping[str, Any], seconds: float) -> None:
    """Show that the database takes writes; nothing is changed.

    Args:
        mongodb: the settings that name it.
        seconds: that it may take.

    Raises:
        DatabaseError: it does not, or not in time.
    """
    with mongo.within(seconds):
        mongo.connect(mongodb)["jobs"].update_one(*_NO_CHANGE)


def missing_indexes(*stores: LinkedStore[Any]) -> list[str]:
    """Return the indexes that stores should have and do not, by their collections and fields."""
    return [
        f"{store.collection}.{fields}"
        for store in stores
        for fields in indexes.missing(store.coll, store.wanted_indexes())
    ]


def superfluous_indexes(*stores: LinkedStore[Any]) -> list[str]:
    """Return the indexes that a former version made and no question uses, which cost every change."""
    return [
        f"{store.collection}.{name}"
        for store in stores
        for name in indexes.superfluous(store.coll, store.wanted_indexes(), store.former_indexes)
    ]


def _is_allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OperationFailure as error:
        if error.code == _UNAUTHORIZED:
            return False
        raise
    return True


def _aware(moment: Any) -> datetime.datetime | None:
    if not isinstance(moment, datetime.datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
