"""What waits for webhooks: it goes on when the clock was set back, and does not become ever more."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from abaco import clock
from abaco.store import posts, tables
from abaco.store.database import Database
from abaco.store.posts import Way
from abaco.store.rows import Post

URL, OTHER = "http://127.0.0.1:9/hook", "http://127.0.0.1:9/other"
WAY = Way("actor", URL)


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Connection]:
    with (
        contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database,
        database.write() as connection,
    ):
        yield connection


def first(tx: Connection) -> Post:
    post = posts.first(tx, WAY)
    assert post is not None
    return post


def test_one_that_failed_waits_and_is_due_again_if_the_clock_is_set_back(tx: Connection) -> None:
    posts.add(tx, "actor", URL, {})
    post = first(tx)
    for _ in range(posts.MAX_ATTEMPTS - 1):
        assert posts.failed(tx, post) == 0
        assert not posts.is_any_due(tx)
        assert posts.due(tx) == []
        assert posts.first(tx, WAY) is None
        past = {"next_attempt": clock.now()}
        tx.execute(update(tables.posts).values(past))
        post = first(tx)
    in_a_day = clock.now() + datetime.timedelta(days=1)
    tx.execute(update(tables.posts).values(next_attempt=in_a_day))
    assert posts.is_any_due(tx)
    assert posts.due(tx) == [(WAY, "")]
    assert first(tx)["sequence"] == post["sequence"]


def test_a_url_that_takes_nothing_keeps_the_newest(
    tx: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posts, "MAX_WAITING", 3)
    for number in range(6):
        posts.add(tx, "actor", URL, {"number": number})
        posts.add(tx, "actor", OTHER, {"number": number})
        posts.add(tx, "another", URL, {"number": number})
    post = first(tx)
    post["attempts"] = posts.MAX_ATTEMPTS - 1
    assert posts.failed(tx, post) == 3
    left = select(tables.posts.c.body).order_by(tables.posts.c.sequence)
    numbers = []
    for actor_id, url in (WAY, ("actor", OTHER), ("another", URL)):
        its = left.where(tables.posts.c.actor_id == actor_id, tables.posts.c.url == url)
        numbers.append([body["number"] for body in tx.execute(its).scalars()])
    assert numbers == [[3, 4, 5], [*range(6)], [*range(6)]]
