"""Events on their way to webhooks: kept until they are delivered or given up."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from abaco import clock
from abaco.store.records import Record, one
from abaco.store.rows import Post
from abaco.store.statements import Statement
from abaco.store.tables import actors, posts

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

MAX_ATTEMPTS = 8
MAX_WAITING = 10_000
"""Posts of an actor to a URL that wait behind one that is given up; of more, the oldest are given up with it."""
_FIRST_DELAY = 2.0
_LONGEST_DELAY = datetime.timedelta(seconds=_FIRST_DELAY * 2**MAX_ATTEMPTS)
_DUE = or_(
    posts.c.next_attempt <= bindparam("moment"),
    # what is later was noted before the clock was set back
    posts.c.next_attempt > bindparam("latest"),
)
_COUNT_DUE = Statement(select(func.count()).select_from(posts).where(_DUE))


def add(tx: Connection, actor_id: str, url: str, body: Record) -> None:
    """Queue a post."""
    values = {"actor_id": actor_id, "url": url, "body": body, "attempts": 0}
    tx.execute(insert(posts).values(**values, next_attempt=clock.now()))


def is_any_due(tx: Connection) -> bool:
    """Tell whether any post may be tried now, or waits behind one that may not."""
    return bool(_COUNT_DUE.first(tx, [_now()])[0])


class Way(NamedTuple):
    """From an actor to a URL, where posts go in order; those of other actors do not wait for them."""

    actor_id: str
    url: str


def due(tx: Connection) -> list[tuple[Way, str]]:
    """Return the ways whose oldest post may be tried now, each with the owner of the actor."""
    oldest = select(func.min(posts.c.sequence)).group_by(posts.c.actor_id, posts.c.url)
    query = (
        select(posts.c.actor_id, posts.c.url, func.coalesce(actors.c.owner, ""))
        .outerjoin(actors, actors.c.id == posts.c.actor_id)
        .where(posts.c.sequence.in_(oldest), _DUE)
        .order_by(posts.c.next_attempt)
    )
    return [
        (Way(str(actor_id), str(url)), str(owner))
        for actor_id, url, owner in tx.execute(query, _now())
    ]


def first(tx: Connection, way: Way) -> Post | None:
    """Return the oldest post on a way, if it may be tried now: they go in order."""
    query = select(posts).where(*_on(way)).order_by(posts.c.sequence).limit(1)
    post, now = one(tx, query, Post), _now()
    if post is None or now["moment"] < post["next_attempt"] <= now["latest"]:
        return None
    return post


def delivered(tx: Connection, post: Post) -> None:
    """Forget a post."""
    tx.execute(delete(posts).where(posts.c.sequence == post["sequence"]))


def failed(tx: Connection, post: Post) -> int:
    """Let a post, and what waits behind it, be tried later, or give it up; return how many are given up."""
    attempts = post["attempts"] + 1
    if attempts >= MAX_ATTEMPTS:
        delivered(tx, post)
        return 1 + _give_up_oldest(tx, Way(post["actor_id"], post["url"]))
    later = clock.now() + datetime.timedelta(seconds=_FIRST_DELAY * 2 ** (attempts - 1))
    this = posts.c.sequence == post["sequence"]
    tx.execute(update(posts).where(this).values(attempts=attempts, next_attempt=later))
    return 0


def _give_up_oldest(tx: Connection, way: Way) -> int:
    """Give up what is too much for a URL that takes nothing: events may come faster than they are given up."""
    newest = select(posts.c.sequence).where(*_on(way)).order_by(posts.c.sequence.desc())
    last = tx.scalar(newest.offset(MAX_WAITING).limit(1))
    if last is None:
        return 0
    return tx.execute(delete(posts).where(*_on(way), posts.c.sequence <= last)).rowcount


def _on(way: Way) -> tuple[ColumnElement[bool], ...]:
    return posts.c.actor_id == way.actor_id, posts.c.url == way.url


def _now() -> dict[str, datetime.datetime]:
    moment = clock.now()
    return {"moment": moment, "latest": moment + _LONGEST_DELAY}
