"""The access tokens of executions: they live as long as those, in memory only."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

from abaco import roles

if TYPE_CHECKING:
    from abaco.store.records import Record

_BYTES = 24


class _Grant(NamedTuple):
    record: Record
    until: float


class Grants:
    """Who acts with the token of an execution."""

    def __init__(self) -> None:
        self._grants: dict[bytes, _Grant] = {}

    def create(self, tenant: str, user: str, seconds: float) -> str:
        """Make a token with which an execution acts as a user."""
        token = secrets.token_hex(_BYTES)
        record = {"tenant": tenant, "user": user, "roles": [roles.EVERYONE]}
        self._grants[_hash(token)] = _Grant(record, time.monotonic() + seconds)
        return token

    def find(self, token: str) -> Record | None:
        """Return the tenant, user and roles of a token that holds."""
        grant = self._grants.get(_hash(token))
        return grant.record if grant is not None and grant.until > time.monotonic() else None

    def revoke(self, token: str) -> None:
        """End a token; an empty one is none."""
        self._grants.pop(_hash(token), None)


def _hash(token: str) -> bytes:
    # found by its hash, so that no comparison tells by its time how much of a guess was right
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
