"""Cron schedules: a first moment and an interval (docs/reference/abaco.md#cron-schedules)."""

from __future__ import annotations

import calendar
import datetime
import re
from typing import NamedTuple

from abaco import clock

SENDER = "cron"
MESSAGE = "This is your cron execution"

_FORM = re.compile(r"\s*(now|\d{4}-\d{1,2}-\d{1,2} \d{1,2})\s*\+\s*(\d{1,6})\s+([a-z]+?)s?\s*")
_UNITS = ("hour", "day", "week", "month")
_MONTHS = 12
_CLIPPED = datetime.timedelta(days=3)
"""By which the end of a month may be before that of another one."""


class InvalidSchedule(ValueError):
    """It cannot be kept; the text says why."""


class Schedule(NamedTuple):
    """When an actor is executed.

    Attributes:
        start: the first time, a full hour in UTC.
        number: of units between times, at least 1.
        unit: `hour`, `day`, `week` or `month`.
    """

    start: datetime.datetime
    number: int
    unit: str

    def after(self, moment: datetime.datetime) -> datetime.datetime:
        """Return the time that follows a moment.

        Raises:
            OverflowError: it is beyond the calendar.
        """
        following = self.start
        if self.unit != "month":
            step = datetime.timedelta(**{f"{self.unit}s": self.number})
            if following <= moment:
                following += step * ((moment - following) // step + 1)
            return following
        count = 0
        while following <= moment:
            count += self.number
            following = _add_months(self.start, count)
        return following


def parse(text: str) -> Schedule:
    """Read a schedule such as `2026-12-01 08 + 2 weeks` or `now + 1 hour`.

    Raises:
        InvalidSchedule: it is none, or begins in the past.
    """
    found = _FORM.fullmatch(text)
    if found is None or int(found[2]) < 1:
        raise _malformed(text)
    first, number, unit = found[1], int(found[2]), found[3]
    if unit not in _UNITS:
        message = f"The cron unit {unit!r} is unknown: use one of {', '.join(_UNITS)}"
        raise InvalidSchedule(message)
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    try:
        start = hour if first == "now" else _moment(first)
        schedule = Schedule(start, number, unit)
        schedule.after(max(hour, start))
    except (ValueError, OverflowError):
        raise _malformed(text) from None
    if start < hour:
        message = f"The starting datetime is old. The current UTC time is {hour:%Y-%m-%d %H}"
        raise InvalidSchedule(message)
    return schedule


def _malformed(text: str) -> InvalidSchedule:
    return InvalidSchedule(
        f"The cron is not in the correct format: it is {text!r:.60}. Give an hour in UTC and an interval, "
        "such as 2030-01-31 08 + 2 weeks or now + 1 hour, for a second time before the year 10000"
    )


def following(text: str, planned: datetime.datetime) -> datetime.datetime:
    """Return when an actor is executed next, whose time has come.

    Args:
        text: its schedule; where it says `now`, the planned time stands for that.
        planned: the time that has come.
    """
    found = _FORM.fullmatch(text)
    first, number, unit = (found[1], int(found[2]), found[3]) if found else ("now", 1, "day")
    start = planned if first == "now" else _moment(first)
    return Schedule(start, number, unit).after(clock.now())


def not_too_late(text: str, planned: datetime.datetime) -> datetime.datetime:
    """Return when an actor is executed next: as planned, or before, if the clock was set back since.

    Args:
        text: its schedule.
        planned: the time that was planned.
    """
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    try:
        latest = following(text, hour)
    except OverflowError:
        return planned
    spare = _CLIPPED if "month" in text else datetime.timedelta()
    return latest if planned > latest + spare else planned


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, "%Y-%m-%d %H")  # noqa: DTZ007 - in UTC


def _add_months(moment: datetime.datetime, number: int) -> datetime.datetime:
    months = moment.year * _MONTHS + moment.month - 1 + number
    year, month = months // _MONTHS, months % _MONTHS + 1
    if year > datetime.MAXYEAR:
        raise OverflowError
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)
