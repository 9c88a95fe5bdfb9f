"""Who is told: what they want to know, and how it reaches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from datacatalog import mongo
from manager.subscriptions.posting import Answer, DeliveryFailed, Unformattable

if TYPE_CHECKING:
    import datetime

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob


class News(NamedTuple):
    """An entry of a job's history that somebody is told."""

    job: StoredJob
    """what has to be known of the job"""
    number: int
    """of the entry, in the history"""
    entry: Entry
    before: Entry | None
    """the entry before it"""


class Subscriber(Protocol):
    """One who is told."""

    name: str
    since: datetime.datetime
    """what came earlier is not told"""

    def wants(self, news: News) -> bool:
        """Tell whether this is told."""

    def tell(self, news: News, seconds: float) -> None:
        """Tell it.

        Args:
            news: what.
            seconds: that it may take.

        Raises:
            DeliveryFailed: it was not told.
        """

    def test(self) -> Answer:
        """Send something that says that it is a test; return the answer.

        Raises:
            DeliveryFailed: it was not answered well.
        """

    def close(self) -> None:
        """Close the connection."""


def tell(subscriber: Subscriber, news: News, seconds: float) -> None:
    """Have a subscriber told, whatever others have written into the database.

    Raises:
        DeliveryFailed: it was not told; Unformattable: there is no way to say it.
        PyMongoError: the database failed.
    """
    try:
        subscriber.tell(news, seconds)
    except (DeliveryFailed, mongo.DatabaseError):
        raise
    except Exception as error:
        reason = f"it cannot be formatted: unexpected {type(error).__name__}"
        raise Unformattable(reason) from error


def state_of(news: News) -> str:
    """Return the state of the job after an entry."""
    return str(news.entry.get("_state") or news.job.get("state"))


def moment_of(entry: Entry) -> datetime.datetime | None:
    """Return when an event came."""
    date: Any = entry.get("date")
    return date if hasattr(date, "tzinfo") else None
