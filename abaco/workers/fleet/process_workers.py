"""The workers in one process of a node: it runs one message at a time, of whatever actor, each by the actor's worker."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import TYPE_CHECKING

import psutil
from sqlalchemy.exc import SQLAlchemyError

from abaco import roles
from abaco.store import actors, executions, leases, tokens
from abaco.workers import statuses, threads
from abaco.workers.admission import NotAdmitted
from abaco.workers.container_labels import EXECUTION_LABEL, FENCE_LABEL, WORKER_LABEL
from abaco.workers.container_maker import ContainerMaker
from abaco.workers.environment import WORKER
from abaco.workers.fleet.leased import LeasedMessage
from abaco.workers.fleet.sweeper import ring_for
from abaco.workers.processes import end_left
from abaco.workers.worker import Worker, end_all

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from abaco.images import Image
    from abaco.settings import Limits, Settings
    from abaco.store.database import Database
    from abaco.store.leases import Found, Taken
    from abaco.store.rows import Actor
    from abaco.workers.containers import Container
    from abaco.workers.fleet.bell import Bell, Ring
    from abaco.workers.protocol import MessageSource

MAX_WORKERS = 16
"""Of different actors that a process keeps, with their warm processes; of more, the one used longest ago ends."""
_STOP_SECONDS = 5.0
_LABEL = "of an execution"

_logger = logging.getLogger(__name__)


class StoredGrants:
    """The access tokens of executions, where every gateway finds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant: str, user: str, seconds: float) -> str:
        """Make a token with which an execution acts as a user."""
        with self._database.write() as tx:
            return tokens.create(
                tx,
                tenant,
                user,
                [roles.EVERYONE],
                lifetime=max(1, round(seconds)),
                label=_LABEL,
                renewable=False,
            ).access

    def revoke(self, token: str) -> None:
        """End a token; an empty one is none."""
        if not token:
            return
        try:
            with self._database.write() as tx:
                tokens.end(tx, token)
        except SQLAlchemyError as error:
            _logger.warning("a token lasts until it expires: %s", type(error).__name__)


