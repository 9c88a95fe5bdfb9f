"""Group commit: all that arrives while a transaction is being written goes into the next one.

One commit, and with it one wait for the disk, serves everybody who waits, however many they are.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InvalidRequestError,
    SQLAlchemyError,
    StatementError,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from abaco.store.database import Database

MAX_BATCH = 512
"""Operations in one transaction."""
RETRY_SECONDS = 1.0
IDLE_SECONDS = 1.0
"""After which a connection is tried before it is used again: a server may have ended it meanwhile."""

_logger = logging.getLogger(__name__)


class Operation(Protocol):
    """Something to be written: a small value, of a kind that knows how to write many of it."""

    @classmethod
    def write(cls, tx: Connection, operations: Sequence[Any]) -> Iterable[Any]:
        """Write operations of this kind; return the result of each, in their order.

        An error means that none of them was written.
        """


class _Waiting(NamedTuple):
    operation: Operation
    done: asyncio.Future[Any]
    insistent: bool


class _Outcome(NamedTuple):
    done: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """The thread that writes operations, in the order in which they were given.

    Those that have to be written are tried again until they are, and those behind them that have to
    be written, too, wait for them. One with a value that the database will never take fails at once.

    Args:
        database: of the platform.
        loop: in which those who wait are.
    """

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._left: list[_Waiting] = []
        """what has to be written, and could not be yet"""
        self._connection: Connection | None = None
        self._used = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="abaco-writer", daemon=True)
        self._thread.start()

    def put(self, operation: Operation, *, insistent: bool = False) -> asyncio.Future[Any]:
        """Give an operation; its future is done when it is on disk, or has failed.

        The future's error, a `SQLAlchemyError` unless the operation has a value that cannot be
        written, means: the operation is not written, or whether it is, is not known.

        Args:
            operation: to be written.
            insistent: whether it is tried again until it is written, the writer is closed, or
                it is clear that the database will never take it.
        """
        waiting = _Waiting(operation, self._loop.create_future(), insistent)
        if self._closed:
            waiting.done.set_exception(InvalidRequestError("the writer is closed"))
        else:
            self._queue.put(waiting)
        return waiting.done

    async def close(self) -> None:
        """Write what was given, and end."""
        self._closed = True
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._batch()
            outcomes = self._write(batch) if batch else []
            if not ended:
                outcomes = self._keep(batch, outcomes)
            if outcomes:
                # one call, so that a batch wakes the loop once
                self._loop.call_soon_threadsafe(_tell, outcomes)
        self._disconnect()

    def _batch(self) -> tuple[list[_Waiting], bool]:
        """Wait for an operation; return it with all that wait behind it, and whether that is the end.

        What is left of earlier ones comes first; it does not wait for others for long.
        """
        batch, self._left = self._left, []
        try:
            following = self._queue.get(timeout=RETRY_SECONDS if batch else None)
            while following is not None:
                batch.append(following)
                if len(batch) >= MAX_BATCH:
                    return batch, False
                following = self._queue.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _keep(self, batch: list[_Waiting], outcomes: list[_Outcome]) -> list[_Outcome]:
        """Keep what has to be written and is not; return the outcomes of the others."""
        told: list[_Outcome] = []
        for waiting, outcome in zip(batch, outcomes, strict=True):
            error = outcome.error
            if error is not None and waiting.insistent and not is_of_value(error):
                self._left.append(waiting)
            else:
                told.append(outcome)
        if self._left:
            _logger.error("not written yet: %d operations", len(self._left))
        return told

    def _write(self, batch: list[_Waiting]) -> list[_Outcome]:
        try:
            return self._transact(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            self._disconnect()
            if len(batch) == 1 or not is_of_value(error):
                return [_Outcome(waiting.done, None, error) for waiting in batch]
        # one that cannot be written fails alone
        return [outcome for waiting in batch for outcome in self._write([waiting])]

    def _disconnect(self) -> None:
        """Let go of the connection, which may be the reason of an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()

    def _transact(self, batch: list[_Waiting]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        if time.monotonic() - self._used > IDLE_SECONDS:
            # the next one is tried before it is lent, if it was idle as well
            self._disconnect()
        if self._connection is None:
            self._connection = self._database.writing_connection()
        tx = self._connection
        with self._database.write_on(tx):
            for kind, group in itertools.groupby(batch, lambda waiting: type(waiting.operation)):
                waiting = list(group)
                results = kind.write(tx, [each.operation for each in waiting])
                outcomes += [
                    _Outcome(each.done, result)
                    for each, result in zip(waiting, results, strict=True)
                ]
        self._used = time.monotonic()
        return outcomes


def is_of_value(error: BaseException) -> bool:
    """Tell whether an error is about what was to be written, rather than about the database.

    What was to be written will never be taken then. Everything else may pass.
    """
    if not isinstance(error, SQLAlchemyError):
        # drivers raise others for values that they cannot pass on
        return True
    return isinstance(error, IntegrityError | DataError) or type(error) is StatementError


def _tell(outcomes: list[_Outcome]) -> None:
    for done, result, error in outcomes:
        if done.done():
            continue
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
