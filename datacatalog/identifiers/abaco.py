"""Abaco ids: hashids of the upper 64 bits of a version 1 UUID (spec: abaco-v2, section 0)."""

from __future__ import annotations

import uuid
from functools import lru_cache

HASHIDS_SALT = "eJa5wZlEX4eWU"


@lru_cache(maxsize=1)
def _hashids() -> object:
    from hashids import Hashids  # noqa: PLC0415 - an event does without this import

    return Hashids(salt=HASHIDS_SALT)


def generate() -> str:
    """Return a new id, as Abaco gives to actors, executions and workers."""
    return str(_hashids().encode(uuid.uuid1().int >> 64))  # type: ignore[attr-defined]


def validate(text_value: str, *, permissive: bool = False) -> bool:
    """Tell whether a text is an Abaco id.

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    if _hashids().decode(text_value):  # type: ignore[attr-defined]
        return True
    if permissive:
        return False
    message = f"{text_value} is not an Abaco id"
    raise ValueError(message)
