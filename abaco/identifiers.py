"""Identifiers of actors, executions, workers and nonces (docs/reference/abaco.md#conventions)."""

from __future__ import annotations

import functools
import re
import secrets

from hashids import Hashids

_HASHIDS = Hashids(salt="eJa5wZlEX4eWU")
_BITS = 64
_MAX_LENGTH = 32
_URN = re.compile("(uri:)?(urn:)?(uuid:)?")


def new() -> str:
    """Return an identifier, some 13 letters and digits.

    Abaco encodes the clock. Since the identifier of a nonce is a credential, here it is chance.
    """
    return str(_HASHIDS.encode(secrets.randbits(_BITS)))


@functools.lru_cache(maxsize=4096)
def is_identifier(text: str) -> bool:
    """Tell whether a string is an identifier; if not, it may be an alias."""
    return len(text) <= _MAX_LENGTH and bool(_HASHIDS.decode(text))


def spelled(text: str) -> str:
    """Return a string as one that names the same: in lower case, a UUID without the prefix of a URN."""
    return _URN.sub("", text.strip().lower(), count=1)
