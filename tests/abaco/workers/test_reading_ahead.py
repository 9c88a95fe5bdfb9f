"""Messages that are not in memory are read several at once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from abaco.settings import Limits
from abaco.store import executions
from abaco.store.database import Database
from abaco.store.executions import TEXT, Message, Submission
from abaco.throttling import Throttle
from abaco.workers.mailboxes import KEPT_BYTES, Mailboxes
from tests.abaco.running import SECONDS
from tests.abaco.workers.ended import submit

BEHIND = 32


def backlog(database: Database, size: int) -> str:
    """Return an actor for whom messages of one key wait, with bodies of a size."""
    sent = submit(database).submission
    message = Message(b"x" * size, TEXT, {})
    with database.write() as tx:
        Submission.write(tx, [sent._replace(message=message, ordering="tacos")] * BEHIND)
    return sent.actor_id


def test_an_actor_has_room_where_another_has_filled_the_memory(tmp_path: Path) -> None:
    async def take(database: Database, *actors: str) -> list[int]:
        mailboxes = Mailboxes(database, Limits(), Throttle(), lambda _: None)
        with database.read() as tx:
            mailboxes.load(executions.in_mailboxes(tx))
        taken = []
        for actor in actors:
            (entry,) = mailboxes.take(actor, 1, lambda _: True)
            assert await mailboxes.read(actor, entry) is not None
            mailboxes.drop(actor, entry)
            following = mailboxes.take(actor, BEHIND, lambda entry: entry.message is not None)
            taken.append(len(following))
        await mailboxes.close(SECONDS)
        return taken

    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        # with what they take besides their bodies, 16 fit
        large, small = backlog(database, KEPT_BYTES // 16 - 1_600), backlog(database, 100)
        at_first, then = asyncio.run(take(database, large, small))
    assert at_first == 16
    assert then == BEHIND
