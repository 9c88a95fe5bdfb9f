"""All workers: makes them for actors, wakes them for messages, ends them with their actors."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from abaco import clock, events
from abaco.exceptions import SettingsError
from abaco.settings import load_images
from abaco.store import actors, executions, registrations
from abaco.store.writer import Writer
from abaco.workers import admission, threads
from abaco.workers.admission import NotAdmitted
from abaco.workers.environment import GATEWAY
from abaco.workers.grants import Grants
from abaco.workers.mailbox import Entry, Mailbox, delay_of
from abaco.workers.processes import end_left
from abaco.workers.worker import Worker
from abaco.workers.workspace import prefix, remove_left

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from abaco.settings import Image, Settings
    from abaco.store.database import Database
    from abaco.store.executions import Accepted
    from abaco.store.records import Record
    from abaco.store.writer import Operation
    from abaco.throttling import Throttle
    from abaco.workers import endings

KEPT_BYTES = 16 * 1024 * 1024
"""Of messages that wait in memory; others are read again when their turn comes."""
MOST_UNWRITTEN = 64
"""Writes of executions that nobody waits for: with more, workers wait."""
_ABORT_SECONDS = 5.0
_RETIRE_SECONDS = 20.0
_RETRY_SECONDS = 1.0
_UNWRITTEN = object()

_logger = logging.getLogger(__name__)


class UnknownImage(Exception):
    """There is no image of that name; the text says where to add it."""


class Outcome(NamedTuple):
    """What somebody who waits for an execution is told.

    Attributes:
        result: its first result; None if there is none, or it has to be asked for.
        log: what it wrote.
        unavailable: why it could not be handled, empty if it was.
        due: if it is tried again, in how many seconds.
    """

    result: bytes | None = None
    log: str = ""
    unavailable: str = ""
    due: float | None = None


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
        self._images_file = settings.images_file
        self.grants = Grants()
        self.writer = Writer(database, asyncio.get_running_loop())
        self._api_server = api_server
        self._throttle = throttle
        self._mailboxes: dict[str, Mailbox] = {}
        self._kept_bytes = 0
        self._unwritten: set[asyncio.Task[None]] = set()
        self._workers: dict[str, list[Worker]] = {}
        self._waiting: dict[str, list[asyncio.Future[Outcome]]] = {}
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
        moment, now = clock.now(), time.monotonic()
        for row in waiting:
            # with a clock that was set back meanwhile, it is not put off further than ever
            later = (row["due"] - moment).total_seconds() if row["due"] else 0.0
            later = min(later, delay_of(row["tries"]))
            entry = Entry(
                row["sequence"],
                row["id"],
                row["sender"] or "",
                row["ordering"],
                attempts=row["attempts"],
                tries=row["tries"],
                reason=row["reason"] or "",
            )
            self._mailbox(row["actor_id"]).add(entry, due=now + later if later > 0 else 0.0)
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
        if self._unwritten:
            await asyncio.wait(self._unwritten, timeout=seconds)
        await self.writer.close()
        if self._unwritten:
            await asyncio.wait(self._unwritten)
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()

    # For the API

    async def submit(
        self,
        submission: executions.Submission,
        *,
        answered: bool = False,
        watch: Callable[[str], None] = lambda _: None,
    ) -> tuple[str, asyncio.Future[Outcome] | None] | None:
        """Accept a message; return when it is on disk.

        Args:
            submission: the message.
            answered: whether the sender waits for what comes of it.
            watch: is told the id of its execution before that can run.

        Returns:
            The execution's id, and a future for a sender who waits; None if there is no such actor.

        Raises:
            SQLAlchemyError: it is not accepted.
        """
        accepted = await self.writer.put(submission)
        if accepted is None:
            return None
        watch(accepted.execution_id)
        ending = self.ending(accepted.execution_id) if answered else None
        self.deliver(accepted, answered=answered)
        return accepted.execution_id, ending

    def deliver(self, accepted: Accepted, *, answered: bool = False) -> None:
        """Put a message that is on disk into its actor's mailbox."""
        submission = accepted.submission
        size = len(submission.message.body)
        kept = self._kept_bytes + size <= KEPT_BYTES
        self._kept_bytes += size if kept else 0
        entry = Entry(
            accepted.sequence,
            accepted.execution_id,
            submission.sender,
            submission.ordering,
            submission.message if kept else None,
            fresh=True,
            answered=answered,
        )
        self._mailbox(submission.actor_id).add(entry)
        self.wake(submission.actor_id)

    async def purge(self, actor_id: str) -> None:
        """Drop the messages that wait for an actor; their executions end in status ERROR.

        Raises:
            SQLAlchemyError: it is not written.
        """
        mailbox = self._mailbox(actor_id)
        dropped = mailbox.clear()
        try:
            await self.writer.put(executions.Drop(tuple(entry.sequence for entry in dropped)))
        except Exception:
            # those that have come since are behind them
            since = mailbox.clear()
            for entry in (*dropped, *since):
                mailbox.add(entry)
            self.wake(actor_id)
            raise
        for entry in dropped:
            self._let_go(entry)
            self.announce(entry.execution_id, Outcome())

    def ahead_of(self, submission: executions.Submission) -> Entry | None:
        """Return the message that could not be handled yet, and that another has to wait for."""
        mailbox = self._mailbox(submission.actor_id)
        return mailbox.ahead_of(submission.sender, submission.ordering)

    async def drop_postponed(self, actor_id: str, execution_id: str) -> bool:
        """Drop a message that could not be handled yet; tell whether there was one.

        Raises:
            SQLAlchemyError: it is not written; the message is dropped until the next start.
        """
        entry = self._mailbox(actor_id).remove(execution_id)
        if entry is None:
            return False
        self._let_go(entry)
        # those behind it need not wait for this
        self.wake(actor_id)
        self._throttle.ended(execution_id)
        await self.writer.put(executions.Drop((entry.sequence,)))
        return True

    def postponed(self) -> int:
        """Return how many messages could not be handled yet."""
        waiting = (each.waiting() for each in self._mailboxes.values())
        return sum(entry.tries > 0 for entries in waiting for entry in entries)

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
                self._empty(actor_id)
                return
            try:
                image = await threads.run(self._find_image, actor)
            except (UnknownImage, SettingsError) as error:
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
            self._empty(actor_id)
        for worker in workers:
            worker.retire()
        if workers:
            await asyncio.wait({worker.task for worker in workers}, timeout=_RETIRE_SECONDS)
        for worker in workers:
            if not worker.task.done():
                worker.abort()
        if self._unwritten:
            # what has ended is on disk before the rest is given up
            await asyncio.wait(self._unwritten, timeout=_ABORT_SECONDS)

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

    def ending(self, execution_id: str) -> asyncio.Future[Outcome]:
        """Return a future that is done when the end of an execution is on disk, from now on."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(execution_id, []).append(future)
        return future

    def announce(self, execution_id: str, outcome: Outcome) -> None:
        """Tell who waits for an execution what came of it."""
        self._throttle.ended(execution_id)
        for future in self._waiting.pop(execution_id, ()):
            if not future.done():
                future.set_result(outcome)

    def forget(self, execution_id: str, future: asyncio.Future[Outcome]) -> None:
        """Drop a future, whether it is done or not."""
        left = [other for other in self._waiting.pop(execution_id, ()) if other is not future]
        if left:
            self._waiting[execution_id] = left

    def busy(self) -> int:
        """Return how many workers are running a message."""
        return sum(worker.running is not None for each in self._workers.values() for worker in each)

    # For the workers

    def api_server(self, tenant: str) -> str:
        """Return the base URL that an actor of a tenant is told."""
        return self._api_server(tenant)

    async def ready(self, worker: Worker) -> None:
        """Set the actor of a worker READY."""
        await self._set_status(worker.actor_id, actors.READY, " ", worker.revision)

    async def failed(self, worker: Worker, reason: str) -> None:
        """Set the actor of a worker ERROR."""
        _logger.error("actor %s: %s", worker.actor_id, reason)
        await self._set_status(worker.actor_id, actors.ERROR, reason, worker.revision)

    def told(self, execution: Record, result: bytes) -> None:
        """Learn from a result what senders may do."""
        self._throttle.told(execution["id"], result)

    def take(self, actor_id: str) -> Entry | None:
        """Return the next message of an actor, which is running then."""
        return self._mailbox(actor_id).take(time.monotonic())

    def next_due(self, actor_id: str) -> float | None:
        """Return in how many seconds a message may run that may not now."""
        return self._mailbox(actor_id).next_due(time.monotonic())

    def drop(self, actor_id: str, entry: Entry) -> None:
        """Let a message go that is not there."""
        self._mailbox(actor_id).end(entry)
        self._let_go(entry)
        self.announce(entry.execution_id, Outcome())

    def put_back(self, actor_id: str, entry: Entry) -> None:
        """Return a message that was interrupted to its place in the mailbox."""
        self.write(
            executions.Return(
                entry.sequence, entry.execution_id, entry.attempts, entry.tries, None, entry.reason
            )
        )
        self._mailbox(actor_id).put_back(entry)
        self.wake(actor_id)

    def postpone(self, actor_id: str, entry: Entry, reason: str) -> None:
        """Return a message that cannot be handled yet to its place in the mailbox."""
        delay = self._mailbox(actor_id).postpone(entry, reason, time.monotonic())
        due = clock.now() + datetime.timedelta(seconds=delay)
        self.write(
            executions.Return(
                entry.sequence, entry.execution_id, entry.attempts, entry.tries, due, reason
            )
        )
        if entry.tries == 1:
            _logger.warning(
                "actor %s: execution %s is tried again until it succeeds: %s",
                actor_id,
                entry.execution_id,
                reason,
            )
        if entry.answered:
            entry.answered = False
            self.announce(entry.execution_id, Outcome(unavailable=reason or "-", due=delay))
        self.wake(actor_id)

    def end(self, end: endings.End, entry: Entry, results: list[bytes], reason: str) -> None:
        """Let a message go whose execution has ended; who waits for it is told when that is on disk."""
        actor_id = end.actor["id"]
        self._mailbox(actor_id).end(entry)
        self._let_go(entry)
        waited_for = entry.execution_id in self._waiting
        # whoever waits takes the only result from memory, and the first of several from the store
        answer = results[0] if len(results) == 1 and waited_for else None
        if results and answer is None:
            self.write(self._results_of(end, results))
        outcome = Outcome(answer, end.end.log, reason)
        written = self.writer.put(end, insistent=True)
        self._write_later(self._end(written, end, entry.execution_id, outcome))
        self.wake(actor_id)

    def write(self, operation: Operation) -> None:
        """Write something that nobody waits for, however often that takes, in the order of calls."""
        self._write_later(self._write(self.writer.put(operation, insistent=True)))

    async def settled(self) -> None:
        """Wait until not too much is left to be written."""
        while len(self._unwritten) > MOST_UNWRITTEN:
            await asyncio.wait(self._unwritten, return_when=asyncio.FIRST_COMPLETED)

    def _write_later(self, writing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(writing)
        self._unwritten.add(task)
        task.add_done_callback(self._unwritten.discard)

    async def _write(self, written: asyncio.Future[Any]) -> Any:
        try:
            return await written
        except Exception as error:  # noqa: BLE001 - whatever it is, the gateway ends
            # the next start finds its execution as one that was interrupted
            _logger.error("not written: %s", type(error).__name__)
            return _UNWRITTEN

    async def _end(
        self, written: asyncio.Future[Any], end: endings.End, execution_id: str, outcome: Outcome
    ) -> None:
        linked = await self._write(written)
        if linked is _UNWRITTEN:
            # who waits is told that the gateway ends
            return
        if outcome.result is not None and execution_id not in self._waiting:
            # who waited has gone, and may ask for it later
            self.write(self._results_of(end, [outcome.result]))
        self.announce(execution_id, outcome)
        if linked is not None:
            self.deliver(linked)

    def _results_of(self, end: endings.End, bodies: list[bytes]) -> executions.Results:
        seconds = self.limits.result_seconds
        return executions.Results(end.end.execution["id"], end.actor["id"], tuple(bodies), seconds)

    def _mailbox(self, actor_id: str) -> Mailbox:
        return self._mailboxes.setdefault(actor_id, Mailbox())

    def _empty(self, actor_id: str) -> None:
        """Drop what waits for an actor that is deleted; what still runs ends in its mailbox."""
        mailbox = self._mailbox(actor_id)
        for entry in mailbox.clear():
            self._let_go(entry)
        if not mailbox.running:
            del self._mailboxes[actor_id]

    def _let_go(self, entry: Entry) -> None:
        if entry.message is not None:
            self._kept_bytes -= len(entry.message.body)
            entry.message = None

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
                    self.deliver(linked)
                return

    # What is done with the database and files, in threads

    def _recover(self) -> tuple[list[Record], Iterable[Record]]:
        ended = end_left(GATEWAY, prefix(self.data))
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
            return load_images(self._images_file)
        except SettingsError:
            return None

    def _find_image(self, actor: Record) -> Image:
        name, images = actor["image"], load_images(self._images_file)
        if name not in images:
            message = (
                f"image {name:.200} is not known here: add it to {self._images_file} "
                "with its folder and command, then update the actor"
            )
            raise UnknownImage(message)
        with self.database.read() as tx:
            registrant = registrations.of(tx, actor)
        admission.check(images[name], registrant, actor["default_environment"])
        return images[name]

    def _no_longer_admitted(self, actor_ids: Iterable[str]) -> list[str]:
        found = []
        for actor_id in actor_ids:
            actor = self._get(actor_id)
            try:
                if actor is not None:
                    self._find_image(actor)
            except NotAdmitted:
                found.append(actor_id)
            except (UnknownImage, SettingsError):
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
