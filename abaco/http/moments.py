"""Times as people give them to a search: moments of ISO 8601, or the beginning of one."""

from __future__ import annotations

import calendar
import datetime
import re
from typing import NamedTuple

_FORM = re.compile(
    r"(?P<year>[0-9]{4})"
    r"(?:-(?P<month>[0-9]{2})"
    r"(?:-(?P<day>[0-9]{2})"
    r"(?:[T ](?:(?P<hour>[0-9]{2})"
    r"(?::(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?)?)?)?)?"
    # in a URL, a plus that was not escaped is a blank
    r"(?P<zone>Z|(?P<sign>[+ -])(?P<hours>[0-9]{2}):?(?P<minutes>[0-9]{2}))?",
    re.IGNORECASE,
)
_UNITS = ("day", "hour", "minute", "second")
_DIGITS = 6
"""Of a fraction of a second; what follows is left out."""
_MINUTE = 60


class Span(NamedTuple):
    """The moments that begin with what was given, in UTC without a zone.

    Attributes:
        first: the earliest of them.
        end: the moment after the last one.
        whole: whether a time of day was given, and not just a date.
    """

    first: datetime.datetime
    end: datetime.datetime
    whole: bool

    def __contains__(self, moment: object) -> bool:
        """Tell whether a moment begins so."""
        return isinstance(moment, datetime.datetime) and self.first <= moment < self.end


def read(text: str) -> Span | None:
    """Return what `2026`, `2026-05`, `2026-05-01T` or `2026-05-01T14:44:50.12+02:00` stands for.

    Without an offset, a time is in UTC. What is not a time gives None.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    year, month, day = (int(found[name] or 1) for name in ("year", "month", "day"))
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    fraction = (found["fraction"] or "")[:_DIGITS]
    try:
        offset = _offset(found)
        first = datetime.datetime(  # noqa: DTZ001 - in UTC
            year, month, day, hour, minute, second, int(fraction.ljust(_DIGITS, "0"))
        )
    except ValueError:
        return None
    step = _step(first, found, fraction)
    return Span(_add(first, -offset), _add(_add(first, step), -offset), bool(found["hour"]))


def _offset(found: re.Match[str]) -> datetime.timedelta:
    if found["sign"] is None:
        return datetime.timedelta()
    minutes = int(found["minutes"])
    if minutes >= _MINUTE:
        raise ValueError
    offset = datetime.timedelta(hours=int(found["hours"]), minutes=minutes)
    return -offset if found["sign"] == "-" else offset


def _step(first: datetime.datetime, found: re.Match[str], fraction: str) -> datetime.timedelta:
    """Return how long that lasts whose beginning was given."""
    if fraction:
        return datetime.timedelta(microseconds=10 ** (_DIGITS - len(fraction)))
    if found["month"] is None:
        return datetime.timedelta(days=366 if calendar.isleap(first.year) else 365)
    if found["day"] is None:
        return datetime.timedelta(days=calendar.monthrange(first.year, first.month)[1])
    unit = [name for name in _UNITS if found[name] is not None][-1]
    return datetime.timedelta(**{f"{unit}s": 1})


def _add(moment: datetime.datetime, step: datetime.timedelta) -> datetime.datetime:
    """Return another moment; beyond the calendar, its last or first one."""
    try:
        return moment + step
    except OverflowError:
        last, first = datetime.datetime.max, datetime.datetime.min  # noqa: DTZ901 - in UTC
        return last if step > datetime.timedelta() else first
