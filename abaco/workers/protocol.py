"""What runs the messages of actors: what the gateway asks of it, and what a worker asks of it.

`local` is the pool of workers in the gateway's own process; `celery` has them on other machines. Everything
else in the gateway knows this protocol only.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable, Iterator

    from abaco.images import Image
    from abaco.store import executions
    from abaco.store.executions import Accepted, Message
    from abaco.store.rows import Begun, Identity
    from abaco.store.writer import Operation
    from abaco.workers import endings
    from abaco.workers.mailbox import Entry


class Outcome(NamedTuple):
    """What somebody who waits for an execution is told.

    Attributes:
        result: its first result; None if there is none, or it has to be asked for.
        log: what it wrote.
        unavailable: why it could not be handled, empty if it was.
        due: if it is tried again, in how many seconds.
        dropped: whether it will never run.
    """

    result: bytes | None = None
    log: str = ""
    unavailable: str = ""
    due: float | None = None
    dropped: bool = False


class Ahead(NamedTuple):
    """A message that could not be handled yet, and that another has to wait for."""

    execution_id: str
    reason: str


class WorkerFacts(NamedTuple):
    """A worker, as the API shows it."""

    id: str
    tenant: str
    image: str
    status: str
    create_time: datetime.datetime
    last_execution_time: datetime.datetime | None
    retired: bool
    location: str = ""
    """of the engine of its containers"""
    cid: str = ""
    """of the container of the present message"""


class Waiting:
    """Those who wait for executions; used from the event loop only."""

    def __init__(self) -> None:
        self._futures: dict[str, list[asyncio.Future[Outcome]]] = {}

    def __contains__(self, execution_id: str) -> bool:
        """Tell whether somebody waits for an execution."""
        return execution_id in self._futures

    def __iter__(self) -> Iterator[str]:
        """Yield the executions that somebody waits for."""
        return iter([*self._futures])

    def add(self, execution_id: str) -> asyncio.Future[Outcome]:
        """Return a future that is done when the end of an execution is on disk, from now on."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(execution_id, []).append(future)
        return future

    def tell(self, execution_id: str, outcome: Outcome) -> None:
        """Tell who waits for an execution what came of it."""
        for future in self._futures.pop(execution_id, ()):
            if not future.done():
                future.set_result(outcome)

    def forget(self, execution_id: str, future: asyncio.Future[Outcome]) -> None:
        """Drop a future, whether it is done or not."""
        left = [other for other in self._futures.pop(execution_id, ()) if other is not future]
        if left:
            self._futures[execution_id] = left

    def close(self) -> None:
        """Tell all who wait that the gateway ends."""
        for futures in self._futures.values():
            for future in futures:
                future.cancel()


class Counts(NamedTuple):
    """How many messages could not be handled yet, and how many workers run one."""

    postponed: int
    busy: int


