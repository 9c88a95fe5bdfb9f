"""How the ends of executions are written."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from abaco.settings import Limits
from abaco.store import executions
from abaco.store.database import Database
from abaco.throttling import Throttle
from abaco.workers.mailboxes import Mailboxes
from tests.abaco.counting import counting
from tests.abaco.running import SECONDS
from tests.abaco.workers.ended import end_of, submit


def test_executions_that_end_together_share_their_statements(tmp_path: Path) -> None:
    together = 20

    async def end_all(database: Database) -> int:
        mailboxes = Mailboxes(database, Limits(), Throttle(), lambda _: None)
        ends = []
        for _ in range(together):
            accepted = submit(database)
            mailboxes.deliver(accepted)
            (entry,) = mailboxes.take(accepted.submission.actor_id, 1, lambda _: False)
            ends.append((end_of(database, accepted, {"log": "said\n"}), entry))
        with counting(database) as counts:
            for end, entry in ends:
                mailboxes.end(end, entry, [b"first", b"second"], "")
            await mailboxes.close(SECONDS)
        with database.read() as tx:
            for end, _ in ends:
                begun = end.end.execution
                assert executions.results_of(tx, begun["id"]) == [b"first", b"second"]
                assert executions.log_of(tx, begun["id"]) == "said\n"
                found = executions.find(tx, begun["actor_id"], begun["id"])
                assert found is not None
                assert found["status"] == executions.COMPLETE
        return counts.statements

    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        # the first may be written by itself
        assert asyncio.run(end_all(database)) <= 2 * 5
