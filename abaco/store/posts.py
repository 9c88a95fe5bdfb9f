"""Events on their way to webhooks: kept until they are delivered or given up."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from abaco import clock
from abaco.store.records import Record, every
from abaco.store.tables import posts

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOST_ATTEMPTS = 8
_FIRST_DELAY = 2.0


def add(tx: Connection, actor_id: str, url: str, body: Record) -> None:
    """Queue a post."""
    values = {"actor_id": actor_id, "url": url, "body": body, "attempts": 0}
    tx.execute(insert(posts).values(**values, next_attempt=clock.now()))


def due(tx: Connection, limit: int) -> list[Record]:
    """Return posts whose time has come, the oldest of each URL only: they go in order."""
    query = select(posts).where(posts.c.next_attempt <= clock.now()).order_by(posts.c.sequence)
    first: dict[str, Record] = {}
    for post in every(tx, query.limit(limit)):
        first.setdefault(post["url"], post)
    return list(first.values())


def delivered(tx: Connection, post: Record) -> None:
    """Forget a post."""
    tx.execute(delete(posts).where(posts.c.sequence == post["sequence"]))


def failed(tx: Connection, post: Record) -> bool:
    """Try a post and what waits behind it later, or give it up; tell whether it was given up."""
    attempts = post["attempts"] + 1
    if attempts >= MOST_ATTEMPTS:
        delivered(tx, post)
        return True
    later = clock.now() + datetime.timedelta(seconds=_FIRST_DELAY * 2 ** (attempts - 1))
    tx.execute(update(posts).where(posts.c.sequence == post["sequence"]).values(attempts=attempts))
    tx.execute(update(posts).where(posts.c.url == post["url"]).values(next_attempt=later))
    return False
