"""Sessions of people in a browser, and the codes that begin one; only hashes of either are kept.

Both belong to an access token, and end with it.
"""

from __future__ import annotations

import datetime
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from abaco import clock
from abaco.store.records import one
from abaco.store.rows import Token
from abaco.store.tables import sessions, tokens
from abaco.store.tokens import digest

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

CODE_SECONDS = 600
SESSION_SECONDS = 30 * 86_400
MAX_OF_ONE = 50
"""Codes, and likewise sessions, of one token; the oldest ends for a further one."""
_CODE, _SESSION = "code", "session"
_SECONDS = {_CODE: CODE_SECONDS, _SESSION: SESSION_SECONDS}
_BYTES = 24


def make_code(tx: Connection, token_id: str) -> str:
    """Return a code that begins a session, once and within `CODE_SECONDS`.

    Args:
        tx: a transaction that writes.
        token_id: of the access token that the session belongs to.
    """
    return _make(tx, token_id, _CODE)


def begin(tx: Connection, token_id: str) -> str:
    """Return the secret of a new session; the arguments are those of `make_code`."""
    return _make(tx, token_id, _SESSION)


def is_code(tx: Connection, code: str) -> bool:
    """Tell whether there is such a code, used up or not by the time that it is redeemed."""
    return tx.execute(select(sessions.c.hash).where(*_is(code, _CODE))).first() is not None


def redeem(tx: Connection, code: str) -> str | None:
    """Use up a code; return the secret of a new session, or None where the code is not good."""
    gone = delete(sessions).where(*_is(code, _CODE))
    used = tx.execute(gone.returning(sessions.c.token_id, sessions.c.expires)).first()
    if used is None or used.expires <= clock.now():
        return None
    return begin(tx, used.token_id)


def find(tx: Connection, session: str) -> Token | None:
    """Return the record of the token of a session, if neither has expired."""
    moment = clock.now()
    query = (
        select(tokens)
        .join(sessions, sessions.c.token_id == tokens.c.id)
        .where(
            *_is(session, _SESSION),
            sessions.c.expires > moment,
            tokens.c.expires > moment,
        )
    )
    return one(tx, query, Token)


def end(tx: Connection, session: str) -> None:
    """End a session, if there is one."""
    tx.execute(delete(sessions).where(*_is(session, _SESSION)))


def forget_expired(tx: Connection) -> None:
    """Remove the codes and sessions whose time has passed."""
    tx.execute(delete(sessions).where(sessions.c.expires <= clock.now()))


def _make(tx: Connection, token_id: str, kind: str) -> str:
    mine = (sessions.c.token_id == token_id, sessions.c.kind == kind)
    newest = select(sessions.c.hash).where(*mine).order_by(sessions.c.create_time.desc())
    kept = newest.limit(MAX_OF_ONE - 1)
    tx.execute(delete(sessions).where(*mine, sessions.c.hash.not_in(kept)))
    secret, moment = secrets.token_hex(_BYTES), clock.now()
    tx.execute(
        insert(sessions).values(
            hash=digest(secret),
            kind=kind,
            token_id=token_id,
            create_time=moment,
            expires=moment + datetime.timedelta(seconds=_SECONDS[kind]),
        )
    )
    return secret


def _is(secret: str, kind: str) -> tuple[ColumnElement[bool], ...]:
    return sessions.c.hash == digest(secret), sessions.c.kind == kind
