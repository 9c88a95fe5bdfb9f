"""All workers: makes them for actors, wakes them for messages, ends them with their actors."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from abaco import events
from abaco.exceptions import SettingsError
from abaco.settings import CONTAINER, NONE, load_images
from abaco.store import actors, executions, registrations
from abaco.workers import admission, threads
from abaco.workers.admission import ImageRefused, NotAdmitted
from abaco.workers.environment import GATEWAY
from abaco.workers.grants import Grants
from abaco.workers.mailboxes import Mailboxes
from abaco.workers.processes import end_left
from abaco.workers.worker import Worker
from abaco.workers.workspace import prefix, remove_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from abaco.settings import Image, Settings
    from abaco.store.database import Database
    from abaco.store.executions import Accepted
    from abaco.store.records import Record
    from abaco.throttling import Throttle
    from abaco.workers.container_engine import Engine
    from abaco.workers.containers import Container

_ABORT_SECONDS = 5.0
_RETIRE_SECONDS = 20.0
_RETRY_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class UnknownImage(Exception):
    """There is no image of that name; the text says where to add it."""


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
        self._engine: Engine | None = None
        if settings.containers.engine != NONE:
            from abaco.workers.container_engine import Engine  # noqa: PLC0415 - most gateways do without

            self._engine = Engine(settings.containers, prefix(settings.data))
        self.grants = Grants()
        self._api_server = api_server
        self.mailboxes = Mailboxes(database, settings.limits, throttle, self.wake)
        self._workers: dict[str, list[Worker]] = {}
        self._adopting = asyncio.Lock()
        self._reviving: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._known_images: Mapping[str, Image] | None = None

    # For the gateway

    async def start(self) -> None:
        """Put back what an earlier gateway was doing, and make the workers of all actors.

        An actor that was being deleted is gone then.
        """
        found, waiting = await threads.run(self._recover)
        self.mailboxes.load(waiting)
        for actor in found:
            await self.adopt(actor["id"])

    async def stop(self, seconds: float = _ABORT_SECONDS) -> None:
        """End all workers; what is still running after some seconds goes back into the mailbox."""
        self._stopping = True
        workers = [worker for each in self._workers.values() for worker in each]
        for worker in workers:
            worker.retire()
        tasks = {worker.task for worker in workers}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for worker in workers:
            if not worker.task.done():
                worker.abort()
        if tasks:
            await asyncio.wait(tasks)
        await self.mailboxes.close(seconds)

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

    async def adopt(self, actor_id: str) -> None:
        """Let an actor have the workers that it should have; replace those of earlier revisions."""
        async with self._adopting:
            actor = await threads.run(self._get, actor_id)
            if actor is None or actor["status"] == actors.SHUTTING_DOWN:
                self.mailboxes.empty(actor_id)
                return
            try:
                image = await threads.run(self._find_image, actor)
            except (UnknownImage, ImageRefused, SettingsError) as error:
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
            mine = self._workers.setdefault(actor_id, [])
            mine[:] = [worker for worker in mine if not worker.task.done()]
            allowed = self._allowed(actor, image)
            current = [
                worker
                for worker in mine
                if worker.revision == actor["revision"] and not worker.retired
            ]
            if len(current) > allowed:
                # of several workers that were at work, none is the only one
                current = current[:allowed] if actor["stateless"] else []
            for worker in mine:
                if worker not in current:
                    worker.retire()
            before = () if actor["stateless"] else [worker.task for worker in mine]
            for _ in range(len(current), allowed):
                mine.append(Worker(actor, image, self, after=before))

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
            self.mailboxes.empty(actor_id)
        for worker in workers:
            worker.retire()
        if workers:
            await asyncio.wait({worker.task for worker in workers}, timeout=_RETIRE_SECONDS)
        for worker in workers:
            if not worker.task.done():
                worker.abort()
        # what has ended is on disk before the rest is given up
        await self.mailboxes.written(_ABORT_SECONDS)

    def retire(self, actor_id: str, worker_id: str) -> None:
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

    def workers_of(self, actor_id: str) -> list[Worker]:
        """Return the workers of an actor."""
        return [worker for worker in self._workers.get(actor_id, ()) if not worker.task.done()]

    def stop_execution(self, execution_id: str) -> bool:
        """Force an execution to end; tell whether it was running."""
        worker = self._find_running(execution_id)
        if worker is not None:
            worker.stop("the execution was stopped on request")
        return worker is not None

    def live_log(self, execution_id: str) -> str | None:
        """Return what a running execution has written so far."""
        worker = self._find_running(execution_id)
        return None if worker is None or worker.running is None else worker.running.log.text

    def busy(self) -> int:
        """Return how many workers are running a message."""
        return sum(worker.is_busy for each in self._workers.values() for worker in each)

    # For the workers

    def api_server(self, tenant: str) -> str:
        """Return the base URL that an actor of a tenant is told."""
        return self._api_server(tenant)

    def container(self, image: Image, worker_id: str) -> Container:
        """Return what runs the messages of a worker in containers."""
        from abaco.workers.containers import Container  # noqa: PLC0415 - as the engine

        if self._engine is None:
            message = f"{image.name} needs an engine for containers"
            raise LookupError(message)
        return Container(image, self._engine, worker_id)

    async def ready(self, worker: Worker) -> None:
        """Set the actor of a worker READY."""
        await self._set_status(worker.actor_id, actors.READY, " ", worker.revision)

    async def failed(self, worker: Worker, reason: str) -> None:
        """Set the actor of a worker ERROR."""
        _logger.error("actor %s: %s", worker.actor_id, reason)
        await self._set_status(worker.actor_id, actors.ERROR, reason, worker.revision)

    def _find_running(self, execution_id: str) -> Worker | None:
        for each in self._workers.values():
            for worker in each:
                running = worker.running
                if running is not None and running.claim.execution["id"] == execution_id:
                    return worker
        return None

    def _allowed(self, actor: Record, image: Image) -> int:
        if not actor["stateless"]:
            return 1
        # where messages are ordered by a key, several workers change nothing but the speed
        usual = os.cpu_count() or 1 if image.ordered_by and image.mode == "warm" else 1
        wanted: int = max(actor["wanted_workers"], usual)
        return min(wanted, actor["max_workers"] or self.limits.workers, self.limits.workers)

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
        while not self._stopping:
            try:
                linked = await threads.run(self._write_status, actor_id, status, reason, revision)
            except SQLAlchemyError as error:
                _logger.error("actor %s: not %s yet: %s", actor_id, status, type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                if linked is not None:
                    self.mailboxes.deliver(linked)
                return

    # What is done with the database and files, in threads

    def _recover(self) -> tuple[list[Record], Iterable[Record]]:
        ended = end_left(GATEWAY, prefix(self.data))
        if self._engine is not None:
            ended += self._engine.remove_left()
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

    def _get(self, actor_id: str) -> Record | None:
        with self.database.read() as tx:
            return actors.get(tx, actor_id)

    def _images(self) -> Mapping[str, Image] | None:
        try:
            return load_images(*self._settings.images_files)
        except SettingsError:
            return None

    def _find_image(self, actor: Record) -> Image:
        image = admission.find(self._settings, actor["image"])
        if image is None:
            message = (
                f"image {actor['image']:.200} is not known here: add it to "
                f"{self._settings.images_files[0]} with its folder and command, then update the actor"
            )
            raise UnknownImage(message)
        if image.mode == CONTAINER and self._engine is None:
            message = (
                f"image {image.name:.200} runs in containers: let `containers` in "
                f"{self._settings.file} name an engine, start the gateway again, then update the "
                "actor"
            )
            raise UnknownImage(message)
        with self.database.read() as tx:
            registrant = registrations.of(tx, actor)
        admission.check(image, registrant, actor["default_environment"])
        return image

    def _no_longer_admitted(self, actor_ids: Iterable[str]) -> list[str]:
        found = []
        for actor_id in actor_ids:
            actor = self._get(actor_id)
            try:
                if actor is not None:
                    self._find_image(actor)
            except NotAdmitted:
                found.append(actor_id)
            except (UnknownImage, ImageRefused, SettingsError):
                # the workers go on with the image that they know
                continue
        return found

    def _write_status(
        self, actor_id: str, status: str, reason: str, revision: int | None
    ) -> Accepted | None:
        with self.database.write() as tx:
            actor = actors.get(tx, actor_id)
            if actor is None or (actor["status"], actor["status_message"]) == (status, reason):
                return None
            if revision is not None and actor["revision"] != revision:
                return None
            if actor["status"] == actors.SHUTTING_DOWN:
                return None
            actors.change(tx, actor_id, status=status, status_message=reason)
            kind = events.ACTOR_READY if status == actors.READY else events.ACTOR_ERROR
            api_server = self._api_server(actor["tenant"])
            return events.emit(tx, actor, kind, api_server, status_message=reason)
