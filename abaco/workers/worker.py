"""One worker: takes the messages of its actor in order and runs each in a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlalchemy.exc import SQLAlchemyError

from abaco import clock, events, identifiers, roles
from abaco.store import actors, aliases, configs, executions, tokens
from abaco.workers import environment, threads
from abaco.workers.processes import KILLED, SHORTAGES, Cold, Ending, NotStarted, Warm
from abaco.workers.workspace import Log, Workspace

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import ParamSpec, TypeVar

    from sqlalchemy import Connection

    from abaco.settings import Image, Limits
    from abaco.store.database import Database
    from abaco.store.executions import Message
    from abaco.store.records import Record
    from abaco.workers.processes import Process

    P = ParamSpec("P")
    T = TypeVar("T")

CREATING = "CREATING CONTAINER"
READY = "READY"
BUSY = "BUSY"
SHUTTING_DOWN = "SHUTTING_DOWN"
FAILED = "ERROR"

MOST_ATTEMPTS = 10
"""How often an execution is begun whose process is killed from outside; its gateway may be, too."""
MOST_FAILURES = 5
"""How often a program is started that does not start."""
_RETRY_SECONDS = 0.2
_LOG_SECONDS = 2.0
_STORE_SECONDS = 0.5
_TOKEN_MARGIN = 60

_logger = logging.getLogger(__name__)


class Home(Protocol):
    """What a worker needs of the pool."""

    database: Database
    limits: Limits
    data: Path

    def api_server(self, tenant: str) -> str:
        """Return the base URL that an actor of a tenant is told."""

    def wake(self, actor_id: str) -> None:
        """Take notice that an actor has a message, new or put back."""

    async def ready(self, worker: Worker) -> None:
        """Take notice that a worker can run messages."""

    async def failed(self, worker: Worker, reason: str) -> None:
        """Take notice that a worker's program does not start."""

    def told(self, execution: Record, result: bytes) -> None:
        """Take notice of a result of an execution."""

    def ended(self, execution: Record, linked: str | None) -> None:
        """Take notice of the end of an execution, and of the actor that has a message by it."""


class Claim(NamedTuple):
    """A message to run, with what its process is told."""

    execution: Record
    message: Message
    actor: Record
    configs: dict[str, str]
    token: tokens.Grant | None


@dataclass
class Running:
    """An execution in progress."""

    claim: Claim
    log: Log
    began: float = field(default_factory=time.monotonic)
    stop_reason: str = ""


