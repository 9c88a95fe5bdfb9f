"""Messages whose senders wait: they run before they are on disk, if a worker is free."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from abaco import clock
from abaco.settings import Limits
from abaco.store import executions
from abaco.store.database import Database
from abaco.store.executions import Accepted, Message, Submission
from abaco.store.rows import Execution
from abaco.throttling import Throttle
from abaco.workers.mailbox import Entry
from abaco.workers.mailboxes import Mailboxes
from abaco.workers.protocol import Outcome
from tests.abaco.running import SECONDS, Client
from tests.abaco.workers.ended import end_of, submit


class Begun:
    """A message that runs, and is not on disk."""

    def __init__(self, database: Database, mailboxes: Mailboxes, submission: Submission) -> None:
        self.database = database
        self.mailboxes = mailboxes
        self.submission = submission
        self.actor_id = submission.actor_id
        self.id = ""
        self.answer: asyncio.Future[Outcome] | None = None

    async def start(self) -> Entry:
        """Let it run."""
        submitted = await self.mailboxes.submit(self.submission, answered=True, awaited=True)
        assert submitted is not None
        self.id, self.answer = submitted
        return self.take()

    def take(self) -> Entry:
        """Take it as a worker does."""
        (entry,) = self.mailboxes.take(self.actor_id, 1, lambda _: False)
        return entry

    @property
    def row(self) -> Execution | None:
        """What is on disk of it."""
        with self.database.read() as tx:
            return executions.find(tx, self.actor_id, self.id)

    def messages(self) -> int:
        """Return how many of its actor wait on disk."""
        with self.database.read() as tx:
            return len(executions.messages_at(tx, range(100)))

    async def end(self, entry: Entry) -> Outcome:
        """Let it end; return what its sender is told."""
        end = end_of(self.database, Accepted(0, self.id, self.submission), {"log": "said\n"})
        self.mailboxes.end(end, entry, [b"taco"], "")
        assert self.answer is not None
        return await asyncio.wait_for(self.answer, SECONDS)

    async def until(self, status: str) -> None:
        """Wait until it is on disk in a status."""
        deadline = asyncio.get_running_loop().time() + SECONDS
        while self.row is None or self.row["status"] != status:
            assert asyncio.get_running_loop().time() < deadline, self.row
            await asyncio.sleep(0.01)


def run(tmp_path: Path, work: Callable[[Begun], Awaitable[None]]) -> None:
    """Do something with a message that runs before it is on disk."""

    @contextlib.asynccontextmanager
    async def begun(database: Database) -> AsyncIterator[Begun]:
        mailboxes = Mailboxes(database, Limits(), Throttle(), lambda _: None)
        sent = submit(database).submission
        yield Begun(database, mailboxes, sent._replace(message=Message(b"{}", "str", {})))
        await mailboxes.close(SECONDS)

    async def work_on(database: Database) -> None:
        async with begun(database) as message:
            await work(message)

    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        asyncio.run(work_on(database))


def test_it_is_on_disk_with_its_end_before_its_sender_is_told(tmp_path: Path) -> None:
    async def work(message: Begun) -> None:
        before, waiting = clock.now(), message.messages()
        entry = await message.start()
        assert message.row is None
        assert (await message.end(entry)).result == b"taco"
        row = message.row
        assert row is not None
        assert (row["status"], row["executor"], row["sender"]) == ("COMPLETE", "ada", "ada")
        assert (row["exit_code"], row["final_state"]) == (0, {"Status": "exited"})
        assert before <= row["message_received_time"] <= clock.now()
        assert message.messages() == waiting
        with message.database.read() as tx:
            assert executions.log_of(tx, message.id) == "said\n"

    run(tmp_path, work)


def test_one_that_goes_on_is_on_disk_before_it_ends(tmp_path: Path) -> None:
    async def work(message: Begun) -> None:
        waiting = message.messages()
        entry = await message.start()
        # nobody says that it has begun
        await message.until("SUBMITTED")
        assert message.messages() == waiting + 1
        message.mailboxes.begin(entry, executions.Beginning(message.id, "worker", clock.now()))
        await message.until("RUNNING")
        assert (await message.end(entry)).result == b"taco"
        await message.until("COMPLETE")
        assert message.messages() == waiting

    run(tmp_path, work)


def test_one_that_is_seen_to_run_is_on_disk_at_once(tmp_path: Path) -> None:
    async def work(message: Begun) -> None:
        entry = await message.start()
        message.mailboxes.begin(entry, executions.Beginning(message.id, "worker", clock.now()))
        await message.until("RUNNING")
        await message.end(entry)

    run(tmp_path, work)


@pytest.mark.parametrize("by", ["put back", "given back", "postponed", "closed"])
def test_one_that_does_not_end_waits_on_disk(tmp_path: Path, by: str) -> None:
    async def work(message: Begun) -> None:
        entry, mailboxes = await message.start(), message.mailboxes
        entry.attempts = by == "put back"
        if by == "put back":
            mailboxes.put_back(message.actor_id, entry)
        elif by == "given back":
            mailboxes.give_back(message.actor_id, [entry])
        elif by == "postponed":
            mailboxes.postpone(message.actor_id, entry, "the oven is cold")
        else:
            await mailboxes.close(SECONDS)
        await message.until("SUBMITTED")
        with message.database.read() as tx:
            (left,) = [each for each in executions.in_mailboxes(tx) if each["id"] == message.id]
            stored = executions.messages_at(tx, [left["sequence"]])
        assert stored[left["sequence"]] == message.submission.message
        assert left["attempts"] == entry.attempts
        assert left["reason"] == ("the oven is cold" if by == "postponed" else left["reason"])
        if by in ("put back", "given back"):
            again = message.take()
            assert again.message == message.submission.message
            await message.end(again)
            await message.until("COMPLETE")

    run(tmp_path, work)


def test_one_that_is_dropped_with_all_others_has_an_end(tmp_path: Path) -> None:
    async def work(message: Begun) -> None:
        entry = await message.start()
        message.mailboxes.give_back(message.actor_id, [entry])
        await message.mailboxes.purge(message.actor_id)
        assert message.answer is not None
        assert (await asyncio.wait_for(message.answer, SECONDS)).dropped
        await message.until("ERROR")

    run(tmp_path, work)


def test_only_one_that_nothing_is_in_the_way_of_runs_before_it_is_on_disk(tmp_path: Path) -> None:
    async def work(message: Begun) -> None:
        entry = await message.start()
        # another runs
        other = await message.mailboxes.submit(message.submission, answered=True, awaited=True)
        assert other is not None
        with message.database.read() as tx:
            assert executions.find(tx, message.actor_id, other[0]) is not None
        await message.end(entry)
        # no worker is free
        third = await message.mailboxes.submit(message.submission, answered=True)
        assert third is not None
        with message.database.read() as tx:
            assert executions.find(tx, message.actor_id, third[0]) is not None

    run(tmp_path, work)


def test_it_can_ask_for_itself(ada: Client) -> None:
    actor = ada.actor("warm", token=True)
    for _ in range(2):
        # the second time, what that takes is imported
        answer = json.loads(ada.ask(actor, {"ask for itself": None}).content)
    assert answer["result"]["actorId"] == actor
    assert answer["result"]["status"] in ("SUBMITTED", "RUNNING")


def test_a_killed_one_is_run_again(ada: Client, tmp_path: Path) -> None:
    actor, pids = ada.actor("warm"), tmp_path / "pids"
    reply = ada.ask(
        actor, {"note": str(pids), "die first": str(tmp_path / "died"), "print": "taco"}
    )
    assert reply.text == "taco\n"
    first, second = pids.read_text().split()
    assert first != second


def test_it_is_listed_among_the_others_as_they_came(ada: Client) -> None:
    actor = ada.actor("warm")
    ada.run(actor, {"print": "first"})
    assert ada.ask(actor, {"print": "second"}).text == "second\n"
    ada.run(actor, {"print": "third"})
    found = ada.result("GET", f"/{actor}/executions")
    assert found["totalExecutions"] == 3
    logs = [ada.logs(actor, each["id"]) for each in found["executions"]]
    assert logs == ["first\n", "second\n", "third\n"]
    others, waited_for = (
        ada.result("GET", f"/{actor}/executions/{found['executions'][n]['id']}") for n in (0, 1)
    )
    assert waited_for.keys() == others.keys()
    assert waited_for["status"] == "COMPLETE"
    times = ("messageReceivedTime", "startTime", "finishTime")
    assert sorted(waited_for[name] for name in times) == [waited_for[name] for name in times]
