"""The messages of all actors, from their acceptance to the end of their executions.

A message is accepted when it is on disk, and then handed to a mailbox in memory, from which workers take it.
One whose sender waits for what comes of it runs at once if a worker is free: it is on disk together with its
end, or before, if that is not soon.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from abaco import clock, identifiers
from abaco.store import executions
from abaco.store.writer import Writer, is_of_value
from abaco.workers import endings, threads
from abaco.workers.mailbox import Entry, Mailbox, delay_of
from abaco.workers.protocol import Ahead, Outcome, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from abaco.settings import Limits
    from abaco.store.database import Database
    from abaco.store.executions import Accepted, Message
    from abaco.store.rows import Begun, Queued
    from abaco.store.writer import Operation
    from abaco.throttling import Throttle

KEPT_BYTES = 16 * 1024 * 1024
"""Of messages that wait in memory; others are read again when their turn comes."""
_NEW_BYTES = KEPT_BYTES * 3 // 4
"""Of those that have just come: the rest is for what comes next and has to be read."""
_SPARE_BYTES = KEPT_BYTES // 64
"""Of those that an actor reads where others leave no room."""
_OVERHEAD_BYTES = 1500
"""What a message takes besides its body: its environment, and the objects about it."""
_READ_AHEAD = 64
"""Messages that are read at once; a worker handles half as many together."""
WRITE_DOWN_SECONDS = 0.05
"""After these, a message is on disk whose execution has not ended."""
MAX_UNWRITTEN = 64
"""Writes of executions that nobody waits for: with more, workers wait."""
_UNWRITTEN = object()
_REFUSED = object()

_logger = logging.getLogger(__name__)


class Mailboxes:
    """What waits for all actors, and what is known of it on disk; used from the event loop only.

    Args:
        database: of the platform.
        limits: of the gateway.
        throttle: learns from results what senders may do.
        wake: is told the actor that has a message to run.
    """

    def __init__(
        self,
        database: Database,
        limits: Limits,
        throttle: Throttle,
        wake: Callable[[str], None],
    ) -> None:
        self._database = database
        self._writer = Writer(database, asyncio.get_running_loop())
        self._limits = limits
        self._throttle = throttle
        self._wake = wake
        self._mailboxes: dict[str, Mailbox] = {}
        self._kept_bytes = 0
        self._unwritten: set[asyncio.Future[Any]] = set()
        self._waiting = Waiting()
        self._not_on_disk: dict[str, tuple[Entry, asyncio.TimerHandle]] = {}
        """messages that run before they are on disk, by execution, and what puts them there in time"""

    def load(self, rows: Iterable[Queued]) -> None:
        """Put what an earlier gateway left into the mailboxes.

        Args:
            rows: as `executions.in_mailboxes` returns them.
        """
        moment, now = clock.now(), time.monotonic()
        for row in rows:
            # with a clock that was set back meanwhile, it is not put off further than ever
            later = (row["due"] - moment).total_seconds() if row["due"] else 0.0
            later = min(later, delay_of(row["tries"]))
            entry = Entry(
                row["sequence"],
                row["id"],
                row["sender"] or "",
                row["ordering"],
                attempts=row["attempts"],
                tries=row["tries"],
                reason=row["reason"] or "",
            )
            self._mailbox(row["actor_id"]).add(entry, due=now + later if later > 0 else 0.0)

    async def close(self, seconds: float) -> None:
        """Write what is to be written, and tell the senders that wait that the gateway ends.

        Args:
            seconds: within which what the database does not take is tried again.
        """
        for entry, _ in [*self._not_on_disk.values()]:
            self._write_down(entry)
        await self.written(seconds)
        await self._writer.close()
        if self._unwritten:
            await asyncio.wait(self._unwritten)
        self._waiting.close()

    async def written(self, seconds: float) -> None:
        """Wait until what has ended so far is on disk, at most so long."""
        if self._unwritten:
            await asyncio.wait(self._unwritten, timeout=seconds)

    async def submit(
        self,
        submission: executions.Submission,
        *,
        answered: bool = False,
        awaited: bool = False,
        watch: Callable[[str], None] = lambda _: None,
    ) -> tuple[str, asyncio.Future[Outcome] | None] | None:
        """Accept a message; return when it is on disk, or runs: see `Engine.submit`.

        Args:
            submission: the message.
            answered: whether the sender waits for what comes of it.
            awaited: whether a worker waits for a message.
            watch: is told the id of its execution before that can run.
        """
        if answered and awaited and self._may_run_at_once(submission):
            return self._run_at_once(submission, watch)
        accepted = await self._writer.put(submission)
        if accepted is None:
            return None
        watch(accepted.execution_id)
        ending = self.ending(accepted.execution_id) if answered else None
        self.deliver(accepted, answered=answered)
        return accepted.execution_id, ending

    def deliver(self, accepted: Accepted, *, answered: bool = False) -> None:
        """Put a message that is on disk into its actor's mailbox."""
        submission = accepted.submission
        entry = Entry(
            accepted.sequence,
            accepted.execution_id,
            submission.sender,
            submission.ordering,
            fresh=True,
            answered=answered,
        )
        self._deliver(entry, submission)

    def _may_run_at_once(self, submission: executions.Submission) -> bool:
        return (
            # a server that breaks off may have written an end, and what is inserted is not inserted again
            not self._database.is_shared
            and self._mailbox(submission.actor_id).is_idle
            and self._has_room(submission.message, _NEW_BYTES)
        )

    def _run_at_once(
        self, submission: executions.Submission, watch: Callable[[str], None]
    ) -> tuple[str, asyncio.Future[Outcome]]:
        """Let a message run that is not on disk."""
        execution_id = identifiers.new()
        watch(execution_id)
        entry = Entry(
            0,
            execution_id,
            submission.sender,
            submission.ordering,
            fresh=True,
            answered=True,
            unwritten=submission._replace(execution_id=execution_id, received=clock.now()),
        )
        timer = asyncio.get_running_loop().call_later(WRITE_DOWN_SECONDS, self._write_down, entry)
        self._not_on_disk[execution_id] = entry, timer
        ending = self.ending(execution_id)
        self._deliver(entry, submission)
        return execution_id, ending

    def _deliver(self, entry: Entry, submission: executions.Submission) -> None:
        if self._has_room(submission.message, _NEW_BYTES):
            self._keep(entry, submission.message)
        self._mailbox(submission.actor_id).add(entry)
        self._wake(submission.actor_id)

    async def write_down(self, execution_id: str) -> bool:
        """Have an execution on disk that runs before it is there; tell whether there was one."""
        if execution_id not in self._not_on_disk:
            return False
        self._write_down(self._not_on_disk[execution_id][0])
        await asyncio.wait(self._unwritten)
        return True

    def _write_down(self, entry: Entry) -> None:
        """Have a message on disk that is not, before what is written next."""
        submission = self._taken_from(entry)
        if submission is not None:
            written = self._writer.put(submission, insistent=True)
            self._write_later(self._until_written_down(written, entry))

    async def _until_written_down(self, written: asyncio.Future[Any], entry: Entry) -> None:
        await self._write(written)
        del self._not_on_disk[entry.execution_id]

    def _taken_from(self, entry: Entry) -> executions.Submission | None:
        """Return what a message is to be written as, if nobody writes it yet: who calls this does."""
        submission, entry.unwritten = entry.unwritten, None
        if submission is not None:
            self._not_on_disk[entry.execution_id][1].cancel()
        return submission

    async def purge(self, actor_id: str) -> None:
        """Drop the messages that wait for an actor; their executions end in status ERROR.

        Raises:
            SQLAlchemyError: it is not written.
        """
        mailbox = self._mailbox(actor_id)
        dropped = mailbox.clear()
        for entry in dropped:
            self._write_down(entry)
        try:
            await self._writer.put(executions.Drop(tuple(entry.execution_id for entry in dropped)))
        except SQLAlchemyError:
            # some have come since, and some that ran then were given back
            since = mailbox.clear()
            for entry in sorted((*dropped, *since), key=lambda entry: entry.place):
                mailbox.add(entry)
            self._wake(actor_id)
            raise
        for entry in dropped:
            self._let_go(entry)
            self.announce(entry.execution_id, Outcome(dropped=True))

    def ahead_of(self, submission: executions.Submission) -> Ahead | None:
        """Return the message that could not be handled yet, and that another has to wait for."""
        mailbox = self._mailbox(submission.actor_id)
        entry = mailbox.ahead_of(submission.sender, submission.ordering)
        return None if entry is None else Ahead(entry.execution_id, entry.reason)

    async def drop_postponed(self, actor_id: str, execution_id: str) -> bool:
        """Drop a message that could not be handled yet; tell whether there was one.

        Raises:
            SQLAlchemyError: it is not written; the message is dropped until the next start.
        """
        entry = self._mailbox(actor_id).remove(execution_id)
        if entry is None:
            return False
        self._let_go(entry)
        # those behind it need not wait for this
        self._wake(actor_id)
        self._throttle.ended(execution_id)
        await self._writer.put(executions.Drop((entry.execution_id,)))
        return True

    def postponed(self) -> int:
        """Return how many messages could not be handled yet."""
        waiting = (each.waiting() for each in self._mailboxes.values())
        return sum(entry.tries > 0 for entries in waiting for entry in entries)

    def empty(self, actor_id: str) -> None:
        """Drop what waits for an actor that is deleted; what still runs ends in its mailbox."""
        mailbox = self._mailbox(actor_id)
        for entry in mailbox.clear():
            self._write_down(entry)
            self._let_go(entry)
        if not mailbox.running:
            del self._mailboxes[actor_id]

    def ending(self, execution_id: str) -> asyncio.Future[Outcome]:
        """Return a future that is done when the end of an execution is on disk, from now on."""
        return self._waiting.add(execution_id)

    def announce(self, execution_id: str, outcome: Outcome) -> None:
        """Tell who waits for an execution what came of it."""
        self._throttle.ended(execution_id)
        self._waiting.tell(execution_id, outcome)

    def forget(self, execution_id: str, future: asyncio.Future[Outcome]) -> None:
        """Drop a future, whether it is done or not."""
        self._waiting.forget(execution_id, future)

    def begin(self, entry: Entry, beginning: executions.Beginning) -> None:
        """Let a message be seen that runs."""
        self._write_down(entry)
        self.write(beginning)

    def told(self, execution: Begun, result: bytes) -> None:
        """Learn from a result what senders may do."""
        self._throttle.told(execution["id"], result)

    def take(self, actor_id: str, most: int, may_join: Callable[[Entry], bool]) -> list[Entry]:
        """Return the next message of an actor, or several that may run together, running then."""
        return self._mailbox(actor_id).take(time.monotonic(), most, may_join)

    async def read(self, actor_id: str, entry: Entry) -> Message | None:
        """Return a message that is not in memory, and let some that come next be there.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        ahead = [each.sequence for each in self._following(actor_id, entry)]
        room = max(KEPT_BYTES - self._kept_bytes, _SPARE_BYTES)
        found = await threads.run(self._read, entry.sequence, ahead, room)
        most = max(KEPT_BYTES, self._kept_bytes + _SPARE_BYTES)
        # others may have taken some since
        for each in self._following(actor_id, entry):
            message = found.get(each.sequence)
            if message is not None and self._has_room(message, most):
                self._keep(each, message)
        return found.get(entry.sequence)

    def oldest(self, actor_id: str) -> Entry | None:
        """Return the oldest message of an actor that could run if there was a worker for it."""
        return self._mailbox(actor_id).oldest()

    def next_due(self, actor_id: str) -> float | None:
        """Return in how many seconds a message may run that may not now."""
        return self._mailbox(actor_id).next_due(time.monotonic())

    def drop(self, actor_id: str, entry: Entry) -> None:
        """Let a message go that is not there."""
        self._write_down(entry)
        self._mailbox(actor_id).end(entry)
        self._let_go(entry)
        self.announce(entry.execution_id, Outcome(dropped=True))

    def put_back(self, actor_id: str, entry: Entry) -> None:
        """Return a message that was interrupted to its place in the mailbox."""
        self._write_down(entry)
        self.write(
            executions.Return(entry.execution_id, entry.attempts, entry.tries, None, entry.reason)
        )
        self._mailbox(actor_id).put_back(entry)
        self._wake(actor_id)

    def give_back(self, actor_id: str, entries: Iterable[Entry]) -> None:
        """Return messages to their places of which nothing was written since they were taken."""
        for entry in entries:
            self._write_down(entry)
            self._mailbox(actor_id).put_back(entry)
        self._wake(actor_id)

    def postpone(self, actor_id: str, entry: Entry, reason: str) -> None:
        """Return a message that cannot be handled yet to its place in the mailbox."""
        delay = self._mailbox(actor_id).postpone(entry, reason, time.monotonic())
        due = clock.now() + datetime.timedelta(seconds=delay)
        self._write_down(entry)
        self.write(executions.Return(entry.execution_id, entry.attempts, entry.tries, due, reason))
        if entry.tries == 1:
            _logger.warning(
                "actor %s: execution %s is tried again until it succeeds: %s",
                actor_id,
                entry.execution_id,
                reason,
            )
        if entry.answered:
            entry.answered = False
            self.announce(entry.execution_id, Outcome(unavailable=reason or "-", due=delay))
        self._wake(actor_id)

    def end(self, end: endings.End, entry: Entry, results: list[bytes], reason: str) -> None:
        """Let a message go whose execution has ended; who waits for it is told when that is on disk."""
        actor_id = end.actor["id"]
        submission = self._taken_from(entry)
        if submission is not None:
            del self._not_on_disk[entry.execution_id]
            end = end._replace(end=end.end._replace(submission=submission))
        self._mailbox(actor_id).end(entry)
        self._let_go(entry)
        waited_for = entry.execution_id in self._waiting
        # whoever waits takes the only result from memory, and the first of several from the store
        answer = results[0] if len(results) == 1 and waited_for else None
        if results and answer is None:
            end = end._replace(results=self._results_of(end, results))
        outcome = Outcome(answer, end.end.log, reason)
        written = self._writer.put(end, insistent=True)
        self._unwritten.add(written)
        # a callback takes half as long as a task
        written.add_done_callback(functools.partial(self._ended, end, outcome))
        self._wake(actor_id)

    def write(self, operation: Operation) -> None:
        """Write something that nobody waits for, however often that takes, in the order of calls."""
        self._write_later(self._write(self._writer.put(operation, insistent=True)))

    async def settled(self) -> None:
        """Wait until not too much is left to be written."""
        while len(self._unwritten) > MAX_UNWRITTEN:
            await asyncio.wait(self._unwritten, return_when=asyncio.FIRST_COMPLETED)

    def _write_later(self, writing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(writing)
        self._unwritten.add(task)
        task.add_done_callback(self._unwritten.discard)

    async def _write(self, written: asyncio.Future[Any]) -> Any:
        try:
            return await written
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not written
            # if the gateway ends, the next start finds its execution as one that was interrupted
            _logger.error("not written: %s", type(error).__name__)
            return _REFUSED if is_of_value(error) else _UNWRITTEN

    def _ended(self, end: endings.End, outcome: Outcome, written: asyncio.Future[Any]) -> None:
        self._unwritten.discard(written)
        error = written.exception()
        if error is None:
            self._tell(end, outcome, written.result())
            return
        _logger.error("not written: %s", type(error).__name__)
        if is_of_value(error):
            self._write_later(self._end_bare(end))

    async def _end_bare(self, end: endings.End) -> None:
        """End an execution of whose end the database does not take something."""
        bare = end.without_what_was_refused()
        # the results may be what it does not take
        for last in (bare, bare._replace(results=None)):
            linked = await self._write(self._writer.put(last, insistent=True))
            if linked is not _REFUSED:
                break
        if linked is not _REFUSED and linked is not _UNWRITTEN:
            self._tell(end, Outcome(unavailable=endings.NOT_TAKEN), linked)

    def _tell(self, end: endings.End, outcome: Outcome, linked: Accepted | None) -> None:
        """Tell who waits for an execution whose end is on disk, and the actor that is linked."""
        execution_id = end.end.execution["id"]
        if outcome.result is not None and execution_id not in self._waiting:
            # who waited has gone, and may ask for it later
            self.write(self._results_of(end, [outcome.result]))
        self.announce(execution_id, outcome)
        if linked is not None:
            self.deliver(linked)

    def _results_of(self, end: endings.End, bodies: list[bytes]) -> executions.Results:
        seconds = self._limits.result_seconds
        return executions.Results(end.end.execution["id"], end.actor["id"], tuple(bodies), seconds)

    def _mailbox(self, actor_id: str) -> Mailbox:
        found = self._mailboxes.get(actor_id)
        if found is None:
            found = self._mailboxes[actor_id] = Mailbox()
        return found

    def _following(self, actor_id: str, entry: Entry) -> list[Entry]:
        """Return messages that are not in memory, among those that come after one that runs."""
        following = self._mailbox(actor_id).following(entry, _READ_AHEAD)
        return [each for each in following if each.message is None]

    def _read(self, sequence: int, ahead: list[int], room: int) -> dict[int, Message]:
        """Return a message, and of others as many as there is room for."""
        wanted = [sequence]
        with self._database.read() as tx:
            sizes = executions.sizes_at(tx, ahead) if ahead else {}
            for each in ahead:
                room -= sizes.get(each, 0) + _OVERHEAD_BYTES
                if room < 0:
                    break
                wanted.append(each)
            return executions.messages_at(tx, wanted)

    def _has_room(self, message: Message, most: int) -> bool:
        """Tell whether a message may be in memory, if there are at most so many bytes then."""
        return self._kept_bytes + len(message.body) + _OVERHEAD_BYTES <= most

    def _keep(self, entry: Entry, message: Message) -> None:
        """Let a message that waits be in memory."""
        self._kept_bytes += len(message.body) + _OVERHEAD_BYTES
        entry.message = message

    def _let_go(self, entry: Entry) -> None:
        if entry.message is not None:
            self._kept_bytes -= len(entry.message.body) + _OVERHEAD_BYTES
            entry.message = None
