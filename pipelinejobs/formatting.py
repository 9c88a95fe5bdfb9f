"""Values as the terminal and the page show them: moments, durations, JSON, cells of CSV."""

from __future__ import annotations

import datetime
import json
from typing import Any

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_SHORT = 13
_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""DEL and the C1 controls, which JSON lets stand as they are."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What begins with these is a formula to a spreadsheet."""


def short(uuid: object) -> str:
    """Return the beginning of a UUID, which is enough to name one among 100,000 jobs."""
    return str(uuid)[:_SHORT]


def ago(moment: object) -> str:
    """Return how long ago a moment was, such as `12 min ago`."""
    if not isinstance(moment, datetime.datetime):
        return shown(moment)
    seconds = (datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()
    largest = (f"{int(seconds // size)} {unit} ago" for size, unit in _UNITS if seconds >= size)
    return next(largest, "now")


def shown(value: Any) -> str:
    """Return a value as people read it."""
    if value is None or value == []:
        return ""
    if isinstance(value, datetime.datetime):
        return f"{value.astimezone(datetime.timezone.utc):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return as_json(value)
    return str(value)


def duration(seconds: float) -> str:
    """Return a time in its two largest units, such as `2 h 5 min`."""
    left = round(seconds)
    if left < 1:
        return "under 1 s"
    parts = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def plain(value: Any) -> str:
    """Return what JSON has no form for as a string; moments in ISO 8601."""
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.timezone.utc)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def as_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON in which no character commands a terminal."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=plain).translate(_ESCAPED)


def csv_cell(value: Any) -> str:
    """Return a value as CSV has it: no spreadsheet takes text for a formula."""
    text = plain(value) if isinstance(value, datetime.datetime) else shown(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def printable(text: str) -> str:
    """Return a string without what would move the cursor or colour a terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
