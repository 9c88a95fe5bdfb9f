"""What an execution sends as results, on its way to the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from abaco.store import executions

if TYPE_CHECKING:
    from abaco.settings import Limits
    from abaco.store.rows import Begun
    from abaco.workers.protocol import MessageSource

_STORE_SECONDS = 0.5


class Results:
    """The results of an execution, stored now and then while it runs.

    Args:
        source: takes what is to be written.
        limits: how many are kept, and how long.
        execution: whose they are.
    """

    def __init__(self, source: MessageSource, limits: Limits, execution: Begun) -> None:
        self._source = source
        self._limits = limits
        self._execution = execution
        self._waiting: list[bytes] = []
        self._left = limits.results
        self._stored = False
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, body: bytes) -> None:
        """Take a result, if there is room for one more."""
        self._source.told(self._execution, body)
        if self._left <= 0:
            return
        self._left -= 1
        self._waiting.append(body)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_STORE_SECONDS, self._store)

    def end(self) -> None:
        """Store nothing more by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def rest(self) -> list[bytes]:
        """Return all results at the end of the execution; none if there are some in the store."""
        if self._stored and self._waiting:
            self._store()
        return self._waiting

    def _store(self) -> None:
        self._timer, self._stored = None, True
        bodies, self._waiting = self._waiting, []
        self._source.write(
            executions.Results(
                self._execution["id"],
                self._execution["actor_id"],
                tuple(bodies),
                self._limits.result_seconds,
            )
        )
