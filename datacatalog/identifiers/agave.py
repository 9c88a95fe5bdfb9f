"""Agave ids: the UUIDs that the Agave platform gives to its jobs."""

from __future__ import annotations

import re

_JOB_ID = re.compile(r"[0-9]+-[0-9a-f]+-[0-9]{4}-007|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-007")


def validate(text_value: str, *, permissive: bool = False) -> bool:
    """Tell whether a text is the id of an Agave or Aloe job (the suffix 007 is the type job).

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    if _JOB_ID.fullmatch(text_value):
        return True
    if permissive:
        return False
    message = f"{text_value} is not the id of an Agave job"
    raise ValueError(message)