class ProcessWorkers:
    """The home of the workers of a process; used from its event loop.

    Args:
        settings: of the node.
        database: of the platform.
        bell: is rung for what follows.
        node_id: of the node.
        platform: whose containers it runs (see `abaco.store.nodes.platform_of`).
    """

    def __init__(
        self, settings: Settings, database: Database, bell: Bell, node_id: str, platform: str
    ) -> None:
        self.database = database
        self.limits: Limits = settings.limits
        self.data: Path = settings.data
        self.grants = StoredGrants(database)
        self._settings = settings
        self._containers = ContainerMaker(settings, platform)
        self._bell = bell
        self._node_id = node_id
        self._message = LeasedMessage(database, bell, settings.limits.result_seconds)
        self._workers: dict[str, Worker] = {}
        """by actor, the one used last behind the others"""
        self._ready: dict[str, asyncio.Event] = {}

    @property
    def mailboxes(self) -> MessageSource:
        """Where the message is that a worker runs."""
        return self._message

    def api_server(self, tenant: str) -> str:
        """Return the base URL that an actor of a tenant is told."""
        return self._settings.public_url_of(tenant)

    async def prepare(self, actor_id: str) -> None:
        """Make an actor ready for messages."""
        actor = await threads.run(self._actor, actor_id)
        if actor is None or actor["status"] != actors.SUBMITTED:
            return
        worker = await self._worker_of(actor)
        if worker is not None:
            # one that was there did not say so
            await self._set_status(actor["id"], actors.READY, " ", worker.revision)

    async def run(self, execution_id: str) -> None:
        """Run an execution for which the bell was rung, or the one before it; none if there is none."""
        began = time.monotonic()
        # nothing runs meanwhile that the event loop would keep waiting
        actor, is_here, taken = self._take_if_ready(execution_id)
        worker = None if actor is None else await self._worker_of(actor)
        if worker is None:
            return
        if not is_here:
            began = time.monotonic()
            taken = await threads.run(self._take, execution_id, worker.id)
        if taken is None:
            return
        if taken.former is not None:
            # what a process of this node left running when it was killed
            await threads.run(self._end_left, taken.former)
        self._message.put(taken, began)
        worker.wake()
        beating = asyncio.create_task(self._beat(worker, taken))
        settled = asyncio.create_task(self._message.settled())
        await asyncio.wait({settled, worker.task}, return_when=asyncio.FIRST_COMPLETED)
        if not settled.done() and self._message.taken is not None:
            # the worker has ended without a word about the message
            self._message.abandon()
        await settled
        beating.cancel()

    async def close(self) -> None:
        """End all workers."""
        workers = list(self._workers.values())
        await end_all(workers, _STOP_SECONDS)
        if workers:
            await asyncio.wait({worker.task for worker in workers})

    def container(self, image: Image, worker_id: str) -> Container:
        """Return what runs the messages of a worker in containers."""
        return self._containers.make(image, worker_id, self._labels)

    async def ready(self, worker: Worker) -> None:
        """Set the actor of a worker READY."""
        await self._set_status(worker.actor_id, actors.READY, " ", worker.revision)
        self._ready[worker.id].set()

    async def failed(self, worker: Worker, reason: str) -> None:
        """Set the actor of a worker ERROR."""
        _logger.error("actor %s: %s", worker.actor_id, reason)
        await self._set_status(worker.actor_id, actors.ERROR, _here(reason), worker.revision)

    async def _worker_of(self, actor: Actor) -> Worker | None:
        """Return the worker of an actor, ready; None if it cannot run."""
        worker = self._workers.pop(actor["id"], None)
        if worker is not None and not _suits(worker, actor):
            await self._end(worker)
            worker = None
        if worker is None:
            worker = await self._make(actor)
        if worker is None:
            return None
        self._workers[actor["id"]] = worker
        while len(self._workers) > MAX_WORKERS:
            await self._end(self._workers.pop(next(iter(self._workers))))
        return worker

    async def _make(self, actor: Actor) -> Worker | None:
        try:
            image = await threads.run(statuses.image_of, self.database, self._settings, actor)
        except (*statuses.UNUSABLE, NotAdmitted) as error:
            # its files may say something else than those of others
            reason = _here(str(error))
            await self._set_status(actor["id"], actors.ERROR, reason, actor["revision"])
            return None
        worker = Worker(actor, image, self)
        is_ready = self._ready[worker.id] = asyncio.Event()
        waiting = asyncio.create_task(is_ready.wait())
        await asyncio.wait({waiting, worker.task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        del self._ready[worker.id]
        return worker if is_ready.is_set() else None

    @staticmethod
    async def _end(worker: Worker) -> None:
        worker.retire()
        await asyncio.wait({worker.task})

    async def _beat(self, worker: Worker, taken: Taken) -> None:
        shown = ""
        if not taken.row["stop"]:
            await asyncio.sleep(leases.BEAT_SECONDS)
        while True:
            log = worker.running.log.text if worker.running is not None else ""
            news = log if log != shown else None
            try:
                stop = await self._message.beat(news, self.limits.log_seconds)
            except leases.LeaseLost:
                _logger.warning("execution %s: the lease is lost", taken.row["id"])
                worker.abort()
                return
            shown = log
            if stop:
                worker.stop(stop)
            await asyncio.sleep(leases.BEAT_SECONDS)

    def _take_if_ready(self, execution_id: str) -> tuple[Actor | None, bool, Taken | None]:
        """Return the actor of an execution, and whether its worker is here; then it is taken as well."""
        with self.database.write() as tx:
            found = leases.find(tx, execution_id)
            if found is None:
                return None, False, None
            worker = self._workers.get(found.actor["id"])
            if worker is None or not _suits(worker, found.actor):
                return found.actor, False, None
            return found.actor, True, self._take_in(tx, found, worker.id)

    def _take(self, execution_id: str, worker_id: str) -> Taken | None:
        with self.database.write() as tx:
            found = leases.find(tx, execution_id)
            return None if found is None else self._take_in(tx, found, worker_id)

    def _take_in(self, tx: Connection, found: Found, worker_id: str) -> Taken | None:
        holder = f"{self._node_id}:{os.getpid()}"
        return leases.take(tx, found, holder, worker_id, self._is_dead)

    def _labels(self) -> dict[str, str]:
        """Return what tells whether a container is still needed."""
        taken = self._message.taken
        if taken is None:
            return {}
        return {EXECUTION_LABEL: taken.row["id"], FENCE_LABEL: str(taken.hold.fence)}

    def _end_left(self, worker_id: str) -> None:
        end_left(WORKER, worker_id)
        self._containers.remove_left(lambda labels: labels[WORKER_LABEL] == worker_id)

    def _is_dead(self, holder: str) -> bool:
        node_id, _, pid = holder.partition(":")
        if node_id != self._node_id or int(pid) == os.getpid():
            # of other nodes, only the end of the lease tells
            return False
        try:
            return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def _actor(self, actor_id: str) -> Actor | None:
        with self.database.read() as tx:
            return actors.get(tx, actor_id)

    async def _set_status(self, actor_id: str, status: str, reason: str, revision: int) -> None:
        linked = await statuses.write_until_written(
            self.database, self.api_server, actor_id, status, reason, revision
        )
        if linked is not None:
            self._bell.ring(await threads.run(self._ring_for, linked))

    def _ring_for(self, linked: executions.Accepted) -> Ring:
        with self.database.read() as tx:
            return ring_for(tx, linked)


def _here(reason: str) -> str:
    """Name the node with what is wrong there, as it may be right at others."""
    return f"on node {socket.gethostname()}: {reason}"


def _suits(worker: Worker, actor: Actor) -> bool:
    """Tell whether a worker runs the messages of an actor as it is now."""
    return not worker.retired and worker.revision == actor["revision"]
