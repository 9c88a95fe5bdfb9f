"""Hashids (hashids.org): short strings that stand for integers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=2)
def _hashids(salt: str) -> Any:
    from hashids import Hashids  # noqa: PLC0415 - an event does without this import

    return Hashids(salt=salt)


def encode(number: int, salt: str) -> str:
    """Return the text of a number."""
    return str(_hashids(salt).encode(number))


def decode(text: str, salt: str) -> tuple[int, ...]:
    """Return the numbers of a string; none if it was not made with this salt."""
    numbers: tuple[int, ...] = _hashids(salt).decode(text)
    return numbers
