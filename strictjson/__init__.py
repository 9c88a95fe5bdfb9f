"""JSON from outside that says one thing, within bounds: no key twice, no NaN, no endless number, no deep nest.

Python's parser takes the last of two keys, reads `NaN` and `1e999`, and spends seconds on a number of
many digits. Another parser may read something else.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

MARK = "\ufeff"
"""A byte order mark, as it is read."""
_MAX_DIGITS = 400


class ReadingError(ValueError):
    """A JSON text says two things at once, or more than anybody should read; the message calls it "it"."""


def loads(text: str | bytes, *, max_depth: int) -> Any:
    """Return the value of a JSON text, in UTF-8 if it is bytes.

    Args:
        text: without a byte order mark.
        max_depth: how many arrays and objects may be nested.

    Raises:
        ReadingError: it is nested deeper, has a number beyond all bounds or a value that JSON does not
            have, or the same key twice in one object.
        json.JSONDecodeError: it is not valid JSON.
        UnicodeDecodeError: it is not UTF-8.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ReadingError(_too_deep(max_depth)) from None
    # to count characters is faster than to walk
    if text.count("[") + text.count("{") > max_depth:
        _check_depth(value, max_depth)
    return value


def place_of(error: json.JSONDecodeError) -> str:
    """Return what is wrong with a JSON text, where, and what to do about a frequent mistake."""
    where = f"{error.msg} at line {error.lineno} column {error.colno}"
    if error.pos >= len(error.doc):
        return f"{where}, where it ends"
    character = error.doc[error.pos]
    where = f"{where}, where {character!r} is"
    if character == "\\" and error.doc[error.pos + 1 : error.pos + 2] in ("\n", "\r"):
        where += (
            ". Within quotes a shell keeps a backslash at the end of a line: "
            "leave such backslashes out of the JSON"
        )
    return where


def locate(text: str) -> str:
    """Return why and where a string is not valid JSON; empty if it is, or is too deep to tell."""
    try:
        json.loads(text.removeprefix(MARK))
    except json.JSONDecodeError as error:
        return place_of(error)
    except (RecursionError, ValueError):
        pass
    return ""


def _check_depth(value: Any, most: int) -> None:
    # as it was parsed just now, everything is of one of few types
    level = [value]
    for _ in range(most + 1):
        containers = [node for node in level if type(node) is dict or type(node) is list]
        if not containers:
            return
        level = []
        for node in containers:
            level.extend(node.values() if type(node) is dict else node)
    raise ReadingError(_too_deep(most))


def _too_deep(most: int) -> str:
    return f"it is nested more than {most} levels deep"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        message = f"it has the key {twice!r:.60} twice in one object"
        raise ReadingError(message)
    return value


def _constant(name: str) -> Any:
    message = f"it has the value {name}, which JSON does not have"
    raise ReadingError(message)


def _float(digits: str) -> float:
    _check_digits(digits)
    return _finite(digits)


def _int(digits: str) -> int:
    _check_digits(digits)
    _finite(digits)
    return int(digits)


def _check_digits(digits: str) -> None:
    if len(digits) > _MAX_DIGITS:
        message = f"it has a number of {len(digits):,} digits"
        raise ReadingError(message)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        message = f"it has the number {digits:.20}, which is too large"
        raise ReadingError(message)
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_constant,
    parse_float=_float,
    parse_int=_int,
)
"""`json.loads` would make one for each text, which takes as long as to read a message."""
