"""The access tokens of executions: they live as long as those, in memory only."""

from __future__ import annotations

import datetime
import hashlib
import secrets
from typing import TYPE_CHECKING

from abaco import clock, roles

if TYPE_CHECKING:
    from abaco.store.rows import Identity

_BYTES = 24


class Grants:
    """Who acts with the token of an execution."""

    def __init__(self) -> None:
        self._grants: dict[bytes, Identity] = {}

    def create(self, tenant: str, user: str, seconds: float) -> str:
        """Make a token with which an execution acts as a user."""
        token = secrets.token_hex(_BYTES)
        expires = clock.now() + datetime.timedelta(seconds=seconds)
        record: Identity = {
            "tenant": tenant,
            "user": user,
            "roles": [roles.EVERYONE],
            "expires": expires,
        }
        self._grants[_hash(token)] = record
        return token

    def find(self, token: str) -> Identity | None:
        """Return the tenant, user, roles and end of a token."""
        return self._grants.get(_hash(token)) if self._grants else None

    def revoke(self, token: str) -> None:
        """End a token; an empty one is none."""
        if token:
            self._grants.pop(_hash(token), None)


def _hash(token: str) -> bytes:
    # found by its hash, so that no comparison tells by its time how much of a guess was right
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
