"""Identifiers of actors, executions, workers and nonces (spec: abaco-v2, section 0)."""

from __future__ import annotations

import secrets

from hashids import Hashids

_HASHIDS = Hashids(salt="eJa5wZlEX4eWU")
_BITS = 64
_LONGEST = 32


def new() -> str:
    """Return an identifier, some 13 letters and digits.

    Abaco encodes the clock. Since the identifier of a nonce is a credential, here it is chance.
    """
    return str(_HASHIDS.encode(secrets.randbits(_BITS)))


def is_identifier(text: str) -> bool:
    """Tell whether a text is an identifier; if not, it may be an alias."""
    return len(text) <= _LONGEST and bool(_HASHIDS.decode(text))
