"""What requests ask the database again and again: kept in memory until it may have changed.

A write of this process drops all answers before it returns. What another process writes, for
instance `python -m abaco token revoke`, counts at most `SECONDS` later.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from abaco.store import tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    T = TypeVar("T")

SECONDS = 1.0
MAX_ANSWERS = 10_000
SOURCES = frozenset(
    (
        tables.actors,
        tables.aliases,
        tables.configs,
        tables.nonces,
        tables.permissions,
        tables.tokens,
    )
)
"""The tables that answers come from."""
COUNTS = "counts"
"""An execution option of statements that change nothing in them but a number of uses."""


class NotKnown(Exception):
    """The answer is not in memory: the database has to be asked."""


class Known:
    """The answers to queries, by what was asked; for all threads.

    An answer of None is not kept: who asks for what is not there fills no memory. A record that is
    returned is shared, and must not be changed.

    Args:
        read: opens a transaction that reads.
    """

    def __init__(self, read: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._answers: dict[tuple[Any, ...], tuple[float, Any]] = {}
        self._generation = 0

    def recall(self, query: Callable[..., T], *args: Any) -> T:
        """Return the answer to a query from memory.

        Raises:
            NotKnown: it is not there, or too old.
        """
        kept = self._answers.get((query, *args))
        if kept is None or kept[0] < time.monotonic():
            raise NotKnown
        answer: T = kept[1]
        return answer

    def ask(self, query: Callable[..., T], *args: Any) -> T:
        """Return the answer to a query, from the database if need be.

        Args:
            query: a function of a transaction and the arguments.
            args: hashable.
        """
        try:
            return self.recall(query, *args)
        except NotKnown:
            generation = self._generation
        until = time.monotonic() + SECONDS
        with self._read() as tx:
            answer = query(tx, *args)
        if answer is not None:
            with self._lock:
                # what was read before a change is not kept after it
                if generation == self._generation:
                    if len(self._answers) >= MAX_ANSWERS:
                        self._answers.clear()
                    self._answers[(query, *args)] = (until, answer)
        return answer

    def forget(self) -> None:
        """Drop all answers."""
        with self._lock:
            self._generation += 1
            self._answers.clear()
