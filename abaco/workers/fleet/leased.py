"""The message of one worker in a process of a node: where it is taken from, and what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from abaco.store import executions, leases, notices
from abaco.store.writer import is_of_value
from abaco.workers import environment, threads
from abaco.workers.fleet.bell import RUN, Ring
from abaco.workers.fleet.sweeper import ring_for
from abaco.workers.mailbox import Entry, delay_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from abaco.store.database import Database
    from abaco.store.leases import Taken
    from abaco.store.rows import Begun
    from abaco.store.writer import Operation
    from abaco.workers import endings
    from abaco.workers.fleet.bell import Bell

SAFE_SECONDS = leases.LEASE_SECONDS - 2.0
"""Without a renewal, a holder counts its lease as lost that much before others may take over."""
_RETRY_SECONDS = 0.5

_Write: TypeAlias = "Callable[[Connection], Iterable[Ring]]"
"""Writes in a transaction what becomes of the message; returns what is to be rung for then."""

_logger = logging.getLogger(__name__)


class LeasedMessage:
    """One message at a time, held by a lease; used from the event loop of a process.

    Args:
        database: of the platform.
        bell: is rung for what follows.
        result_seconds: how long results are kept.
    """

    def __init__(self, database: Database, bell: Bell, result_seconds: int) -> None:
        self._database = database
        self._bell = bell
        self._result_seconds = result_seconds
        self._taken: Taken | None = None
        self._entry: Entry | None = None
        self._renewed = 0.0
        self._lost = False
        self._writes: list[asyncio.Task[None]] = []
        self._settled = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        """Whether another may have taken what is here."""
        return self._lost or time.monotonic() - self._renewed > SAFE_SECONDS

    def put(self, taken: Taken, began: float) -> None:
        """Put a message here.

        Args:
            taken: the execution, with its lease.
            began: when the lease was asked for, by the monotonic clock.
        """
        row, message = taken.row, taken.message
        self._taken, self._renewed, self._lost = taken, began, False
        self._settled.clear()
        waits = message is not None and environment.is_synchronous(message.environment)
        self._entry = Entry(
            row["sequence"],
            row["id"],
            row["sender"] or "",
            row["ordering"],
            message,
            attempts=row["attempts"],
            tries=row["tries"],
            reason=row["reason"] or "",
            fresh=taken.fresh,
            answered=waits and not row["tries"],
        )

    @property
    def taken(self) -> Taken | None:
        """What is here, whether the worker has begun with it or not."""
        return self._taken

    def abandon(self) -> None:
        """Leave the message to the sweeper, since its worker has ended."""
        self._lost = True
        self._finish(lambda _: ())

    async def beat(self, log: str | None, log_seconds: int) -> str:
        """Renew the lease, and let others see the log; return why the execution is to end, or nothing.

        Raises:
            LeaseLost: it is held by nobody, or by another.
        """
        if self._taken is None:
            return ""
        began = time.monotonic()
        beating = threads.run(self._beat, self._taken, log, log_seconds)
        try:
            stop = await asyncio.wait_for(beating, self._renewed + SAFE_SECONDS - began)
        except asyncio.TimeoutError as error:
            # a database that is cut off answers nothing, not even an error
            self._lost = True
            raise leases.LeaseLost from error
        except leases.LeaseLost:
            self._lost = True
            raise
        except SQLAlchemyError as error:
            _logger.error("a lease is not renewed yet: %s", type(error).__name__)
            if self.is_lost:
                raise leases.LeaseLost from error
            return ""
        self._renewed = began
        return stop

    def take(self, actor_id: str, _most: int, _may_join: Callable[[Entry], bool]) -> list[Entry]:
        """Return the message that is here, running then."""
        if self._taken is None or self._taken.row["actor_id"] != actor_id:
            return []
        entry, self._entry = self._entry, None
        return [] if entry is None else [entry]

    async def read(self, _actor_id: str, _entry: Entry) -> None:
        """Return None: what was there was read with the lease."""

    def next_due(self, _actor_id: str) -> float | None:
        """Return None: the bell is rung for what is due."""
        return None

    def drop(self, _actor_id: str, entry: Entry) -> None:
        """Let a message go that is not there."""

        def write(tx: Connection) -> tuple[()]:
            executions.Drop.write(tx, [executions.Drop((entry.execution_id,))])
            return ()

        self._finish(write)

    def put_back(self, _actor_id: str, entry: Entry) -> None:
        """Return a message that was interrupted to its place in the mailbox."""

        def write(tx: Connection) -> list[Ring]:
            self._give_back(tx, entry)
            return [] if self._taken is None else [_ring_again(self._taken)]

        self._finish(write)

    def give_back(self, actor_id: str, entries: Iterable[Entry]) -> None:
        """Return a message to its place of which nothing was written since it was taken."""
        for entry in entries:
            self.put_back(actor_id, entry)

    def postpone(self, _actor_id: str, entry: Entry, reason: str) -> None:
        """Return a message that cannot be handled yet to its place in the mailbox."""
        entry.tries += 1
        entry.reason = reason
        delay = delay_of(entry.tries)

        def write(tx: Connection) -> tuple[()]:
            self._give_back(tx, entry, delay)
            notices.tell(tx, notices.POSTPONED, entry.execution_id)
            return ()

        self._finish(write)

    def end(self, end: endings.End, entry: Entry, results: list[bytes], reason: str) -> None:
        """Let a message go whose execution has ended."""
        kept = executions.Results(
            entry.execution_id, end.actor["id"], tuple(results), self._result_seconds
        )
        end = end._replace(results=kept)

        def conclude(tx: Connection, last: endings.End) -> list[Ring]:
            (linked,) = type(last).write(tx, [last])
            notices.tell(tx, notices.ENDED, entry.execution_id)
            return [] if linked is None else [ring_for(tx, linked)]

        def write(tx: Connection) -> list[Ring]:
            if reason:
                leases.explain(tx, entry.sequence, reason)
            return conclude(tx, end)

        def write_bare(tx: Connection) -> list[Ring]:
            return conclude(tx, end.without_what_was_refused()._replace(results=None))

        self._finish(write, write_bare)

    def told(self, _execution: Begun, _result: bytes) -> None:
        """Leave it to the gateway that has sent the message, which finds results in the store."""

    def begin(self, _entry: Entry, _beginning: executions.Beginning) -> None:
        """Leave it: that an execution runs was written when it was taken."""

    def write(self, operation: Operation) -> None:
        """Write something that nobody waits for, in the order of calls."""

        def write(tx: Connection) -> tuple[()]:
            type(operation).write(tx, [operation])
            return ()

        self._write_later(write)

    async def settled(self) -> None:
        """Wait until what was given is written."""
        await self._settled.wait()

    def _beat(self, taken: Taken, log: str | None, log_seconds: int) -> str:
        with self._database.write() as tx:
            stop = leases.beat(tx, taken.hold)
            if log is not None:
                executions.show_log(tx, taken.row, log, log_seconds)
        return stop

    def _give_back(self, tx: Connection, entry: Entry, delay: float | None = None) -> None:
        leases.give_back(
            tx,
            entry.sequence,
            entry.execution_id,
            entry.attempts,
            entry.tries,
            delay,
            entry.reason,
        )

    def _finish(self, *ways: _Write) -> None:
        """Write what becomes of the message, behind everything else; then it is settled.

        Args:
            ways: to write it. The next one is for when the database will never take what the one before writes.
        """
        self._write_later(*ways, last=True)

    def _write_later(self, *ways: _Write, last: bool = False) -> None:
        before = self._writes[-1] if self._writes else None
        task = asyncio.get_running_loop().create_task(self._write(ways, before, last=last))
        self._writes.append(task)

    async def _write(
        self,
        ways: tuple[_Write, ...],
        before: asyncio.Task[None] | None,
        *,
        last: bool,
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        taken = self._taken
        while ways and taken is not None and not self.is_lost:
            try:
                rings = await threads.run(self._transact, taken, ways[0], last=last)
            except leases.LeaseLost:
                self._lost = True
                _logger.warning(
                    "execution %s was taken by another meanwhile: what is said of it here is dropped",
                    taken.row["id"],
                )
            except Exception as error:  # noqa: BLE001 - drivers raise any for values that they cannot pass on
                if is_of_value(error):
                    row = taken.row["id"]
                    _logger.error("execution %s: not written: %s", row, type(error).__name__)
                    ways = ways[1:]
                else:
                    _logger.error("not written yet: %s", type(error).__name__)
                    await asyncio.sleep(_RETRY_SECONDS)
                continue
            else:
                for ring in rings:
                    self._bell.ring(ring)
            break
        if last:
            self._taken = None
            self._writes.clear()
            self._settled.set()

    def _transact(self, taken: Taken, write: _Write, *, last: bool) -> list[Ring]:
        with self._database.write() as tx:
            leases.check(tx, taken.hold)
            rings = list(write(tx))
            if last:
                row, lane = taken.row, taken.hold.lane
                following = leases.next_in(tx, row["actor_id"], row["ordering"], lane)
                if following is not None:
                    single = lane == row["actor_id"]
                    rings.append(Ring(RUN, following, row["actor_id"], not single))
        return rings


def _ring_again(taken: Taken) -> Ring:
    """Return the ring for a message that was taken and has not ended."""
    row = taken.row
    return Ring(RUN, row["id"], row["actor_id"], taken.hold.lane != row["actor_id"])
