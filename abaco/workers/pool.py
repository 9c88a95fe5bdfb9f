"""The engine `local`: all workers in this process, made for actors, woken for messages, ended with their actors."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from abaco.exceptions import ServerError, SettingsError
from abaco.images import load_images
from abaco.store import actors, executions, leases, locks
from abaco.workers import scaling, statuses, threads
from abaco.workers.admission import NotAdmitted
from abaco.workers.container_maker import ContainerMaker
from abaco.workers.environment import GATEWAY
from abaco.workers.grants import Grants
from abaco.workers.mailboxes import Mailboxes
from abaco.workers.processes import end_left
from abaco.workers.protocol import Ahead, Counts, Outcome, WorkerFacts
from abaco.workers.worker import Worker, end_all
from abaco.workers.workspace import prefix, remove_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from abaco.images import Image
    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.store.executions import Accepted, Submission
    from abaco.store.rows import Actor, Identity, Queued
    from abaco.throttling import Throttle
    from abaco.workers.containers import Container
    from abaco.workers.mailbox import Entry

STOPPED = "the execution was stopped on request"
_ABORT_SECONDS = 5.0
_RETIRE_SECONDS = 20.0
_RETRY_SECONDS = 1.0
GROW_SECONDS = 0.5
"""An actor that may have another worker has one when its oldest message has stayed the oldest for so long."""

_logger = logging.getLogger(__name__)


class Pool:
    """The mailboxes and workers of all actors; used from the event loop only.

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
        self.database = database
        self.limits = settings.limits
        self.data = settings.data
        self._settings = settings
        self._containers = ContainerMaker(settings)
        self.grants = Grants()
        self._api_server = api_server
        self.mailboxes = Mailboxes(database, settings.limits, throttle, self.wake)
        self._only = locks.Lock(database, locks.ONLY_GATEWAY)
        self._workers: dict[str, list[Worker]] = {}
        self._growing: dict[str, tuple[Actor, Image, int]] = {}
        """the actors that may have further workers, and how many"""
        self._watched: set[str] = set()
        """those of them whose oldest message is looked at soon"""
        self._adopting = asyncio.Lock()
        self._reviving: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._known_images: Mapping[str, Image] | None = None

    # For the gateway

    async def start(self) -> None:
        """Put back what an earlier gateway was doing, and make the workers of all actors.

        An actor that was being deleted is gone then.

        Raises:
            ServerError: another gateway uses the database, or a fleet does.
        """
        others = await threads.run(self._others)
        if others:
            await threads.run(self._only.release)
            message = (
                f"{others} using the platform's database: stop it, or let several share it "
                "(engine in the configuration, see docs/fleet.md)"
            )
            raise ServerError(message)
        found, waiting = await threads.run(self._recover)
        self.mailboxes.load(waiting)
        for actor in found:
            await self.adopt(actor["id"])

    async def stop(self) -> None:
        """End all workers; what is still running after some seconds goes back into the mailbox."""
        self._stopping = True
        workers = [worker for each in self._workers.values() for worker in each]
        await end_all(workers, _ABORT_SECONDS)
        if workers:
            await asyncio.wait({worker.task for worker in workers})
        await self.mailboxes.close(_ABORT_SECONDS)
        await threads.run(self._only.release)

    async def leads(self) -> bool:
        """Tell whether this is the only gateway, which also after its database was away it is."""
        return not self.database.is_shared or await threads.run(self._only.take)

    # For the API

    def wake(self, actor_id: str) -> None:
        """Say that an actor has a new message; one without a worker gets one for it."""
        workers = self._workers.get(actor_id, ())
        for worker in workers:
            worker.wake()
        if actor_id not in self._reviving and all(worker.retired for worker in workers):
            reviving = asyncio.get_running_loop().create_task(self._revive(actor_id))
            self._reviving[actor_id] = reviving
            reviving.add_done_callback(lambda _: self._reviving.pop(actor_id))
        if actor_id in self._growing and actor_id not in self._watched:
            self._watch(actor_id, None)

    async def adopt(self, actor_id: str) -> None:
        """Let an actor have the workers that it should have; replace those of earlier revisions."""
        async with self._adopting:
            actor = await threads.run(self._get, actor_id)
            if actor is None or actor["status"] == actors.SHUTTING_DOWN:
                self.mailboxes.empty(actor_id)
                return
            try:
                image = await threads.run(statuses.image_of, self.database, self._settings, actor)
            except statuses.UNUSABLE as error:
                await self._set_status(actor_id, actors.ERROR, str(error))
                return
            except NotAdmitted as error:
                for worker in self._workers.get(actor_id, ()):
                    worker.retire()
                reason = f"{error} Let one of them update the actor."
                await self._set_status(actor_id, actors.ERROR, reason)
                return
            if self._stopping:
                return
            ready = next((worker for worker in self._staff(actor, image) if worker.is_ready), None)
            if ready is not None:
                # of the others, each says so when it is
                await self.ready(ready)

    async def follow_images(self) -> None:
        """End the workers of actors that the file of images, if it has changed, no longer admits."""
        images = await threads.run(self._images)
        if images == self._known_images:
            return
        self._known_images = images
        for actor_id in await threads.run(self._no_longer_admitted, list(self._workers)):
            await self.adopt(actor_id)

    async def dismiss(self, actor_id: str) -> None:
        """End the workers of an actor that is deleted; wait for what they are doing, up to 20 s."""
        async with self._adopting:
            workers = self._workers.pop(actor_id, [])
            self._growing.pop(actor_id, None)
            self.mailboxes.empty(actor_id)
        await end_all(workers, _RETIRE_SECONDS)
        # what has ended is on disk before the rest is given up
        await self.mailboxes.written(_ABORT_SECONDS)

    async def retire(self, actor_id: str, worker_id: str) -> None:
        """End one worker of an actor after its current message."""
        for worker in self._workers.get(actor_id, ()):
            if worker.id == worker_id:
                worker.retire()

    def image_of(self, actor_id: str) -> Image | None:
        """Return what the workers of an actor run; None where there is no worker."""
        for worker in reversed(self._workers.get(actor_id, ())):
            if not worker.retired:
                return worker.image
        return None

    async def workers_of(self, actor_id: str) -> list[WorkerFacts]:
        """Return the workers of an actor."""
        found = self._workers.get(actor_id, ())
        return [worker.facts for worker in found if not worker.task.done()]

    async def submit(
        self,
        submission: Submission,
        *,
        answered: bool = False,
        watch: Callable[[str], None] = lambda _: None,
    ) -> tuple[str, asyncio.Future[Outcome] | None] | None:
        """Accept a message; return when it is on disk."""
        workers = self._workers.get(submission.actor_id, ())
        awaited = any(worker.is_waiting for worker in workers)
        return await self.mailboxes.submit(
            submission, answered=answered, awaited=awaited, watch=watch
        )

    def forget(self, execution_id: str, future: asyncio.Future[Outcome]) -> None:
        """Drop a future, whether it is done or not."""
        self.mailboxes.forget(execution_id, future)

    async def ahead_of(self, submission: Submission) -> Ahead | None:
        """Return the message that could not be handled yet, and that another has to wait for."""
        return self.mailboxes.ahead_of(submission)

    def deliver(self, accepted: Accepted) -> None:
        """Let a message that is on disk be run."""
        self.mailboxes.deliver(accepted)

    async def purge(self, actor_id: str) -> None:
        """Drop the messages that wait for an actor."""
        await self.mailboxes.purge(actor_id)

    async def drop_postponed(self, actor_id: str, execution_id: str) -> bool:
        """Drop a message that could not be handled yet; tell whether there was one."""
        return await self.mailboxes.drop_postponed(actor_id, execution_id)

    def announce(self, execution_id: str, outcome: Outcome) -> None:
        """Tell who waits for an execution what came of it."""
        self.mailboxes.announce(execution_id, outcome)

    async def stop_execution(self, execution_id: str) -> bool:
        """Force an execution to end; tell whether it was running."""
        worker = self._find_running(execution_id)
        if worker is not None:
            worker.stop(STOPPED)
        return worker is not None

    async def write_down(self, execution_id: str) -> bool:
        """Have an execution on disk that runs before it is there; tell whether there was one."""
        return await self.mailboxes.write_down(execution_id)

    async def live_log(self, execution_id: str) -> str | None:
        """Return what a running execution has written so far."""
        worker = self._find_running(execution_id)
        return None if worker is None or worker.running is None else worker.running.log.text

    async def counts(self) -> Counts:
        """Count what waits and what runs."""
        busy = sum(worker.is_busy for each in self._workers.values() for worker in each)
        return Counts(self.mailboxes.postponed(), busy)

    def granted(self, token: str) -> Identity | None:
        """Return who acts with the token of an execution."""
        return self.grants.find(token)

    # For the workers

    def api_server(self, tenant: str) -> str:
        """Return the base URL that an actor of a tenant is told."""
        return self._api_server(tenant)

    def container(self, image: Image, worker_id: str) -> Container:
        """Return what runs the messages of a worker in containers."""
        return self._containers.make(image, worker_id)

    async def ready(self, worker: Worker) -> None:
        """Set the actor of a worker READY."""
        await self._set_status(worker.actor_id, actors.READY, " ", worker.revision)

    async def failed(self, worker: Worker, reason: str) -> None:
        """Set the actor of a worker ERROR; it starts again if it was wanted since the worker began to."""
        _logger.error("actor %s: %s", worker.actor_id, reason)
        await self._set_status(worker.actor_id, actors.ERROR, reason, worker.revision)
        worker.retire()
        if worker.asked_again:
            self.wake(worker.actor_id)

    def _staff(self, actor: Actor, image: Image) -> list[Worker]:
        """Let workers of an actor go on, end others, and make those that are missing; return the first."""
        mine = self._workers.setdefault(actor["id"], [])
        mine[:] = [worker for worker in mine if not worker.task.done()]
        target = scaling.target_of(
            actor, image, most=self.limits.workers, cores=os.cpu_count() or 1
        )
        current = scaling.staying(mine, target)
        for worker in current:
            worker.wake()
        for worker in mine:
            if worker not in current:
                worker.retire()
        before = () if target.stateless else [worker.task for worker in mine]
        for _ in range(len(current), target.workers):
            mine.append(Worker(actor, image, self, after=before))
        self._growing.pop(actor["id"], None)
        more = target.most - max(target.workers, len(current))
        if more > 0:
            self._growing[actor["id"]] = actor, image, more
        return current

    def _watch(self, actor_id: str, before: Entry | None) -> None:
        """Give an actor a further worker if its oldest message is one that was it before; look again soon."""
        self._watched.discard(actor_id)
        if self._stopping or actor_id not in self._growing:
            return
        oldest = self.mailboxes.oldest(actor_id)
        if oldest is None:
            return
        if oldest is before:
            self._grow(actor_id)
        self._watched.add(actor_id)
        asyncio.get_running_loop().call_later(GROW_SECONDS, self._watch, actor_id, oldest)

    def _grow(self, actor_id: str) -> None:
        actor, image, more = self._growing.pop(actor_id)
        self._workers[actor_id].append(Worker(actor, image, self))
        if more > 1:
            self._growing[actor_id] = actor, image, more - 1

    def _find_running(self, execution_id: str) -> Worker | None:
        for each in self._workers.values():
            for worker in each:
                running = worker.running
                if running is not None and running.claim.execution["id"] == execution_id:
                    return worker
        return None

    async def _revive(self, actor_id: str) -> None:
        while not self._stopping:
            try:
                await self.adopt(actor_id)
            except SQLAlchemyError as error:
                _logger.error("actor %s: no worker yet: %s", actor_id, type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _set_status(
        self, actor_id: str, status: str, reason: str, revision: int | None = None
    ) -> None:
        """Write down a status, however often that takes."""
        linked = await statuses.write_until_written(
            self.database,
            self._api_server,
            actor_id,
            status,
            reason,
            revision,
            goes_on=lambda: not self._stopping,
        )
        if linked is not None:
            self.mailboxes.deliver(linked)

    # What is done with the database and files, in threads

    def _others(self) -> str:
        """Return who else uses the database, if anybody does."""
        taken = self._only.take()
        if not self.database.is_shared:
            return ""
        with self.database.read() as tx:
            if not taken:
                is_fleet = locks.is_free(tx, locks.ONLY_GATEWAY)
                return "a fleet of gateways and nodes is" if is_fleet else "another gateway is"
            # a node that was killed leaves processes that end what they run
            return "a process of a node is still" if leases.is_any_good(tx) else ""

    def _recover(self) -> tuple[list[Actor], Iterable[Queued]]:
        ended = end_left(GATEWAY, prefix(self.data)) + self._containers.remove_left()
        remove_left(self.data)
        with self.database.write() as tx:
            left = executions.recover(tx)
            if left:
                _logger.warning(
                    "%d executions were interrupted and start again; processes ended: %d",
                    left,
                    ended,
                )
            for actor in actors.everywhere(tx):
                if actor["status"] == actors.SHUTTING_DOWN:
                    executions.abandon(tx, actor["id"])
                    actors.remove(tx, actor)
            return actors.everywhere(tx), executions.in_mailboxes(tx)

    def _get(self, actor_id: str) -> Actor | None:
        with self.database.read() as tx:
            return actors.get(tx, actor_id)

    def _images(self) -> Mapping[str, Image] | None:
        try:
            return load_images(*self._settings.images_files)
        except SettingsError:
            return None

    def _no_longer_admitted(self, actor_ids: Iterable[str]) -> list[str]:
        found = [actor for actor_id in actor_ids if (actor := self._get(actor_id)) is not None]
        return statuses.no_longer_admitted(self.database, self._settings, found)
