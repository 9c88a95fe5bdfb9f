"""Agave ids: the UUIDs that the Agave platform gives to its jobs, and the ids of its apps."""

from __future__ import annotations

import re

JOB_ID = re.compile(r"[0-9]+-[0-9a-f]+-[0-9]{4}-007|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-007")

# Name, version and, where it is public, revision: `bbq-brisket-0.5.0`, `fastqc-0.11.7u1`
APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*-[0-9]+(\.[0-9]+)*(u[0-9]+)?")


def is_app(text_value: str) -> bool:
    """Tell whether a string has the form of an Agave app's id."""
    return APP_ID.fullmatch(text_value) is not None


def validate(text_value: str, *, permissive: bool = False) -> bool:
    """Tell whether a string is the id of an Agave or Aloe job (the suffix 007 is the type job).

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    if JOB_ID.fullmatch(text_value):
        return True
    if permissive:
        return False
    message = f"{text_value} is not the id of an Agave job"
    raise ValueError(message)