class Worker:
    """A worker of one revision of an actor; it works until it is retired.

    Args:
        actor: the actor's record.
        image: what it runs.
        home: the pool.
        after: the tasks of workers that it must not work beside.
    """

    def __init__(
        self, actor: Record, image: Image, home: Home, *, after: Iterable[asyncio.Task[None]] = ()
    ) -> None:
        self.id = identifiers.new()
        self.actor_id: str = actor["id"]
        self.tenant: str = actor["tenant"]
        self.revision: int = actor["revision"]
        self.image = image
        self.status = CREATING
        self.create_time = clock.now()
        self.last_execution_time: datetime.datetime | None = None
        self.running: Running | None = None
        self._home = home
        self._process: Process = (
            Warm(image, self.id, home.limits.growth_bytes) if image.mode == "warm" else Cold(image)
        )
        self._wanted = asyncio.Event()
        self._retired = False
        self._aborted = False
        self._failures = 0
        self._next: Claim | None = None
        self._after = set(after)
        self.task = asyncio.get_running_loop().create_task(self._run())

    @property
    def retired(self) -> bool:
        """Whether it takes no further message."""
        return self._retired or self.task.done()

    def wake(self) -> None:
        """Say that there may be a message."""
        self._wanted.set()

    def retire(self) -> None:
        """End after the current message."""
        self._retired = True
        self.status = SHUTTING_DOWN
        self._wanted.set()

    def abort(self) -> None:
        """End now; the current message goes back into the mailbox."""
        self._aborted = True
        self.retire()
        self._process.signal(signal.SIGKILL)

    def stop(self, reason: str) -> None:
        """End the current execution: the process is asked, then forced."""
        running = self.running
        if running is None or running.stop_reason:
            return
        running.stop_reason = reason
        self._process.signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._home.limits.stop_seconds, self._force, running)

    def _force(self, running: Running) -> None:
        if self.running is running:
            self._process.signal(signal.SIGKILL)

    async def _run(self) -> None:
        try:
            await self._prepare()
            while self._next is not None or not self._retired:
                await self._step()
        except NotStarted as error:
            self.status = FAILED
            if not self._aborted:
                await self._home.failed(self, str(error))
        except SQLAlchemyError as error:
            # the next start finds its execution as one that was interrupted
            _logger.error("worker %s ended: %s", self.id, type(error).__name__)
        except Exception:  # of one worker: its actor is told, the other workers go on
            self.status = FAILED
            _logger.exception("worker %s of actor %s ended", self.id, self.actor_id)
            await self._home.failed(self, "its worker ended: see the gateway's log")
        finally:
            await self._process.close()

    async def _prepare(self) -> None:
        if self._after:
            await asyncio.wait(self._after)
            self._after.clear()
        if not self._retired:
            await self._process.prepare()
        if not self._retired:
            self.status = READY
            await self._home.ready(self)

    async def _step(self) -> None:
        """Run the next message, or wait until there may be one."""
        self._wanted.clear()
        claim, self._next = self._next, None
        try:
            claim = claim or await threads.run(self._claim)
        except SQLAlchemyError as error:
            _logger.error("worker %s: the database: %s", self.id, type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS * MOST_FAILURES)
            return
        if claim is None:
            await self._wanted.wait()
            return
        self.status = BUSY
        try:
            await self._execute(claim)
        except (NotStarted, SQLAlchemyError):
            raise
        except Exception as error:
            await self._write(self._put_back, claim, counts=False)
            self.running = None
            if getattr(error, "errno", None) not in SHORTAGES:
                raise
            _logger.error("execution %s is tried again: %s", claim.execution["id"], error)
            await asyncio.sleep(_RETRY_SECONDS * MOST_FAILURES)
            return
        self.last_execution_time = clock.now()
        if not self._retired:
            self.status = READY

    async def _execute(self, claim: Claim) -> None:
        limits = self._home.limits
        seconds = self.image.seconds or limits.execution_seconds
        log = Log(limits.log_characters)
        running = self.running = Running(claim, log)
        results = _Results(self, claim.execution)
        workspace = Workspace(self._home.data)
        timer = asyncio.get_running_loop().call_later(
            seconds, self.stop, f"the execution reached its time limit of {seconds:g} s"
        )
        problem = ""
        ending = Ending(-signal.SIGKILL)
        try:
            await workspace.open(results.keep, claim.message)
            if not (self._aborted or running.stop_reason):
                ending = await self._process.run(
                    self._environment(claim, workspace), log.descriptor
                )
        except (NotStarted, OSError) as error:
            if getattr(error, "errno", None) in SHORTAGES:
                raise
            problem = str(error)
        finally:
            timer.cancel()
            log.handed_over()
            await log.close(_LOG_SECONDS)
            await workspace.close()
            rest = await results.rest()
        await self._settle(running, ending, problem, rest)

    async def _settle(
        self, running: Running, ending: Ending, problem: str, results: list[bytes]
    ) -> None:
        """Write down how an execution ended, and take the next message."""
        if running.stop_reason or self._aborted:
            # it may have been stopped before its program had started
            problem = ""
        self._failures = self._failures + 1 if problem else 0
        attempts = running.claim.execution["attempts"]
        killed = ending.code in KILLED and not (running.stop_reason or problem)
        again = killed and (self._aborted or attempts < MOST_ATTEMPTS)
        if problem:
            again = self._failures < MOST_FAILURES
        note = f"the process was killed from outside, {attempts} times" if killed else ""
        note = running.stop_reason or problem or note
        if note:
            running.log.note(note)
        if again:
            counts = killed and not self._aborted
            await self._write(self._put_back, running.claim, counts=counts)
            self.running = None
            self._home.wake(self.actor_id)
        else:
            linked = await self._write(self._finish, running, ending, problem, results)
            self.running = None
            self._home.ended(running.claim.execution, linked)
        if problem:
            if not again:
                raise NotStarted(problem)
            await asyncio.sleep(_RETRY_SECONDS * 2**self._failures)

    async def _write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write to the database, however often that takes, until the gateway ends.

        Raises:
            SQLAlchemyError: it ends.
        """
        while True:
            try:
                return await threads.run(work, *args, **kwargs)
            except SQLAlchemyError as error:
                _logger.error("worker %s: not written yet: %s", self.id, type(error).__name__)
                if self._aborted:
                    raise
                await asyncio.sleep(_RETRY_SECONDS * MOST_FAILURES)

    # What is done with the database, in threads

    def _claim(self) -> Claim | None:
        with self._home.database.write() as tx:
            return self._take(tx)

    def _take(self, tx: Connection) -> Claim | None:
        actor = actors.get(tx, self.actor_id)
        if actor is None or actor["revision"] != self.revision:
            return None
        claimed = executions.claim(tx, self.actor_id, self.id)
        if claimed is None:
            return None
        names = {actor["id"], *aliases.of_actor(tx, actor["tenant"], actor["id"])}
        return Claim(
            *claimed,
            actor,
            configs.for_actor(tx, actor["tenant"], names),
            self._make_token(tx, actor),
        )

    def _make_token(self, tx: Connection, actor: Record) -> tokens.Grant | None:
        if str(actor["token"]).lower() != "true":
            return None
        seconds = self.image.seconds or self._home.limits.execution_seconds
        return tokens.create(
            tx,
            actor["tenant"],
            actor["owner"],
            [roles.EVERYONE],
            lifetime=int(seconds) + _TOKEN_MARGIN,
            label=f"for an execution of actor {actor['id']}",
            renewable=False,
        )

    def _put_back(self, claim: Claim, *, counts: bool) -> None:
        with self._home.database.write() as tx:
            executions.put_back(tx, claim.execution, counts=counts)
            if claim.token is not None:
                tokens.revoke(tx, claim.token.id)

    def _finish(
        self, running: Running, ending: Ending, problem: str, results: list[bytes]
    ) -> str | None:
        """End an execution and take the next message in one transaction; return the linked actor."""
        claim, execution = running.claim, running.claim.execution
        exit_code = ending.code if ending.code >= 0 else 128 - ending.code
        status = executions.ERROR if problem else executions.COMPLETE
        outcome = {} if problem else {"exit_code": exit_code}
        facts = {"execution_id": execution["id"], "status": status, **outcome}
        with self._home.database.write() as tx:
            self._keep(tx, execution, results)
            executions.finish(
                tx,
                execution,
                status=status,
                log=running.log.text,
                log_seconds=self._log_seconds(claim.actor),
                runtime=round(time.monotonic() - running.began),
                cpu=ending.cpu,
                final_state=_final_state(execution, exit_code, problem),
                **outcome,
            )
            if claim.token is not None:
                tokens.revoke(tx, claim.token.id)
            actor = actors.get(tx, self.actor_id) or claim.actor
            linked = events.emit(
                tx, actor, events.EXECUTION_COMPLETE, self._home.api_server(self.tenant), **facts
            )
            following = None if problem or self._retired else self._take(tx)
        self._next = following
        return linked

    def _keep(self, tx: Connection, execution: Record, results: list[bytes]) -> None:
        for body in results:
            executions.add_result(tx, execution, body, self._home.limits.result_seconds)

    def _log_seconds(self, actor: Record) -> int:
        limits = self._home.limits
        return min(actor["log_ex"] or limits.log_seconds, limits.longest_log_seconds)

    def _environment(self, claim: Claim, workspace: Workspace) -> dict[str, str]:
        text = claim.message.content_type != executions.BINARY
        return environment.build(
            self.image,
            claim.actor,
            claim.execution,
            sent=claim.message.environment,
            folder=workspace.folder,
            given={
                "_abaco_access_token": claim.token.access if claim.token else "",
                environment.RESULTS: workspace.results_path,
                environment.BINARY: workspace.fifo_path,
                environment.CONFIGS: claim.configs,
                "MSG": claim.message.body.decode() if text else None,
            },
        )


class _Results:
    """The results of an execution, stored now and then while it runs."""

    def __init__(self, worker: Worker, execution: Record) -> None:
        self._worker = worker
        self._execution = execution
        self._waiting: list[bytes] = []
        self._left = worker._home.limits.results  # noqa: SLF001 - a part of the worker
        self._ended = asyncio.Event()
        self._storing: asyncio.Task[None] | None = None

    def keep(self, body: bytes) -> None:
        """Take a result, if there is room for one more."""
        self._worker._home.told(self._execution, body)  # noqa: SLF001 - a part of the worker
        if self._left <= 0:
            return
        self._left -= 1
        self._waiting.append(body)
        if self._storing is None:
            self._storing = asyncio.get_running_loop().create_task(self._store_now_and_then())

    async def rest(self) -> list[bytes]:
        """Return what is not stored yet, at the end of the execution."""
        self._ended.set()
        if self._storing is not None:
            await self._storing
        return self._waiting

    async def _store_now_and_then(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _STORE_SECONDS)
                return
            bodies = list(self._waiting)
            try:
                await threads.run(self._store, bodies)
            except SQLAlchemyError as error:
                _logger.error("results are not stored yet: the database: %s", type(error).__name__)
            else:
                del self._waiting[: len(bodies)]

    def _store(self, bodies: list[bytes]) -> None:
        with self._worker._home.database.write() as tx:  # noqa: SLF001 - a part of the worker
            self._worker._keep(tx, self._execution, bodies)  # noqa: SLF001 - likewise


def _final_state(execution: Record, exit_code: int, problem: str) -> dict[str, Any]:
    """Return what docker says of a container that has ended."""
    return {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 0,
        "ExitCode": exit_code,
        "Error": problem,
        "StartedAt": clock.iso(execution["start_time"]),
        "FinishedAt": clock.iso(clock.now()),
    }
