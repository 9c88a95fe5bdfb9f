"""Access tokens, of which only hashes are kept (docs/reference/abaco.md#authentication)."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, insert, select, update

from abaco import clock, identifiers
from abaco.store.records import every, one
from abaco.store.rows import Token, TokenFacts
from abaco.store.tables import tokens

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BYTES = 24


class Grant(NamedTuple):
    """A new token, in the only moment in which it can be read.

    Attributes:
        id: by which it is listed and revoked; no secret.
        access: the Bearer token.
        refresh: what `POST /token` exchanges for a new one, None where there is none.
        client_key: with `client_secret`, what authenticates that exchange.
        lifetime: seconds.
    """

    id: str
    access: str
    refresh: str | None
    client_key: str | None
    client_secret: str | None
    lifetime: int


def create(
    tx: Connection,
    tenant: str,
    user: str,
    roles: list[str],
    *,
    lifetime: int,
    label: str = "",
    renewable: bool = True,
) -> Grant:
    """Make a token for a user.

    Args:
        tx: a transaction that writes.
        tenant: the tenant's name.
        user: the user's name.
        roles: as Abaco names them, `Internal/everyone` for instance.
        lifetime: seconds until it expires.
        label: what it is for.
        renewable: give a refresh token with it.
    """
    grant = Grant(
        identifiers.new(),
        secrets.token_hex(_BYTES),
        secrets.token_hex(_BYTES) if renewable else None,
        secrets.token_hex(_BYTES // 2) if renewable else None,
        secrets.token_hex(_BYTES) if renewable else None,
        lifetime,
    )
    moment = clock.now()
    tx.execute(
        insert(tokens).values(
            id=grant.id,
            tenant=tenant,
            user=user,
            roles=roles,
            label=label,
            access_hash=digest(grant.access),
            refresh_hash=digest(grant.refresh) if grant.refresh else None,
            client_key=grant.client_key,
            secret_hash=digest(grant.client_secret) if grant.client_secret else None,
            lifetime=lifetime,
            create_time=moment,
            expires=moment + datetime.timedelta(seconds=lifetime),
        )
    )
    return grant


def find(tx: Connection, access: str) -> Token | None:
    """Return the record of a token that has not expired."""
    query = select(tokens).where(
        tokens.c.access_hash == digest(access), tokens.c.expires > clock.now()
    )
    return one(tx, query, Token)


def get(tx: Connection, token_id: str) -> Token | None:
    """Return the record of a token by its id, if it has not expired."""
    return one(
        tx, select(tokens).where(tokens.c.id == token_id, tokens.c.expires > clock.now()), Token
    )


def refresh(tx: Connection, client_key: str, client_secret: str, token: str) -> Grant | None:
    """Exchange a refresh token for a new pair; the old pair ends with it."""
    record = one(tx, select(tokens).where(tokens.c.refresh_hash == digest(token)), Token)
    if record is None:
        return None
    # a token that can be renewed has both
    right = hmac.compare_digest(str(record["client_key"]).encode(), client_key.encode())
    right &= hmac.compare_digest(str(record["secret_hash"]), digest(client_secret))
    if not right:
        return None
    access, renewed = secrets.token_hex(_BYTES), secrets.token_hex(_BYTES)
    expires = clock.now() + datetime.timedelta(seconds=record["lifetime"])
    tx.execute(
        update(tokens)
        .where(tokens.c.id == record["id"])
        .values(access_hash=digest(access), refresh_hash=digest(renewed), expires=expires)
    )
    return Grant(record["id"], access, renewed, client_key, None, record["lifetime"])


def extend(tx: Connection, access: str) -> bool:
    """Let a token hold for its whole lifetime from now on; tell whether it holds."""
    record = find(tx, access)
    if record is None:
        return False
    expires = clock.now() + datetime.timedelta(seconds=record["lifetime"])
    tx.execute(update(tokens).where(tokens.c.id == record["id"]).values(expires=expires))
    return True


def all_tokens(tx: Connection) -> list[TokenFacts]:
    """Return what is known of all tokens, oldest first; the tokens themselves are not."""
    names = ("id", "tenant", "user", "roles", "label", "create_time", "expires")
    return every(
        tx, select(*(tokens.c[name] for name in names)).order_by(tokens.c.create_time), TokenFacts
    )


def revoke(tx: Connection, token_id: str) -> bool:
    """End a token, its refresh token too; tell whether there was one."""
    return tx.execute(delete(tokens).where(tokens.c.id == token_id)).rowcount == 1


def end(tx: Connection, access: str) -> None:
    """End a token that is at hand."""
    tx.execute(delete(tokens).where(tokens.c.access_hash == digest(access)))


def forget_expired(tx: Connection) -> None:
    """Remove the tokens that have expired and cannot be renewed."""
    passed = (tokens.c.expires <= clock.now(), tokens.c.refresh_hash.is_(None))
    tx.execute(delete(tokens).where(*passed))


def digest(secret: str) -> str:
    """Return what is kept of a secret that was made here."""
    # a token has 192 bits of chance: nothing is gained by a slow hash
    return hashlib.sha256(secret.encode()).hexdigest()
