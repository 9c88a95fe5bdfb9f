"""JSON values as they are stored: what is accepted, and how keys are written.

MongoDB and its drivers give a meaning to keys that begin with `$` (a stored `{"$ref": ...}` comes
back as something else) and BSON cannot hold NUL in a key. Such keys are percent-encoded (RFC 3986,
section 2.1) on the way in and decoded on the way out; so is the percent sign. Dots stay.
"""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

MAX_DEPTH = 64
MAX_DATA_BYTES = 1024 * 1024
_INT64 = 2**63


# Where a value stands: the place that it is in, and the last step to it; joined only for an error
Place = tuple[Any, str]


class DocumentError(ValueError):
    """The value cannot be stored faithfully; the message says where and why."""


class TooLargeError(DocumentError):
    """The value would be stored faithfully if it were smaller."""


def check(value: Any, name: str = "data", most_bytes: int = MAX_DATA_BYTES) -> str:
    """Return the canonical JSON text (keys sorted, no blanks) of a value that can be stored.

    Args:
        value: anything that `json.loads` gives; a tuple counts as an array, as it does in JSON.
        name: what the value is called in the error.
        most_bytes: how long the text may be, in UTF-8.

    Raises:
        TooLargeError: it is too large.
        DocumentError: it is nested too deeply, or no JSON that BSON can hold.
    """
    _check(value, (None, name), 0)
    text = canonical(value)
    size = len(text.encode())
    if size > most_bytes:
        message = f"'{name}' has {size:,} bytes, at most {most_bytes:,} are kept: send a reference to the content instead"
        raise TooLargeError(message)
    return text


def canonical(value: Any) -> str:
    """Return a JSON text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check(value: Any, place: Place, depth: int) -> None:
    if depth > MAX_DEPTH:
        message = f"'{_head(place)}' is nested more than {MAX_DEPTH} levels deep"
        raise DocumentError(message)
    if isinstance(value, dict):
        for key, member in value.items():
            _check_key(key, place)
            _check(member, (place, f".{key}"), depth + 1)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            _check(member, (place, f"[{index}]"), depth + 1)
    elif isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, int | float):
        _check_number(value, place)
    elif value is not None:
        message = f"'{_head(place)}' is a {type(value).__name__}, which JSON does not have"
        raise DocumentError(message)


def _check_key(key: Any, place: Place) -> None:
    if not isinstance(key, str):
        message = f"'{_head(place)}' has the key {key!r:.60}, and only strings can be keys"
        raise DocumentError(message)
    _check_text(key, place)


def _check_number(value: float, place: Place) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        message = f"'{_head(place)}' is {value}, which JSON cannot say"
        raise DocumentError(message)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        message = f"'{_head(place)}' is a number beyond 64 bits: send it as text"
        raise DocumentError(message)


def _check_text(text: str, place: Place) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        message = f"'{_head(place)}' has a lone surrogate, which is not a character"
        raise DocumentError(message) from None


def _head(place: Place) -> str:
    parts = []
    step: Place | None = place
    while step is not None:
        step, part = step
        parts.append(part)
    text, limit = "".join(reversed(parts)), 80
    shown = text if len(text) <= limit else text[:limit] + "…"
    return shown.encode(errors="replace").decode()


def with_texts(value: Any, depth: int = 0) -> Any:
    """Return a value with its dates and times as ISO 8601 strings, as deep as `check` allows."""
    if isinstance(value, dict) and depth <= MAX_DEPTH:
        return {key: with_texts(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple) and depth <= MAX_DEPTH:
        return [with_texts(member, depth + 1) for member in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def encode(value: Any) -> Any:
    """Return a value with its keys as they are stored."""
    if isinstance(value, dict):
        return {_encode_key(key): encode(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [encode(member) for member in value]
    return value


def decode(value: Any) -> Any:
    """Return a stored value with its keys as they were given."""
    if isinstance(value, dict):
        return {_decode_key(key): decode(member) for key, member in value.items()}
    if isinstance(value, list):
        return [decode(member) for member in value]
    return value


def _encode_key(key: str) -> str:
    key = key.replace("%", "%25").replace("\0", "%00")
    return "%24" + key[1:] if key.startswith("$") else key


def _decode_key(key: str) -> str:
    if "%" not in key:
        return key
    if key.startswith("%24"):
        key = "$" + key[3:]
    return key.replace("%00", "\0").replace("%25", "%")


def value_at(value: object, *names: str) -> object:
    """Return the value at a path in a document, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
