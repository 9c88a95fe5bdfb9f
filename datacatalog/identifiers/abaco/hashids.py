"""Abaco ids: hashids of the upper 64 bits of a version 1 UUID."""

from __future__ import annotations

import uuid

from datacatalog.identifiers import hashid

HASHIDS_SALT = "eJa5wZlEX4eWU"


def generate() -> str:
    """Return a new id, as Abaco gives to actors, executions and workers."""
    return hashid.encode(uuid.uuid1().int >> 64, HASHIDS_SALT)


def mock() -> str:
    """Return an id for tests, of the form that Abaco's have."""
    return generate()


def validate(text_value: str, *, permissive: bool = False) -> bool:
    """Tell whether a string is an Abaco id.

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    if hashid.decode(text_value, HASHIDS_SALT):
        return True
    if permissive:
        return False
    message = f"{text_value} is not an Abaco id"
    raise ValueError(message)
