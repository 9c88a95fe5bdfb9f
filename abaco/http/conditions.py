"""What a search asks of a record: `field=operand` or `field.operator=operand`.

What an operand can be depends on the field: a time is compared with a time, a number with a number.
One that cannot be read as what the field holds is refused, since it would fit nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import re2

from abaco import clock
from abaco.exceptions import BadRequest
from abaco.http import envelope, moments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from abaco.http.moments import Span

    Test = Callable[[Any], bool]

MOMENT = "a time, such as 2026-05 or 2026-05-01T14:44:50.123Z"
NUMBER = "a number"
FLAG = "true or false"
TEXT = "a string"
ANY = "any value"
"""What a field holds, in words for a refusal."""
_NOTHING = ("none", "null")
_BOOLEANS = {"true": True, "false": False}
_FLAGS = {**_BOOLEANS, "1": True, "0": False}
_MAX_PATTERN_LENGTH = 1000


@dataclass(frozen=True)
class Field:
    """A field of the records.

    Attributes:
        name: as the sender wrote it, for a refusal.
        holds: `MOMENT`, `NUMBER`, `FLAG`, `TEXT` or `ANY`.
    """

    name: str
    holds: str

    def refused(self, text: str) -> BadRequest:
        """Return the refusal of an operand."""
        return BadRequest(f"{self.name:.100} needs {self.holds}, not {text!r:.50}.")


@dataclass(frozen=True)
class _Operand:
    """What a value of the URL stands for.

    Attributes:
        text: as it was sent.
        value: None, a boolean, a number, an object or list of JSON, or the text.
        span: the moments, if it can be a time.
    """

    text: str
    value: Any
    span: Span | None = None

    def equals(self, value: Any) -> bool:
        """Tell whether a value is meant."""
        if self.span is not None and _moment(value) in self.span:
            return True
        return value in (self.value, self.text)

    def beside(self, value: Any) -> tuple[Any, Any]:
        """Return a value and what it is compared with; of a short time, that is its first moment."""
        moment = None if self.span is None else _moment(value)
        if self.span is not None and moment is not None:
            return moment, self.span.first
        return value, self.value


def make(name: str, text: str, fields: Mapping[str, str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return the test of a record by one parameter of the URL.

    Args:
        name: a field, with a dot and an operator behind it if that is not `eq`. Dots in a field lead
            into objects.
        text: the operand.
        fields: what the fields hold, by their names in snake case, dots included. What is within
            one of them and not named may be anything; all else is not looked into.

    Raises:
        BadRequest: the operand cannot be read.
    """
    path, dot, operator_name = name.rpartition(".")
    if not dot or operator_name not in _OPERATORS:
        path, operator_name = name, "eq"
    first, *rest = path.split(".")
    column = envelope.snake(first)
    field = Field(path, fields.get(".".join((column, *rest)), ANY))
    fits = _OPERATORS[operator_name](field, text)

    def test(record: Mapping[str, Any]) -> bool:
        value = record.get(column) if column in fields else None
        for part in rest:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, datetime.datetime):
            # as it is shown
            value = value.replace(microsecond=value.microsecond // 1000 * 1000)
        return fits(value)

    return test


def _moment(value: Any) -> datetime.datetime | None:
    """Return the moment that a value of a record is, also one in a string."""
    if isinstance(value, datetime.datetime):
        return value
    span = moments.read(value) if isinstance(value, str) else None
    return span.first if span is not None and span.whole else None


def _operand(field: Field, text: str) -> _Operand:
    lower = text.lower()
    if lower in _NOTHING:
        return _Operand(text, None)
    if field.holds == TEXT:
        return _Operand(text, text)
    if field.holds == MOMENT:
        span = moments.read(text)
        if span is None:
            raise field.refused(text)
        return _Operand(text, text, span)
    if field.holds == FLAG:
        if lower not in _FLAGS:
            raise field.refused(text)
        return _Operand(text, _FLAGS[lower])
    number = _number(text)
    if field.holds == NUMBER:
        if number is None:
            raise field.refused(text)
        return _Operand(text, number)
    if lower in _BOOLEANS:
        return _Operand(text, _BOOLEANS[lower])
    value = _json(text) if number is None else number
    return _Operand(text, value, moments.read(text))


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        number = float(text)
        return number if math.isfinite(number) else None
    return None


def _json(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _element(field: Field, element: Any) -> _Operand:
    """Return what an element of a list stands for."""
    if field.holds == ANY:
        text = element if isinstance(element, str) else ""
        return _Operand(text, element, moments.read(text))
    return _operand(field, element if isinstance(element, str) else json.dumps(element))


def _compared(field: Field, text: str) -> _Operand:
    """Return an operand of which values may be before or behind."""
    operand = _operand(field, text)
    if operand.value is None and field.holds != TEXT:
        raise field.refused(text)
    return operand if operand.value is not None else _Operand(text, text)


def _equals(field: Field, text: str) -> Test:
    return _operand(field, text).equals


def _negated(make: Callable[[Field, str], Test]) -> Callable[[Field, str], Test]:
    def negated(field: Field, text: str) -> Test:
        test = make(field, text)
        return lambda value: not test(value)

    return negated


def _compares(compare: Callable[[Any, Any], bool]) -> Callable[[Field, str], Test]:
    def make(field: Field, text: str) -> Test:
        operand = _compared(field, text)

        def test(value: Any) -> bool:
            with contextlib.suppress(TypeError):
                return bool(compare(*operand.beside(value)))
            return False

        return test

    return make


def _is_in(field: Field, text: str) -> Test:
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, list):
        message = f"in and nin need a JSON list, not {text!r:.50}."
        raise BadRequest(message)
    operands = [_element(field, each) for each in wanted]
    return lambda value: any(operand.equals(value) for operand in operands)


def _is_between(field: Field, text: str) -> Test:
    low, comma, high = text.partition(",")
    if not comma:
        message = f"between needs two values with a comma, not {text!r:.50}."
        raise BadRequest(message)
    above, below = _OPERATORS["gte"](field, low), _OPERATORS["lte"](field, high)
    return lambda value: above(value) and below(value)


def _is_like(_field: Field, text: str) -> Test:
    # a pattern comes from outside: RE2 takes linear time, whatever it is
    options = re2.Options()
    options.log_errors = False
    if len(text) > _MAX_PATTERN_LENGTH:
        message = f"A regular expression has at most {_MAX_PATTERN_LENGTH} characters."
        raise BadRequest(message)
    try:
        pattern = re2.compile(text, options)
    except re2.error:
        message = f"like and nlike need a regular expression, not {text!r:.50}."
        raise BadRequest(message) from None

    def test(value: Any) -> bool:
        shown = clock.iso(value) if isinstance(value, datetime.datetime) else str(value)
        # RE2 takes no half of a pair of characters (a lone surrogate)
        shown = shown.encode(errors="replace").decode()
        return value is not None and pattern.search(shown) is not None

    return test


_OPERATORS: dict[str, Callable[[Field, str], Test]] = {
    "eq": _equals,
    "neq": _negated(_equals),
    "lt": _compares(operator.lt),
    "lte": _compares(operator.le),
    "gt": _compares(operator.gt),
    "gte": _compares(operator.ge),
    "in": _is_in,
    "nin": _negated(_is_in),
    "between": _is_between,
    "like": _is_like,
    "nlike": _negated(_is_like),
}
