"""Identifiers of actors, executions, workers and nonces (docs/reference/abaco.md#conventions)."""

from __future__ import annotations

import functools
import re
import secrets

from hashids import Hashids

_HASHIDS = Hashids(salt="eJa5wZlEX4eWU")
_BASE, _CYCLE = 44, 100
"""Of Hashids: how many digits there are, and after how many numbers the alphabets of digits come again."""
_EVERY_DIGIT = sum(digit * _BASE ** (digit + 2) for digit in range(_BASE))
"""A number with all digits, the largest first, and two zeros."""
_BITS = 64
_MAX_LENGTH = 32
_URN = re.compile("(uri:)?(urn:)?(uuid:)?")


def new() -> str:
    """Return an identifier, some 13 letters and digits.

    Abaco encodes the clock. Since the identifier of a nonce is a credential, here it is chance.
    """
    return encoded(secrets.randbits(_BITS))


def encoded(number: int) -> str:
    """Return a number as Hashids writes it, in a quarter of the time."""
    first, digits = _alphabet(number % _CYCLE)
    number, digit = divmod(number, _BASE)
    written = digits[digit]
    while number:
        number, digit = divmod(number, _BASE)
        written = digits[digit] + written
    return first + written


@functools.lru_cache(maxsize=_CYCLE)
def _alphabet(rest: int) -> tuple[str, str]:
    """Return the letter before the digits of numbers with a remainder, and these digits."""
    written = str(_HASHIDS.encode(_EVERY_DIGIT + (rest - _EVERY_DIGIT) % _CYCLE))
    return written[0], written[_BASE:0:-1]


@functools.lru_cache(maxsize=4096)
def is_identifier(text: str) -> bool:
    """Tell whether a string is an identifier; if not, it may be an alias."""
    return len(text) <= _MAX_LENGTH and bool(_HASHIDS.decode(text))


def spelled(text: str) -> str:
    """Return a string as one that names the same: in lower case, a UUID without the prefix of a URN."""
    return _URN.sub("", text.strip().lower(), count=1)
