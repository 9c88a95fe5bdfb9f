"""The engine `celery`, as a gateway sees it: it accepts messages, rings for them, and hears what became of them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from abaco.exceptions import SettingsError
from abaco.images import load_images
from abaco.store import actors, executions, leases, locks, nodes, notices, tables
from abaco.store.writer import Writer
from abaco.workers import statuses, threads
from abaco.workers.admission import NotAdmitted
from abaco.workers.fleet.bell import RUN, Bell, Ring
from abaco.workers.fleet.membership import Membership
from abaco.workers.fleet.sweeper import Sweeper
from abaco.workers.pool import STOPPED
from abaco.workers.protocol import Ahead, Counts, Outcome, Waiting, WorkerFacts
from abaco.workers.worker import BUSY, READY, SHUTTING_DOWN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from abaco.images import Image
    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.store.executions import Accepted, Submission
    from abaco.store.records import Record
    from abaco.store.rows import Identity, Node
    from abaco.throttling import Throttle

_SWEEP_SECONDS = 1.0
_LOOK_SECONDS = 5.0
"""Between looks at the executions that somebody waits for, though nobody has said that they ended."""
_DISMISS_SECONDS = 20.0
_POLL_SECONDS = 0.2
_LEAVE_SECONDS = 15.0
"""In which all nodes have left the queues of an actor that is deleted, also those that were not told."""

_logger = logging.getLogger(__name__)


class Fleet:
    """The messages of all actors, wherever they run; used from the event loop only.

    Args:
        settings: of the gateway.
        database: of the platform.
        api_server: returns the base URL that an actor of a tenant is told.
        throttle: is told the results of executions.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        api_server: Callable[[str], str],
        throttle: Throttle,
    ) -> None:
        self._settings = settings
        self._database = database
        self._api_server = api_server
        self._throttle = throttle
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(database, self._loop)
        self._bell = Bell(settings.broker, f"broker in {settings.file}")
        self._waiting = Waiting()
        self._leader = locks.Lock(database, locks.LEADER)
        self._membership = Membership(database)
        self._sweeper = Sweeper(database, self._bell, api_server, settings.limits.log_seconds)
        self._listener = notices.Listener(database, self._hear)
        self._images: Mapping[str, Image] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin.

        Raises:
            ServerError: a gateway that runs messages itself uses the database.
        """
        await threads.run(self._membership.begin)
        self._listener.start()
        self._begin(self._repeat(lambda: threads.run(self._membership.keep), _SWEEP_SECONDS))
        self._begin(self._repeat(lambda: threads.run(self._sweeper.sweep), _SWEEP_SECONDS))
        self._begin(self._repeat(self._look, _LOOK_SECONDS))

    async def stop(self) -> None:
        """End; who waits for an execution is told that the gateway ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._writer.close()
        self._waiting.close()
        for end in (
            self._listener.stop,
            self._bell.close,
            self._leader.release,
            self._membership.end,
        ):
            await threads.run(end)

    async def leads(self) -> bool:
        """Tell whether this gateway does what one of all gateways does."""
        return await threads.run(self._leader.take)

    async def adopt(self, actor_id: str) -> None:
        """Take notice of an actor that is new, or described again: a node makes it ready."""
        linked = await threads.run(self._adopt, actor_id)
        if linked is not None:
            self.deliver(linked)

    async def dismiss(self, actor_id: str) -> None:
        """Run no more messages of an actor that is deleted; wait for those that run, up to 20 s."""
        await threads.run(self._tell, notices.ACTORS)
        deadline = time.monotonic() + _DISMISS_SECONDS
        while await threads.run(self._runs, actor_id) and time.monotonic() < deadline:  # noqa: ASYNC110 - what is waited for is in the database
            await asyncio.sleep(_POLL_SECONDS)
        self._begin(self._remove_queues(actor_id))

    async def follow_images(self) -> None:
        """Run no more messages of actors that the file of images, if it has changed, does not admit."""
        try:
            images = await threads.run(load_images, *self._settings.images_files)
        except SettingsError:
            return
        if images == self._images:
            return
        self._images = images
        if await self.leads():
            for actor_id in await threads.run(self._no_longer_admitted):
                await self.adopt(actor_id)

    def image_of(self, _actor_id: str) -> Image | None:
        """Return None: what an actor is made of, the file of images says."""
        return None

    async def workers_of(self, actor_id: str) -> list[WorkerFacts]:
        """Return the nodes that run messages of an actor."""
        return await threads.run(self._workers_of, actor_id)

    async def retire(self, actor_id: str, worker_id: str) -> None:
        """Leave a node as it is: it runs messages of many actors."""

    async def submit(
        self,
        submission: Submission,
        *,
        answered: bool = False,
        watch: Callable[[str], None] = lambda _: None,
    ) -> tuple[str, asyncio.Future[Outcome] | None] | None:
        """Accept a message; return when it is on disk.

        Raises:
            SQLAlchemyError: it is not accepted.
        """
        accepted = await self._writer.put(submission)
        if accepted is None:
            return None
        watch(accepted.execution_id)
        ending = self._waiting.add(accepted.execution_id) if answered else None
        self.deliver(accepted)
        return accepted.execution_id, ending

    def forget(self, execution_id: str, future: asyncio.Future[Outcome]) -> None:
        """Drop a future, whether it is done or not."""
        self._waiting.forget(execution_id, future)

    async def ahead_of(self, submission: Submission) -> Ahead | None:
        """Return the message that could not be handled yet, and that another has to wait for."""
        if submission.ordering is None:
            return None
        row = await threads.run(self._ahead_of, submission)
        return None if row is None else Ahead(row["id"], row["reason"] or "")

    def deliver(self, accepted: Accepted) -> None:
        """Let a message that is on disk be run."""
        self._begin(self._deliver(accepted))

    def wake(self, actor_id: str) -> None:
        """Leave it to the sweeper to ring for what waits."""

    async def purge(self, actor_id: str) -> None:
        """Drop the messages that wait for an actor; their executions end in status ERROR.

        Raises:
            SQLAlchemyError: it is not written.
        """
        await threads.run(self._drop, actor_id, None)

    async def drop_postponed(self, actor_id: str, execution_id: str) -> bool:
        """Drop a message that could not be handled yet; tell whether there was one.

        Raises:
            SQLAlchemyError: it is not written.
        """
        return bool(await threads.run(self._drop, actor_id, execution_id))

    def announce(self, execution_id: str, outcome: Outcome) -> None:
        """Tell who waits for an execution what came of it."""
        self._throttle.ended(execution_id)
        self._waiting.tell(execution_id, outcome)

    async def stop_execution(self, execution_id: str) -> bool:
        """Force an execution to end; tell whether it was running."""
        return await threads.run(self._stop_execution, execution_id)

    async def write_down(self, _execution_id: str) -> bool:
        """Return False: what runs was read from the store."""
        return False

    async def live_log(self, _execution_id: str) -> str | None:
        """Return None: what a running execution has written is in the store."""
        return None

    async def counts(self) -> Counts:
        """Count what waits and what runs."""
        return await threads.run(self._counts)

    def granted(self, _token: str) -> Identity | None:
        """Return None: tokens of executions are in the store."""
        return None

    # What is heard

    def _hear(self, notice: notices.Notice) -> None:
        """Take a notice, in the listener's thread."""
        if notice.kind in (notices.CHANGED, notices.MISSED):
            self._database.known.forget()
        if notice.kind == notices.MISSED:
            self._loop.call_soon_threadsafe(lambda: self._begin(self._look()))
        elif notice.kind in (notices.ENDED, notices.POSTPONED):
            self._loop.call_soon_threadsafe(self._heard_of, notice.value)

    def _heard_of(self, execution_id: str) -> None:
        if execution_id in self._waiting or self._throttle.watches(execution_id):
            self._begin(self._find_out([execution_id]))

    async def _look(self) -> None:
        """Find out about all executions that somebody waits for, as notices may be lost."""
        waited_for = {*self._waiting, *self._throttle.watched()}
        if waited_for:
            await self._find_out(waited_for)

    async def _find_out(self, execution_ids: Iterable[str]) -> None:
        for execution_id, outcome, results in await threads.run(self._outcomes, [*execution_ids]):
            for result in results:
                self._throttle.told(execution_id, result)
            if outcome.due is None:
                self.announce(execution_id, outcome)
            else:
                self._waiting.tell(execution_id, outcome)

    async def _remove_queues(self, actor_id: str) -> None:
        """Remove the queues of an actor when no node listens to them any more, or the gateway ends.

        A node that does would lose its connection, with all rings that it has.
        """
        try:
            await asyncio.sleep(_LEAVE_SECONDS)
        finally:
            self._bell.remove(actor_id)

    def _begin(self, work: Awaitable[None]) -> None:
        task = self._loop.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _guarded(work: Awaitable[None]) -> None:
        try:
            await work
        except SQLAlchemyError as error:
            _logger.error("in the background: the database: %s", type(error).__name__)

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._guarded(work())

    # What is done with the database, in threads

    async def _deliver(self, accepted: Accepted) -> None:
        actor_id = accepted.submission.actor_id
        known = self._database.known
        actor = await threads.run(known.ask, actors.get, actor_id)
        if actor is not None:
            self._bell.ring(Ring(RUN, accepted.execution_id, actor_id, bool(actor["stateless"])))

    def _adopt(self, actor_id: str) -> Accepted | None:
        with self._database.write() as tx:
            actor = actors.get(tx, actor_id)
            notices.tell(tx, notices.ACTORS)
        if actor is None or actor["status"] == actors.SHUTTING_DOWN:
            return None
        try:
            statuses.image_of(self._database, self._settings, actor)
        except statuses.UNUSABLE as error:
            reason = str(error)
        except NotAdmitted as error:
            reason = f"{error} Let one of them update the actor."
        else:
            return None
        return statuses.write(self._database, self._api_server, actor_id, actors.ERROR, reason)

    def _no_longer_admitted(self) -> list[str]:
        with self._database.read() as tx:
            found = [actor for actor in actors.everywhere(tx) if actor["status"] == actors.READY]
        return statuses.no_longer_admitted(self._database, self._settings, found)

    def _tell(self, kind: str) -> None:
        with self._database.write() as tx:
            notices.tell(tx, kind)

    def _runs(self, actor_id: str) -> bool:
        with self._database.read() as tx:
            return leases.runs(tx, actor_id)

    def _workers_of(self, actor_id: str) -> list[WorkerFacts]:
        with self._database.read() as tx:
            actor = actors.get(tx, actor_id)
            if actor is None:
                return []
            busy, last = leases.activity_of(tx, actor_id)
            found = [node for node in nodes.present(tx) if actor["queue"] in node["queues"]]
        return [
            WorkerFacts(
                id=node["id"],
                tenant=actor["tenant"],
                image=actor["image"],
                status=_status(node, busy),
                create_time=node["started"],
                last_execution_time=last.get(node["id"]),
                retired=node["draining"],
            )
            for node in found
        ]

    def _ahead_of(self, submission: Submission) -> Record | None:
        with self._database.read() as tx:
            return leases.ahead_of(tx, submission)

    def _drop(self, actor_id: str, execution_id: str | None) -> list[str]:
        columns = tables.executions.c
        conditions = [columns.actor_id == actor_id]
        if execution_id is not None:
            conditions += [columns.id == execution_id, columns.tries > 0]
        with self._database.write() as tx:
            dropped = leases.drop(tx, *conditions)
            for each in dropped:
                notices.tell(tx, notices.ENDED, each)
        return dropped

    def _stop_execution(self, execution_id: str) -> bool:
        with self._database.write() as tx:
            return leases.ask_to_stop(tx, execution_id, STOPPED)

    def _counts(self) -> Counts:
        with self._database.read() as tx:
            return Counts(leases.postponed(tx), leases.held(tx)["held"])

    def _outcomes(self, execution_ids: list[str]) -> list[tuple[str, Outcome, list[bytes]]]:
        found = []
        with self._database.read() as tx:
            for row in leases.states_of(tx, execution_ids):
                reason = row["reason"] or ""
                if row["status"] in executions.ENDED:
                    log = executions.log_of(tx, row["id"])
                    failed = reason if row["exit_code"] else ""
                    dropped = row["final_state"] is None
                    outcome = Outcome(log=log, unavailable=failed, dropped=dropped)
                    found.append((row["id"], outcome, executions.results_of(tx, row["id"])))
                elif row["tries"] and row["delay"] is not None:
                    due = max(0.0, float(row["delay"]))
                    found.append((row["id"], Outcome(unavailable=reason or "-", due=due), []))
        return found


def _status(node: Node, busy: set[str]) -> str:
    if node["draining"]:
        return SHUTTING_DOWN
    return BUSY if node["id"] in busy else READY
