"""What both kinds of token are made of, and how they are compared."""

from __future__ import annotations

import hashlib
import hmac

TOKEN_LENGTH = 16


def digest(*parts: object) -> str:
    """Return the token of some parts: the head of the SHA-256 of their strings joined by colons."""
    text = ":".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:TOKEN_LENGTH]


def same(given: object, expected: str) -> bool:
    """Compare a token in a time that does not depend on where the two differ."""
    text = given if isinstance(given, str) else ""
    return hmac.compare_digest(text.encode(errors="replace"), expected.encode())
