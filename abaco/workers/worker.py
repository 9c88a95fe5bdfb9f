"""One worker: takes the messages of its actor in order and runs each in a process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlalchemy.exc import SQLAlchemyError

from abaco import clock, identifiers
from abaco.images import CONTAINER
from abaco.store import executions
from abaco.store.known import NotKnown
from abaco.workers import endings, environment, threads
from abaco.workers.fate import Facts, Fate, decide
from abaco.workers.processes import KILLED, SHORTAGES, Cold, Ending, NotStarted, Warm
from abaco.workers.protocol import WorkerFacts
from abaco.workers.results import Results
from abaco.workers.workspace import RESULT_BYTES, Log, Workspace

if TYPE_CHECKING:
    import datetime
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from abaco.images import Image
    from abaco.settings import Limits
    from abaco.store.database import Database
    from abaco.store.executions import Message
    from abaco.store.rows import Actor, Begun
    from abaco.workers.containers import Container
    from abaco.workers.mailbox import Entry
    from abaco.workers.processes import Handled, Process
    from abaco.workers.protocol import Grants, MessageSource

CREATING = "CREATING CONTAINER"
READY = "READY"
BUSY = "BUSY"
SHUTTING_DOWN = "SHUTTING_DOWN"
FAILED = "ERROR"

_SHORT_SECONDS = 0.05
"""An execution that ends within these is not written down as RUNNING first."""
_RETRY_SECONDS = 0.2
_SHORTAGE_SECONDS = 1.0
_LOG_SECONDS = 2.0
_TOKEN_MARGIN = 60
_MAX_TOGETHER = 32
_TOGETHER_SECONDS = 5.0
_ALONE_SECONDS = 60.0
"""After messages that could not be handled together."""
_MAX_REASON_LENGTH = 300

_logger = logging.getLogger(__name__)


class Home(Protocol):
    """What a worker needs of the pool."""

    database: Database
    limits: Limits
    data: Path

    @property
    def grants(self) -> Grants:
        """The access tokens of executions."""

    @property
    def mailboxes(self) -> MessageSource:
        """Where its messages are."""

    def api_server(self, tenant: str) -> str:
        """Return the base URL that an actor of a tenant is told."""

    def container(self, image: Image, worker_id: str) -> Container:
        """Return what runs the messages of a worker in containers."""

    async def ready(self, worker: Worker) -> None:
        """Take notice that a worker can run messages."""

    async def failed(self, worker: Worker, reason: str) -> None:
        """Take notice that a worker's program does not start."""


class Claim(NamedTuple):
    """A message to run, with what its process is told."""

    entry: Entry
    execution: Begun
    message: Message
    actor: Actor
    configs: dict[str, str]
    first: bool
    """whether no worker ever had it"""


@dataclass
class Running:
    """An execution in progress."""

    claim: Claim
    log: Log
    results: Results
    began: float = field(default_factory=time.monotonic)
    stop_reason: str = ""
    timer: asyncio.TimerHandle | None = None
    """of what happens next if it goes on"""


