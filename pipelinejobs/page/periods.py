"""Which time the overview is about, as its address says it."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.statistics.reader import Period
from pipelinejobs import parsing
from pipelinejobs.exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

LENGTHS = {
    "hour": datetime.timedelta(hours=1),
    "day": datetime.timedelta(days=1),
    "week": datetime.timedelta(days=7),
    "month": datetime.timedelta(days=30),
}
CUSTOM = "custom"
USUAL = "day"
_LONGEST = datetime.timedelta(days=366)


def chosen(query: Mapping[str, str]) -> str:
    """Return the name of the period in an address."""
    if query.get("from") or query.get("to"):
        return CUSTOM
    name = query.get("period") or USUAL
    return name if name in (*LENGTHS, CUSTOM) else USUAL


def read(query: Mapping[str, str]) -> Period:
    """Return the period in an address.

    Raises:
        UsageError: it is not one, or longer than a year.
    """
    end = now()
    since, until = moment(query.get("from")), moment(query.get("to"))
    if since is None and until is None:
        return Period.of(end - LENGTHS.get(chosen(query), LENGTHS[USUAL]), end)
    # what is later has not happened
    until = min(until or end, end + LENGTHS[USUAL])
    since = since or until - LENGTHS[USUAL]
    if not datetime.timedelta() < until - since <= _LONGEST:
        end_of_it = "To" if query.get("to") else "now"
        message = f"From must be before {end_of_it}, and at most {_LONGEST.days} days before it"
        raise UsageError(message)
    return Period.of(since, until)


def moment(text: str | None) -> datetime.datetime | None:
    """Return the moment that a field for a date and time holds, in UTC; None where it is empty.

    Raises:
        UsageError: it is not one.
    """
    return parsing.date(text) if text else None


def plain(date: datetime.datetime) -> str:
    """Return a moment as such a field holds it."""
    return f"{date:%Y-%m-%dT%H:%M}"
