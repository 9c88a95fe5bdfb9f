"""How many executions there are, counted again and again while they become ever more."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import case, func, literal_column, select

from abaco.store.executions import UNFINISHED, unfinished
from abaco.store.tables import executions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection

MARGIN = 10_000
"""Of the newest executions, which are counted each time: in PostgreSQL, one may be seen after later ones."""
_AT_ONCE = 500
"""How many are looked at by their sequences in one statement."""


class ExecutionCounts:
    """The number of executions of each actor by status, for all threads.

    What has ended stays as it is, and is counted once. What has not is looked at each time: a message
    may wait without end, and those that came after it are not counted again because of that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled: Counter[tuple[str, str]] = Counter()
        self._open: set[int] = set()
        """the sequences that had not ended when they were counted, and are not among the settled"""
        self._last = 0
        """the sequence up to which all are among these or those"""

    def by_status(self, tx: Connection) -> dict[str, int]:
        """Return how many executions have each status."""
        found: Counter[str] = Counter()
        for (_, status), number in self._read(tx).items():
            found[status] += number
        return dict(found)

    def of_actor(self, tx: Connection, actor_id: str) -> int:
        """Return how many executions an actor has."""
        return sum(number for (each, _), number in self._read(tx).items() if each == actor_id)

    def _read(self, tx: Connection) -> Counter[tuple[str, str]]:
        with self._lock:
            newest = tx.scalar(select(func.max(executions.c.sequence))) or 0
            last = max(self._last, newest - MARGIN)
            recent = self._count_recent(tx, last)
            waiting = _waiting(tx, last)
            self._settle([each for each in self._open if each not in waiting], tx)
            found = self._settled + Counter({each: every for each, every, _ in recent})
            found.update(each for number, each in waiting.items() if number <= self._last)
            left = {number for number in waiting if number > self._last}
            # one that has ended since it was counted is left to the next time
            if len(left) == sum(old for (_, status), _, old in recent if status in UNFINISHED):
                self._settled.update(
                    {each: old for each, _, old in recent if old and each[1] not in UNFINISHED}
                )
                self._open |= left
                self._last = last
        return found

    def _count_recent(self, tx: Connection, last: int) -> list[tuple[tuple[str, str], int, int]]:
        """Count what is not known yet, by actor and status; and how many of it are up to a sequence."""
        number = executions.c.sequence
        actor: ColumnElement[str] = executions.c.actor_id
        if self._last:
            # by no column of the index: SQLite would read all of it, rather than what is beyond the bound
            actor = actor.concat(literal_column("''")).label("actor")
        key = (actor, executions.c.status)
        old = func.sum(case((number <= last, 1), else_=0))
        query = select(*key, func.count(), old).group_by(*key)
        bounded = query.where(number > self._last) if self._last else query
        return [
            ((str(of), str(status)), int(every), int(old))
            for of, status, every, old in tx.execute(bounded)
        ]

    def _settle(self, ended: Sequence[int], tx: Connection) -> None:
        """Count what has ended of what had not."""
        for first in range(0, len(ended), _AT_ONCE):
            some = ended[first : first + _AT_ONCE]
            query = select(executions.c.actor_id, executions.c.status).where(
                executions.c.sequence.in_(some)
            )
            self._settled.update((str(of), str(status)) for of, status in tx.execute(query))
            self._open.difference_update(some)


def _waiting(tx: Connection, last: int) -> dict[int, tuple[str, str]]:
    """Return the actor and status of what has not ended, up to a sequence."""
    query = select(executions.c.sequence, executions.c.actor_id, executions.c.status).where(
        *unfinished(*UNFINISHED), executions.c.sequence <= last
    )
    return {int(number): (str(of), str(status)) for number, of, status in tx.execute(query)}
