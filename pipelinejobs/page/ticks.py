"""Round times on an axis of time: at which moments it is marked, and what stands there."""

from __future__ import annotations

import datetime
from typing import NamedTuple

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * number for number in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * number for number in (1, 2, 3, 6, 12)),
    *(_DAY * number for number in (1, 2, 7, 14, 28, 56, 112)),
)
"""Seconds between two marks; each but the weeks ends with the day."""
_MOST = 7
"""Marks on an axis, at most."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Tick(NamedTuple):
    """A mark of an axis."""

    date: datetime.datetime
    text: str


class Ticks(NamedTuple):
    """The marks of an axis, and the seconds between them, from which a script makes those of another zone."""

    step: int
    marks: list[Tick]


def between(begin: datetime.datetime, end: datetime.datetime) -> Ticks:
    """Return the round times, in UTC, between the left and the right edge of an axis."""
    length = (end - begin).total_seconds()
    step = next((step for step in _STEPS if length < step * _MOST), _STEPS[-1])
    first = -(-int((begin - _EPOCH).total_seconds() * 1000) // (step * 1000)) * step
    last = int((end - _EPOCH).total_seconds())
    dates = [_EPOCH + datetime.timedelta(seconds=at) for at in range(first, last + 1, step)]
    return Ticks(step, [Tick(date, _text(date, step)) for date in dates])


def _text(date: datetime.datetime, step: int) -> str:
    """Return what stands at a mark: the day where one begins, else the time."""
    if not date.hour and not date.minute and not date.second:
        return f"{date:%d %b}"
    return f"{date:%H:%M}" if step >= _MINUTE else f"{date:%H:%M:%S}"
