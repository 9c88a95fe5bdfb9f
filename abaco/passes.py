"""Passes: what a part of this process shows to the API in the name of an access token.

Of a token only the hash is kept, so whoever knows its record alone cannot show the token itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

SECONDS = 300
_PREFIX = "pass"


class Passes:
    """Makes and checks passes; those of another process are worth nothing."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, token_id: str) -> str:
        """Return a pass, which stands for an access token for `SECONDS`.

        Args:
            token_id: the id of the token.
        """
        said = f"{_PREFIX}.{token_id}.{int(time.time()) + SECONDS}"
        return f"{said}.{self._seal(said)}"

    def token_id(self, shown: str) -> str | None:
        """Return the id of the token that a pass stands for; None where it is not a good pass."""
        if not shown.startswith(f"{_PREFIX}."):
            return None
        said, _, seal = shown.rpartition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(said).encode()):
            return None
        _, token_id, expires = said.split(".")
        return token_id if int(expires) > time.time() else None

    def _seal(self, said: str) -> str:
        return hashlib.blake2b(said.encode(), key=self._key, digest_size=32).hexdigest()
