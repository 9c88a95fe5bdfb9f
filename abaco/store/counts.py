"""How many executions there are, counted again and again while they become ever more."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import case, func, literal_column, select

from abaco.store.executions import UNFINISHED
from abaco.store.tables import actors, executions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

MARGIN = 10_000
"""Of the newest executions, which are counted each time: in PostgreSQL, one may be seen after later ones."""


class ExecutionCounts:
    """The number of executions of each actor by status, for all threads.

    What has ended stays as it is. So what is before the first execution that has not is counted once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled: Counter[tuple[str, str]] = Counter()
        self._last = 0
        """the sequence up to which all are among these"""

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
        number = executions.c.sequence
        with self._lock:
            last = max(self._last, _settled(tx))
            settled = func.sum(case((number <= last, 1), else_=0))
            actor: ColumnElement[str] = executions.c.actor_id
            if self._last:
                # by no column of the index: SQLite would read all of it, rather than what is beyond the bound
                actor = actor.concat(literal_column("''")).label("actor")
            key = (actor, executions.c.status)
            query = select(*key, func.count(), settled).group_by(*key)
            bounded = query.where(number > self._last) if self._last else query
            rows = [
                ((str(of), str(status)), int(every), int(old))
                for of, status, every, old in tx.execute(bounded)
            ]
            found = self._settled + Counter({each: every for each, every, _ in rows})
            self._settled.update({each: old for each, _, old in rows if old})
            self._last = last
        return found


def _settled(tx: Connection) -> int:
    """Return a sequence up to which everything has ended."""
    number = executions.c.sequence
    newest = tx.scalar(select(func.max(number))) or 0
    first = tx.scalar(
        select(func.min(number)).where(
            executions.c.actor_id.in_(select(actors.c.id)), executions.c.status.in_(UNFINISHED)
        )
    )
    return max(0, min(newest - MARGIN, newest if first is None else first - 1))
