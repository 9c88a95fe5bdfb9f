"""Abaco ids: hashids, which cannot be taken for an alias (docs/reference/abaco.md#conventions)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_SALT = "eJa5wZlEX4eWU"
_MAX_LENGTH = 32


def is_abacoid(text: str) -> bool:
    """Tell whether a string is an id that Abaco gave; if not, it may be an alias."""
    return len(text) <= _MAX_LENGTH and bool(_hashids().decode(text))


@lru_cache(maxsize=1)
def _hashids() -> Any:
    from hashids import Hashids  # noqa: PLC0415 - most executions do without

    return Hashids(salt=_SALT)