class Engine(Protocol):
    """Runs the messages of all actors; used from the event loop only."""

    async def start(self) -> None:
        """Begin.

        Raises:
            ServerError: it cannot, since something that it needs is in use or away.
        """

    async def stop(self) -> None:
        """End; who waits for an execution is told that the gateway ends."""

    async def leads(self) -> bool:
        """Tell whether this gateway does what one of all gateways does."""

    async def adopt(self, actor_id: str) -> None:
        """Take notice of an actor that is new, or described again."""

    async def dismiss(self, actor_id: str) -> None:
        """Run no more messages of an actor that is deleted; wait for those that run, up to 20 s."""

    async def follow_images(self) -> None:
        """Run no more messages of actors that the file of images, if it has changed, does not admit."""

    def image_of(self, actor_id: str) -> Image | None:
        """Return what the workers of an actor run; None where that is not known."""

    async def workers_of(self, actor_id: str) -> list[WorkerFacts]:
        """Return the workers of an actor."""

    async def retire(self, actor_id: str, worker_id: str) -> None:
        """End one worker of an actor after its current message."""

    async def submit(
        self,
        submission: executions.Submission,
        *,
        answered: bool = False,
        watch: Callable[[str], None] = lambda _: None,
    ) -> tuple[str, asyncio.Future[Outcome] | None] | None:
        """Accept a message; return when it is on disk.

        One whose sender waits may run before that: then its sender is told when its end is on disk.

        Args:
            submission: the message.
            answered: whether the sender waits for what comes of it.
            watch: is told the id of its execution before that can run.

        Returns:
            The execution's id, and a future for a sender who waits; None if there is no such actor.

        Raises:
            SQLAlchemyError: it is not accepted.
        """

    def forget(self, execution_id: str, future: asyncio.Future[Outcome]) -> None:
        """Drop a future, whether it is done or not."""

    async def ahead_of(self, submission: executions.Submission) -> Ahead | None:
        """Return the message that could not be handled yet, and that another has to wait for."""

    def deliver(self, accepted: Accepted) -> None:
        """Let a message that is on disk be run."""

    def wake(self, actor_id: str) -> None:
        """Say that an actor has messages that wait."""

    async def purge(self, actor_id: str) -> None:
        """Drop the messages that wait for an actor; their executions end in status ERROR.

        Raises:
            SQLAlchemyError: it is not written.
        """

    async def drop_postponed(self, actor_id: str, execution_id: str) -> bool:
        """Drop a message that could not be handled yet; tell whether there was one.

        Raises:
            SQLAlchemyError: it is not written.
        """

    def announce(self, execution_id: str, outcome: Outcome) -> None:
        """Tell who waits for an execution what came of it."""

    async def stop_execution(self, execution_id: str) -> bool:
        """Force an execution to end; tell whether it was running."""

    async def write_down(self, execution_id: str) -> bool:
        """Have an execution on disk that runs before it is there; tell whether there was one."""

    async def live_log(self, execution_id: str) -> str | None:
        """Return what a running execution has written so far; None where the store has it."""

    async def counts(self) -> Counts:
        """Count what waits and what runs."""

    def granted(self, token: str) -> Identity | None:
        """Return who acts with the token of an execution that runs here."""


class MessageSource(Protocol):
    """Where a worker finds its next message, and leaves what becomes of it."""

    def take(self, actor_id: str, most: int, may_join: Callable[[Entry], bool]) -> list[Entry]:
        """Return the next message of an actor, or several that may run together, running then."""

    async def read(self, actor_id: str, entry: Entry) -> Message | None:
        """Return a message that is not in memory; None if it is not there.

        Raises:
            SQLAlchemyError: the database does not answer.
        """

    def next_due(self, actor_id: str) -> float | None:
        """Return in how many seconds a message may run that may not now."""

    def drop(self, actor_id: str, entry: Entry) -> None:
        """Let a message go that is not there."""

    def put_back(self, actor_id: str, entry: Entry) -> None:
        """Return a message that was interrupted to its place in the mailbox."""

    def give_back(self, actor_id: str, entries: Iterable[Entry]) -> None:
        """Return messages to their places of which nothing was written since they were taken."""

    def postpone(self, actor_id: str, entry: Entry, reason: str) -> None:
        """Return a message that cannot be handled yet to its place in the mailbox."""

    def end(self, end: endings.End, entry: Entry, results: list[bytes], reason: str) -> None:
        """Let a message go whose execution has ended."""

    def begin(self, entry: Entry, beginning: executions.Beginning) -> None:
        """Let a message be seen that runs."""

    def told(self, execution: Begun, result: bytes) -> None:
        """Learn from a result what senders may do."""

    def write(self, operation: Operation) -> None:
        """Write something that nobody waits for, in the order of calls."""

    async def settled(self) -> None:
        """Wait until not too much is left to be written."""


class Grants(Protocol):
    """The access tokens of executions."""

    def create(self, tenant: str, user: str, seconds: float) -> str:
        """Make a token with which an execution acts as a user."""

    def revoke(self, token: str) -> None:
        """End a token; an empty one is none."""
