"""The parts of a running gateway, as its requests share them."""

from __future__ import annotations

import asyncio
from concurrent import futures
from typing import TYPE_CHECKING, TypeVar

from abaco.exceptions import Unavailable
from abaco.http.bodies import Bodies
from abaco.http.fairness import KeyedLock, Waiters
from abaco.http.metrics import Metrics, State
from abaco.store import nonces
from abaco.store.counts import ExecutionCounts
from abaco.throttling import Throttle
from abaco.workers.engines import make_engine
from abaco.workers.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from abaco.passes import Passes
    from abaco.readiness import Readiness
    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.workers.protocol import Counts, Engine, WorkerFacts

T = TypeVar("T")
_CALL_SECONDS = 60.0


class Gateway:
    """What is shared by all requests; made in the event loop in which the engine lives.

    Args:
        settings: the configuration.
        database: of the platform.
        address: the base URL at which it listens.
        passes: what parts of this process show in place of an access token.
        readiness: whether messages can be accepted and run.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        address: str,
        passes: Passes,
        readiness: Readiness,
    ) -> None:
        self.passes = passes
        self.readiness = readiness
        self.settings = settings
        self.database = database
        self.address = address
        self.throttle = Throttle()
        self.bodies = Bodies(settings.limits)
        self.sender_locks = KeyedLock()
        self.waiters = Waiters(settings.limits.connections)
        self.engine: Engine = make_engine(settings, database, self.api_server, self.throttle)
        self.metrics = Metrics()
        self.executions = ExecutionCounts()
        state = State(database, self.executions, self.counts, self.readiness)
        self.metrics.register(state)
        self.uses = nonces.Uses()
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def stopping(self) -> bool:
        """Whether it ends."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Say to all parts that it ends."""
        self._stop.set()

    async def stopped(self) -> None:
        """Wait until it ends."""
        await self._stop.wait()

    def api_server(self, tenant: str) -> str:
        """Return the base URL that links and actors of a tenant are told."""
        return self.settings.public_url_of(tenant) or self.address

    # From the threads of endpoints into the event loop

    def wake(self, actor_id: str) -> None:
        """Say that an actor has messages that wait."""
        self._loop.call_soon_threadsafe(self.engine.wake, actor_id)

    def announce_ended(self, execution_ids: list[str]) -> None:
        """Tell who waits for executions that they will never run."""
        dropped = Outcome(dropped=True)
        for execution_id in execution_ids:
            self._loop.call_soon_threadsafe(self.engine.announce, execution_id, dropped)

    def on_loop(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run a coroutine of the engine and wait for it.

        Raises:
            Unavailable: it takes too long, or the gateway ends.
        """
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return running.result(_CALL_SECONDS)
        except (futures.TimeoutError, futures.CancelledError):
            message = "The gateway is busy or stopping: try again later."
            raise Unavailable(message) from None

    def counts(self) -> Counts:
        """Count what waits and what runs."""
        return self.on_loop(self.engine.counts())

    def workers_of(self, actor_id: str) -> list[WorkerFacts]:
        """Return the workers of an actor."""
        return self.on_loop(self.engine.workers_of(actor_id))
