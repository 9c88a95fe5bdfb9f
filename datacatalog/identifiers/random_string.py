"""Random strings, which nobody guesses."""

from __future__ import annotations

import secrets
import string

_LETTERS = string.ascii_lowercase + string.digits


def generate(length: int = 32) -> str:
    """Return random lower-case letters and digits, of a given length."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
