"""Time, as the Actors SDK counts it."""

from __future__ import annotations

import datetime
import time


def microseconds() -> int:
    """Return the time since 1970 in microseconds."""
    return time.time_ns() // 1000


def utcnow() -> str:
    """Return the present UTC time as ISO 8601 with milliseconds and `Z`."""
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