class Worker:
    """A worker of one revision of an actor; it works until it is retired.

    Args:
        actor: the actor's record.
        image: what it runs.
        home: the pool.
        after: the tasks of workers that it must not work beside.
    """

    def __init__(
        self, actor: Actor, image: Image, home: Home, *, after: Iterable[asyncio.Task[None]] = ()
    ) -> None:
        self.id = identifiers.new()
        self.actor_id: str = actor["id"]
        self.tenant: str = actor["tenant"]
        self.revision: int = actor["revision"]
        self.image = image
        self.status = CREATING
        self.asked_again = False
        """whether somebody wanted it after it had begun to start: if it fails, its reason may be gone"""
        self.create_time = clock.now()
        self.last_execution_time: datetime.datetime | None = None
        self.running: Running | None = None
        self._home = home
        self._workspace = Workspace(home.data)
        self.container = home.container(image, self.id) if image.mode == CONTAINER else None
        """what runs its messages in containers, if that is how they run"""
        self._process = self.container or self._make_process()
        self._wanted = asyncio.Event()
        self._retired = False
        self._aborted = False
        self._failures = 0
        # what one message makes of the state of an actor, the next has to find
        self._most_together = _MAX_TOGETHER if image.batch and actor["stateless"] else 1
        self._together = self._most_together
        """how many messages are taken at once: fewer after some that the actor did not take"""
        self._alone_until = 0.0
        self._after = set(after)
        self.task = asyncio.get_running_loop().create_task(self._run())

    @property
    def retired(self) -> bool:
        """Whether it takes no further message."""
        return self._retired or self.task.done()

    @property
    def is_ready(self) -> bool:
        """Whether it runs messages, now or as soon as there are some."""
        return self.status in (READY, BUSY)

    @property
    def is_waiting(self) -> bool:
        """Whether it takes a message as soon as there is one."""
        return self.status == READY and not self.retired

    @property
    def is_busy(self) -> bool:
        """Whether it runs a message, or several."""
        return self.running is not None or self.status == BUSY

    @property
    def facts(self) -> WorkerFacts:
        """What the API shows of it."""
        return WorkerFacts(
            self.id,
            self.tenant,
            self.image.name,
            self.status,
            self.create_time,
            self.last_execution_time,
            self.retired,
            location="" if self.container is None else self.container.location,
            cid="" if self.container is None else self.container.cid,
        )

    def wake(self) -> None:
        """Say that there may be a message, or that the actor may start now that could not."""
        self.asked_again = self.asked_again or self.status in (CREATING, FAILED)
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
            while not self._retired:
                await self._step()
        except NotStarted as error:
            self.status = FAILED
            if not self._aborted:
                await self._home.failed(self, str(error))
        except Exception:  # of one worker: its actor is told, the other workers go on
            self.status = FAILED
            _logger.exception("worker %s of actor %s ended", self.id, self.actor_id)
            await self._home.failed(self, "its worker ended: see the gateway's log")
        finally:
            await self._process.close()
            await self._workspace.close()

    def _make_process(self) -> Process:
        if self.image.mode == "warm":
            return Warm(self.image, self.id, self._home.data, self._home.limits.growth_bytes)
        return Cold(self.image)

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
        entries = self._home.mailboxes.take(self.actor_id, self._together, self._may_join)
        if not entries:
            due = self._home.mailboxes.next_due(self.actor_id)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), due)
            return
        entry = entries[0]
        try:
            facts = await self._facts()
            message = entry.message or await self._home.mailboxes.read(self.actor_id, entry)
        except Exception as error:
            self._home.mailboxes.give_back(self.actor_id, entries)
            if not isinstance(error, SQLAlchemyError):
                raise
            _logger.error("worker %s: the database: %s", self.id, type(error).__name__)
            await asyncio.sleep(_SHORTAGE_SECONDS)
            return
        if message is None:
            self._home.mailboxes.drop(self.actor_id, entry)
            return
        if facts is None or facts.actor["revision"] != self.revision:
            # of the actor as it is now there are, or will be, other workers
            self.retire()
            self._home.mailboxes.give_back(self.actor_id, entries)
            return
        self.status = BUSY
        if len(entries) > 1:
            await self._execute_together(entries, facts)
        elif not await self._execute_alone(self._claim(entry, facts, message)):
            return
        self.last_execution_time = clock.now()
        if not self._retired:
            self.status = READY
        await self._home.mailboxes.settled()

    def _may_join(self, entry: Entry) -> bool:
        """Tell whether a message may be handled together with others."""
        return entry.message is not None and entry.message.content_type != executions.BINARY

    async def _execute_alone(self, claim: Claim) -> bool:
        """Run a message; tell whether that was possible."""
        entry = claim.entry
        try:
            await self._execute(claim)
        except NotStarted:
            raise
        except Exception as error:
            self.running = None
            self._home.mailboxes.put_back(self.actor_id, entry)
            if getattr(error, "errno", None) not in SHORTAGES:
                raise
            _logger.error("execution %s is tried again: %s", entry.execution_id, error)
            await asyncio.sleep(_SHORTAGE_SECONDS)
            return False
        return True

    async def _facts(self) -> endings.ActorFacts | None:
        known = self._home.database.known
        try:
            return known.recall(endings.facts_of, self.actor_id)
        except NotKnown:
            return await threads.run(known.ask, endings.facts_of, self.actor_id)

    def _claim(self, entry: Entry, facts: endings.ActorFacts, message: Message) -> Claim:
        execution: Begun = {
            "id": entry.execution_id,
            "actor_id": self.actor_id,
            "tenant": self.tenant,
            "worker_id": self.id,
            "start_time": clock.now(),
        }
        values = environment.without_protected(facts.configs, self.image)
        first, entry.fresh = entry.fresh, False
        return Claim(entry, execution, message, facts.actor, values, first)

    async def _execute(self, claim: Claim) -> None:
        limits, workspace = self._home.limits, self._workspace
        seconds = self.image.seconds or limits.execution_seconds
        log, results = (
            Log(limits.log_characters),
            Results(self._home.mailboxes, limits, claim.execution),
        )
        running = self.running = Running(claim, log, results)
        token = self._grant(claim.actor, seconds)
        if self.container is not None:
            self.container.actor = claim.actor
        problem = ""
        ending = Ending(-signal.SIGKILL)
        try:
            pipe = await workspace.open(claim.message)
            first = min(_SHORT_SECONDS, seconds)
            running.timer = asyncio.get_running_loop().call_later(
                first, self._go_on, running, seconds, seconds - first
            )
            if not (self._aborted or running.stop_reason):
                ending = await self._process.run(self._environment(claim, token), pipe)
        except (NotStarted, OSError) as error:
            if getattr(error, "errno", None) in SHORTAGES:
                raise
            problem = str(error)
        finally:
            self._home.grants.revoke(token)
            if running.timer is not None:
                running.timer.cancel()
            await workspace.leave(
                log,
                results.keep,
                goes_on=ending.goes_on,
                clean=ending.clean,
                seconds=_LOG_SECONDS,
            )
            results.end()
        await self._settle(running, ending, problem, results)

    async def _execute_together(self, entries: Sequence[Entry], facts: endings.ActorFacts) -> None:
        """Let the actor handle several messages at once; those that it does not are run later.

        To everybody else they have not begun until they end. Where it takes too long or fails,
        each is run by itself, which says what is wrong.
        """
        claims = [
            self._claim(entry, facts, entry.message)
            for entry in entries
            if entry.message is not None
        ]
        began, left = time.monotonic(), list(entries)
        handled: list[Handled | None] | None = None
        try:
            ending, handled = await self._hand_over(claims)
            pairs = zip(claims, handled or (), strict=False)
            done = [(claim, end) for claim, end in pairs if end is not None]
            for claim, end in done:
                self._end_one_of_many(claim, began, ending.cpu // len(done), end)
                left.remove(claim.entry)
        finally:
            if left:
                if handled is None:
                    # each may have been handled, and each may be the one that fails
                    for entry in left:
                        entry.alone = True
                else:
                    _let_run_alone(left, entries[: len(handled) + 1])
                    for claim in claims:
                        claim.entry.fresh = claim.first
                self._home.mailboxes.give_back(self.actor_id, left)
        if handled is None:
            _logger.warning(
                "actor %s: %d messages are run one by one, since handling them together failed",
                self.actor_id,
                len(entries),
            )
            self._alone_until = time.monotonic() + _ALONE_SECONDS
        if left:
            self._together = max(1, len(entries) - len(left))
        else:
            self._take_more()

    async def _hand_over(
        self, claims: Sequence[Claim]
    ) -> tuple[Ending, list[Handled | None] | None]:
        """Call the actor for several messages; return how that ended, and what it says of them."""
        tokens = [self._grant(claim.actor, _TOGETHER_SECONDS) for claim in claims]
        timer = asyncio.get_running_loop().call_later(
            _TOGETHER_SECONDS, self._process.signal, signal.SIGKILL
        )
        ending, handled, output = Ending(-signal.SIGKILL), None, Log(0)
        try:
            pipe = await self._workspace.open(claims[0].message)
            # what is not read would hold the process up
            self._workspace.watch(output, _drop)
            if isinstance(self._process, Warm) and not self._aborted:
                each = zip(claims, tokens, strict=True)
                ending, handled = await self._process.run_batch(
                    [self._environment(claim, token) for claim, token in each], pipe
                )
        except (NotStarted, OSError) as error:
            _logger.debug("actor %s: no messages together: %s", self.actor_id, error)
        finally:
            timer.cancel()
            for token in tokens:
                self._home.grants.revoke(token)
            await self._workspace.leave(
                output,
                _drop,
                goes_on=ending.goes_on,
                clean=ending.clean,
                seconds=_LOG_SECONDS,
            )
        return ending, handled

    def _take_more(self) -> None:
        if time.monotonic() > self._alone_until:
            self._together = min(2 * self._together, self._most_together)

    def _end_one_of_many(self, claim: Claim, began: float, cpu: int, done: Handled) -> None:
        mailboxes, limits = self._home.mailboxes, self._home.limits
        log = Log(limits.log_characters)
        log.write(done.log, final=True)
        small = (result for result in done.results if len(result) <= RESULT_BYTES)
        results = [*itertools.islice(small, limits.results)]
        for result in results:
            mailboxes.told(claim.execution, result)
        end = self._end(claim, log, began, Ending(done.code, cpu))
        mailboxes.end(end, claim.entry, results, "")

    def _go_on(self, running: Running, seconds: float, left: float) -> None:
        """Let an execution be seen that does not end at once, and end in time."""
        execution = running.claim.execution
        self._workspace.watch(running.log, running.results.keep)
        self._home.mailboxes.begin(
            running.claim.entry,
            executions.Beginning(execution["id"], self.id, execution["start_time"]),
        )
        running.timer = asyncio.get_running_loop().call_later(
            left, self.stop, f"the execution reached its time limit of {seconds:g} s"
        )

    async def _settle(
        self, running: Running, ending: Ending, problem: str, results: Results
    ) -> None:
        """Do with a message what becomes of it."""
        entry = running.claim.entry
        if running.stop_reason or self._aborted:
            # it may have been stopped before its program had started
            problem = ""
        self._failures = self._failures + 1 if problem else 0
        facts = Facts(
            stopped=bool(running.stop_reason),
            aborted=self._aborted,
            failed=bool(problem),
            failures=self._failures,
            killed=ending.code in KILLED and not running.stop_reason and not problem,
            attempts=entry.attempts,
            unavailable=ending.code in self.image.unavailable,
            answered=entry.answered,
            repeatable=self.image.idempotency in running.claim.message.environment,
        )
        fate = decide(facts)
        entry.attempts += facts.killed and not facts.aborted
        reason = _last_line(running.log.text) if facts.unavailable else ""
        note = (
            f"the process was killed from outside, {entry.attempts} times" if facts.killed else ""
        )
        note = running.stop_reason or problem or note
        if note:
            running.log.note(note)
        self.running = None
        if fate is Fate.AGAIN:
            self._home.mailboxes.put_back(self.actor_id, entry)
        elif fate is Fate.LATER:
            self._home.mailboxes.postpone(self.actor_id, entry, reason)
        else:
            if ending.code == 0:
                self._take_more()
            end = self._end(running.claim, running.log, running.began, ending, problem)
            self._home.mailboxes.end(end, entry, results.rest(), reason)
        if problem:
            if fate is Fate.ENDED:
                raise NotStarted(problem)
            await asyncio.sleep(_RETRY_SECONDS * 2**self._failures)

    def _end(
        self, claim: Claim, log: Log, began: float, ending: Ending, problem: str = ""
    ) -> endings.End:
        exit_code = ending.code if ending.code >= 0 else 128 - ending.code
        moment = clock.now()
        end = executions.End(
            execution=claim.execution,
            status=executions.ERROR if problem else executions.COMPLETE,
            log=log.text,
            log_seconds=self._log_seconds(claim.actor),
            runtime=round(time.monotonic() - began),
            cpu=ending.cpu,
            io=ending.io,
            exit_code=None if problem else exit_code,
            final_state=endings.final_state(
                claim.execution, moment, exit_code, problem, out_of_memory=ending.out_of_memory
            ),
            finish_time=moment,
        )
        return endings.End(end, claim.actor, self._home.api_server(self.tenant))

    def _grant(self, actor: Actor, seconds: float) -> str:
        if str(actor["token"]).lower() != "true":
            return ""
        return self._home.grants.create(actor["tenant"], actor["owner"], seconds + _TOKEN_MARGIN)

    def _log_seconds(self, actor: Actor) -> int:
        limits = self._home.limits
        return min(actor["log_ex"] or limits.log_seconds, limits.longest_log_seconds)

    def _environment(self, claim: Claim, token: str) -> dict[str, str]:
        text = claim.message.content_type != executions.BINARY
        workspace = self._workspace
        return environment.build(
            self.image,
            claim.actor,
            claim.execution,
            sent=claim.message.environment,
            folder=workspace.folder,
            given={
                "_abaco_access_token": token,
                environment.RESULTS: workspace.results_path,
                environment.BINARY: workspace.fifo_path,
                environment.CONFIGS: claim.configs,
                environment.GATEWAY: workspace.prefix,
                environment.FIRST_ATTEMPT: "true" if claim.first else None,
                "MSG": claim.message.body.decode() if text else None,
            },
        )


async def end_all(workers: Collection[Worker], seconds: float) -> None:
    """End workers after their current messages; those that have not ended by then are aborted."""
    for worker in workers:
        worker.retire()
    if workers:
        await asyncio.wait({worker.task for worker in workers}, timeout=seconds)
    for worker in workers:
        if not worker.task.done():
            worker.abort()


def _let_run_alone(left: Sequence[Entry], tried: Sequence[Entry]) -> None:
    """Have messages that an actor did not take with others run by themselves, the first of each key."""
    keys = set()
    for entry in left:
        if entry in tried and entry.key not in keys:
            keys.add(entry.key)
            entry.alone = True


def _drop(_result: bytes) -> None:
    """Take no result."""


def _last_line(log: str) -> str:
    lines = log.strip().splitlines()
    return lines[-1][-_MAX_REASON_LENGTH:] if lines else ""
