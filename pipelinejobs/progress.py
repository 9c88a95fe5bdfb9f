"""How far the work of a job is, as far as its events say so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_PERCENT = ("percent", "percentage")
_SHARE = "progress"
_STEPS = (("step", "steps"), ("current", "total"))
_ALL = 100


def of(newest_first: Iterable[Any]) -> int | None:
    """Return the percentage that the newest event with one has in its data; None where none has.

    `progress` is a share up to 1, else a percentage; `percent` is one, and `step` of `steps` makes one.

    Args:
        newest_first: the data of events.
    """
    for data in newest_first:
        if isinstance(data, dict):
            found = _percentage(data)
            if found is not None and math.isfinite(found):
                return round(min(max(found, 0), _ALL))
    return None


def _percentage(data: dict[str, Any]) -> float | None:
    for name in _PERCENT:
        if (value := _number(data.get(name))) is not None:
            return value
    if (share := _number(data.get(_SHARE))) is not None:
        return share * _ALL if share <= 1 else share
    for name, total in _STEPS:
        part, whole = _number(data.get(name)), _number(data.get(total))
        if part is not None and whole:
            return part / whole * _ALL
    return None


def _number(value: object) -> float | None:
    """Return a number, also one that a string holds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
