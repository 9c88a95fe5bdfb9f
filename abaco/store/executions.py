"""Executions and the messages that wait for them (docs/reference/abaco.md#executions)."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, literal_column, select, union_all, update

from abaco import clock, identifiers
from abaco.store.records import every, one
from abaco.store.rows import Begun, Execution, Listed, Postponed, Queued, Totals
from abaco.store.rows import Message as MessageRow
from abaco.store.statements import Statement
from abaco.store.tables import STAYS, actors, executions, logs, messages, results

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Insert, Select, Table

    from abaco.store.rows import Actor

SUBMITTED = "SUBMITTED"
RUNNING = "RUNNING"
COMPLETE = "COMPLETE"
ERROR = "ERROR"
ENDED = (COMPLETE, ERROR)
UNFINISHED = (SUBMITTED, RUNNING)

PRIVATE = (
    *("sequence", "tenant", "attempts"),
    # what the mailbox knows of a message
    *("sender", "ordering", "tries", "due", "reason"),
    # what several machines know of it
    *("fence", "holder", "lease", "rung", "stop"),
)
"""The columns that clients do not see."""

TEXT = "str"
JSON = "application/json"
BINARY = "application/octet-stream"
_SUMS = ("cpu", "io", "runtime")
MAX_FORGOTTEN = 200
"""Logs, and results, in one transaction: each may have very many pages of the disk."""


def _insert(table: Table, *names: str, **constants: str) -> Insert:
    """Return the statement that inserts a row with values of some names, and constants, in SQL."""
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    values |= {name: literal_column(constant) for name, constant in constants.items()}
    return insert(table).values(values)


class Message(NamedTuple):
    """What an execution is about.

    Attributes:
        body: what the process gets, text as UTF-8.
        content_type: `TEXT`, `JSON` or `BINARY`.
        environment: what the sender adds to the process's environment.
    """

    body: bytes
    content_type: str
    environment: Mapping[str, str]


class Accepted(NamedTuple):
    """A message that is on disk.

    Attributes:
        sequence: its place among all messages.
    """

    sequence: int
    execution_id: str
    submission: Submission


class Submission(NamedTuple):
    """A message for an actor's mailbox, behind the others; it is accepted when this is on disk.

    Attributes:
        executor: who sends it.
        sender: with whom others take turns; the same executor may be several.
        ordering: the key by which it is ordered among the sender's messages, None for none.
        execution_id: of its execution, if that has one before this is on disk.
        received: when it came, if that was noted then.
    """

    tenant: str
    actor_id: str
    executor: str
    message: Message
    sender: str
    ordering: str | None = None
    execution_id: str = ""
    received: datetime.datetime | None = None

    @classmethod
    def write(cls, tx: Connection, submissions: Sequence[Submission]) -> list[Accepted | None]:
        """Queue messages; return None for those whose actor is not there, or is being deleted."""
        wanted = [{"id": each} for each in {submission.actor_id for submission in submissions}]
        there = set(_ACTOR.first(tx, wanted))
        accepted = [each for each in submissions if each.actor_id in there]
        if not accepted:
            return [None] * len(submissions)
        moment = clock.now()
        ids = [each.execution_id or identifiers.new() for each in accepted]
        rows = [
            {
                "id": execution_id,
                "tenant": submission.tenant,
                "actor_id": submission.actor_id,
                "executor": submission.executor,
                "sender": submission.sender,
                "ordering": submission.ordering,
                "message_received_time": submission.received or moment,
                "rung": moment,
            }
            for execution_id, submission in zip(ids, accepted, strict=True)
        ]
        sequences = _SUBMIT.first(tx, rows)
        _KEEP.run(
            tx,
            [
                {"sequence": sequence, **submission.message._asdict()}
                for sequence, submission in zip(sequences, accepted, strict=True)
            ],
        )
        done = iter(map(Accepted, sequences, ids, accepted))
        return [next(done) if each.actor_id in there else None for each in submissions]


_ACTOR = Statement(select(actors.c.id).where(actors.c.id == bindparam("id"), STAYS))
_SUBMIT = Statement(
    _insert(
        executions,
        *("id", "tenant", "actor_id", "executor", "sender", "ordering"),
        *("message_received_time", "rung"),
        status=f"'{SUBMITTED}'",
        **dict.fromkeys(("attempts", "tries", "cpu", "io", "runtime"), "0"),
    ).returning(executions.c.sequence)
)
_KEEP = Statement(_insert(messages, "sequence", "body", "content_type", "environment"))


def submit(tx: Connection, actor: Actor, executor: str, message: Message) -> Accepted:
    """Queue a message of the platform's own behind the actor's others.

    Args:
        tx: a transaction that writes; the message is accepted when it has been committed.
        actor: the actor's record.
        executor: who sends it.
        message: the message.

    Raises:
        LookupError: the actor is not there, or is being deleted.
    """
    (accepted,) = Submission.write(
        tx, [Submission(actor["tenant"], actor["id"], executor, message, executor)]
    )
    if accepted is None:
        message_ = f"actor {actor['id']} is not in the database"
        raise LookupError(message_)
    return accepted


class Beginning(NamedTuple):
    """An execution that is RUNNING; of one that ends soon, the end says when it began."""

    execution_id: str
    worker_id: str
    start_time: datetime.datetime

    @classmethod
    def write(cls, tx: Connection, beginnings: Sequence[Beginning]) -> list[None]:
        """Write down who runs what."""
        tx.execute(
            _BEGIN,
            [
                {"b_id": each.execution_id, "b_worker": each.worker_id, "b_start": each.start_time}
                for each in beginnings
            ],
        )
        return [None] * len(beginnings)


_BEGIN = (
    update(executions)
    .where(executions.c.id == bindparam("b_id"), executions.c.status == SUBMITTED)
    .values(status=RUNNING, worker_id=bindparam("b_worker"), start_time=bindparam("b_start"))
)


class Return(NamedTuple):
    """A message that returns to its place in the mailbox, since its execution did not end.

    What it has sent as results is dropped: it will be sent again. One that has ended meanwhile,
    since its actor was deleted, stays so.

    Attributes:
        attempts: how often its process was killed.
        tries: how often it could not be handled yet.
        due: before when it is not tried again, None for at once.
        reason: why it could not.
    """

    execution_id: str
    attempts: int
    tries: int = 0
    due: datetime.datetime | None = None
    reason: str = ""

    @classmethod
    def write(cls, tx: Connection, returns: Sequence[Return]) -> list[None]:
        """Write down that they wait again."""
        rows = [{f"b_{name}": value for name, value in each._asdict().items()} for each in returns]
        tx.execute(_RETURN, rows)
        tx.execute(_DROP_RESULTS, rows)
        return [None] * len(returns)


_RETURN = (
    update(executions)
    .where(
        executions.c.id == bindparam("b_execution_id"),
        # `not_in` cannot be used for several rows at once
        *(executions.c.status != status for status in ENDED),
    )
    .values(
        status=SUBMITTED,
        worker_id=None,
        start_time=None,
        attempts=bindparam("b_attempts"),
        tries=bindparam("b_tries"),
        due=bindparam("b_due"),
        reason=bindparam("b_reason"),
    )
)
_DROP_RESULTS = delete(results).where(results.c.execution_id == bindparam("b_execution_id"))


class Results(NamedTuple):
    """Results of an execution, behind those that it has, and how long they are kept."""

    execution_id: str
    actor_id: str
    bodies: tuple[bytes, ...]
    seconds: int

    @classmethod
    def write(cls, tx: Connection, kept: Sequence[Results]) -> list[None]:
        """Keep results."""
        moment = clock.now()
        rows = [
            {
                "execution_id": each.execution_id,
                "actor_id": each.actor_id,
                "body": body,
                "expires": moment + datetime.timedelta(seconds=each.seconds),
            }
            for each in kept
            for body in each.bodies
        ]
        if rows:
            _ADD_RESULT.run(tx, rows)
        return [None] * len(kept)


_ADD_RESULT = Statement(_insert(results, "execution_id", "actor_id", "body", "expires"))


class End(NamedTuple):
    """The end of an execution: its log is kept, its message is not.

    Attributes:
        submission: its message, if that is not on disk.
        status: `COMPLETE` or `ERROR`.
        log: what the process wrote.
        log_seconds: how long that is kept.
        runtime: seconds.
        cpu: nanoseconds.
        io: bytes received.
    """

    execution: Begun
    status: str
    log: str
    log_seconds: int
    runtime: int
    cpu: int
    io: int
    exit_code: int | None
    final_state: dict[str, Any]
    finish_time: datetime.datetime
    submission: Submission | None = None

    @classmethod
    def write(cls, tx: Connection, ends: Sequence[End]) -> list[None]:
        """End executions."""
        rows = [{**end.execution, **end._asdict()} for end in ends]
        logged = [
            {
                "execution_id": row["id"],
                "actor_id": row["actor_id"],
                "tenant": row["tenant"],
                "logs": row["log"],
                "expires": row["finish_time"] + datetime.timedelta(seconds=row["log_seconds"]),
            }
            for row in rows
            if row["log"]
        ]
        named = [
            {f"b_{name}": value for name, value in row.items()}
            for row in rows
            if row["submission"] is None
        ]
        if named:
            _DROP_LOG.run(tx, named)
            _END.run(tx, named)
            _DROP_MESSAGE.run(tx, named)
        if logged:
            _KEEP_LOG.run(tx, logged)
        whole = [
            {**row, **submission._asdict(), "message_received_time": submission.received}
            for row in rows
            if (submission := row["submission"]) is not None
        ]
        if whole:
            _ADD_ENDED.run(tx, whole)
        return [None] * len(ends)


_DROP_LOG = Statement(delete(logs).where(logs.c.execution_id == bindparam("b_id")))
_KEEP_LOG = Statement(_insert(logs, "execution_id", "actor_id", "tenant", "logs", "expires"))
_OF_END = (
    *("status", "runtime", "cpu", "io", "exit_code", "final_state"),
    *("worker_id", "start_time", "finish_time"),
)
_END = Statement(
    update(executions)
    .where(executions.c.id == bindparam("b_id"))
    .values({name: bindparam(f"b_{name}") for name in _OF_END})
)
_ADD_ENDED = Statement(
    _insert(
        executions,
        *("id", "tenant", "actor_id", "executor", "sender", "message_received_time"),
        *_OF_END,
        **dict.fromkeys(("attempts", "tries"), "0"),
    )
)
_DROP_MESSAGE = Statement(
    delete(messages).where(
        messages.c.sequence
        == select(executions.c.sequence)
        .where(executions.c.id == bindparam("b_id"))
        .scalar_subquery()
    )
)


class Drop(NamedTuple):
    """Messages that will never run; their executions end in status ERROR."""

    execution_ids: tuple[str, ...]

    @classmethod
    def write(cls, tx: Connection, drops: Sequence[Drop]) -> list[None]:
        """Drop messages."""
        _abandon(tx, [each_id for each in drops for each_id in each.execution_ids])
        return [None] * len(drops)


def messages_at(tx: Connection, sequences: Iterable[int]) -> dict[int, Message]:
    """Return messages that wait, by their places, as far as they are there."""
    found = every(tx, select(messages).where(messages.c.sequence.in_(sequences)), MessageRow)
    return {
        row["sequence"]: Message(row["body"], row["content_type"], row["environment"])
        for row in found
    }


def sizes_at(tx: Connection, sequences: Iterable[int]) -> dict[int, int]:
    """Return how many bytes messages have that wait, by their places, as far as they are there."""
    size = func.length(messages.c.body).label("size")
    query = select(messages.c.sequence, size).where(messages.c.sequence.in_(sequences))
    return {row.sequence: row.size for row in tx.execute(query)}


def in_mailboxes(tx: Connection) -> list[Queued]:
    """Return what waits, oldest first, without the messages themselves."""
    names = (
        "sequence",
        "id",
        "actor_id",
        "sender",
        "ordering",
        "attempts",
        "tries",
        "due",
        "reason",
    )
    query = (
        select(*(executions.c[name] for name in names))
        .where(*unfinished(SUBMITTED))
        .order_by(executions.c.sequence)
    )
    return every(tx, query, Queued)


def recover(tx: Connection) -> int:
    """Put the messages that an earlier gateway was running back into their mailboxes; count them."""
    left = every(tx, select(executions).where(*unfinished(RUNNING)), Execution)
    returns = [Return(each["id"], each["attempts"], each["tries"]) for each in left]
    if returns:
        Return.write(tx, returns)
    return len(returns)


def unfinished(*statuses: str) -> tuple[ColumnElement[bool], ...]:
    """Return the condition for executions that have not ended, which are never those of a removed actor.

    By actor and status, the index finds them among however many that have ended.
    """
    return executions.c.actor_id.in_(select(actors.c.id)), executions.c.status.in_(statuses)


def _abandon(tx: Connection, execution_ids: Sequence[str]) -> None:
    moment = clock.now()
    rows = [{"b_id": each, "b_moment": moment} for each in execution_ids]
    if rows:
        tx.execute(_ABANDON, rows)
        _DROP_MESSAGE.run(tx, rows)


_ABANDON = (
    update(executions)
    .where(executions.c.id == bindparam("b_id"))
    .values(status=ERROR, finish_time=bindparam("b_moment"))
)


def find(tx: Connection, actor_id: str, execution_id: str) -> Execution | None:
    """Return an execution of an actor."""
    query = select(executions).where(
        executions.c.actor_id == actor_id, executions.c.id == execution_id
    )
    return one(tx, query, Execution)


def newest_of(tx: Connection, actor_id: str, most: int) -> list[Listed]:
    """Return the newest executions of an actor, oldest first, with the columns that a list shows."""
    names = ("id", "status", "start_time", "finish_time", "message_received_time")
    query = select(*(executions.c[name] for name in names))
    return every(tx, _some_of(query, actor_id, 0, most, from_end=True), Listed)


def page_of(tx: Connection, actor_id: str, skip: int, limit: int, total: int) -> list[Execution]:
    """Return some executions of an actor, oldest first, of as many as there are."""
    limit = min(limit, total - skip)
    if limit <= 0:
        return []
    behind = total - skip - limit
    from_end = behind < skip
    query = _some_of(
        select(executions), actor_id, behind if from_end else skip, limit, from_end=from_end
    )
    return every(tx, query, Execution)


def _some_of(
    query: Select[Any], actor_id: str, skip: int, limit: int, *, from_end: bool
) -> Select[Any]:
    """Return the query for some executions of an actor, oldest first, counted from the first or the last one.

    The index has those of each status in their order: so no more is read than is passed over.
    """
    order = executions.c.sequence.desc() if from_end else executions.c.sequence.asc()
    of_each = [
        select(executions.c.sequence)
        .where(executions.c.actor_id == actor_id, executions.c.status == status)
        .order_by(order)
        .limit(skip + limit)
        .subquery()
        for status in (*UNFINISHED, *ENDED)
    ]
    of_all = union_all(*(select(each.c.sequence) for each in of_each)).subquery()
    place = of_all.c.sequence.desc() if from_end else of_all.c.sequence.asc()
    wanted = select(of_all.c.sequence).order_by(place).offset(skip).limit(limit)
    return query.where(executions.c.sequence.in_(wanted)).order_by(executions.c.sequence)


def totals(tx: Connection, actor_id: str) -> Totals:
    """Return the number of an actor's executions, and what they used together."""
    query = select(
        func.count().label("executions"),
        *(func.coalesce(func.sum(executions.c[name]), 0).label(name) for name in _SUMS),
    ).where(executions.c.actor_id == actor_id)
    return one(tx, query, Totals) or {"executions": 0, "cpu": 0, "io": 0, "runtime": 0}


def waiting(tx: Connection, actor_id: str) -> int:
    """Return how many messages are in an actor's mailbox."""
    query = (
        select(func.count())
        .select_from(executions)
        .where(executions.c.actor_id == actor_id, executions.c.status == SUBMITTED)
    )
    return int(tx.execute(query).scalar_one())


def postponed(tx: Connection, actor_id: str, most: int) -> list[Postponed]:
    """Return the messages of an actor that could not be handled yet, the oldest first.

    One of them may just be tried again.
    """
    names = ("id", "message_received_time", "tries", "due", "reason")
    query = (
        select(*(executions.c[name] for name in names))
        .where(
            executions.c.actor_id == actor_id,
            executions.c.status.in_(UNFINISHED),
            executions.c.tries > 0,
        )
        .order_by(executions.c.sequence)
        .limit(most)
    )
    return every(tx, query, Postponed)


def abandon(tx: Connection, actor_id: str) -> list[str]:
    """End everything that an actor, which is deleted, has not done; return the ids."""
    query = select(executions.c.id).where(
        executions.c.actor_id == actor_id, executions.c.status.in_(UNFINISHED)
    )
    dropped = [str(each) for each in tx.execute(query).scalars()]
    _abandon(tx, dropped)
    return dropped


def log_of(tx: Connection, execution_id: str) -> str:
    """Return the log of an ended execution, empty where it has none or it has expired."""
    query = select(logs.c.logs).where(
        logs.c.execution_id == execution_id, logs.c.expires > clock.now()
    )
    return str(tx.execute(query).scalar() or "")


def show_log(tx: Connection, execution: Begun | Execution, log: str, seconds: int) -> None:
    """Keep what a running execution has written so far."""
    row = {
        "execution_id": execution["id"],
        "actor_id": execution["actor_id"],
        "tenant": execution["tenant"],
        "logs": log,
        "expires": clock.now() + datetime.timedelta(seconds=seconds),
    }
    _DROP_LOG.run(tx, [{"b_id": execution["id"]}])
    _KEEP_LOG.run(tx, [row])


def results_of(tx: Connection, execution_id: str) -> list[bytes]:
    """Return the results of an execution, and leave them."""
    query = select(results.c.body).where(results.c.execution_id == execution_id)
    return [bytes(body) for body in tx.execute(query.order_by(results.c.sequence)).scalars()]


def pop_result(tx: Connection, actor_id: str, execution_id: str) -> bytes | None:
    """Take the oldest result of an execution."""
    oldest = (
        select(func.min(results.c.sequence))
        .where(
            results.c.actor_id == actor_id,
            results.c.execution_id == execution_id,
            results.c.expires > clock.now(),
        )
        .scalar_subquery()
    )
    taken = tx.execute(
        delete(results).where(results.c.sequence == oldest).returning(results.c.body)
    )
    body = taken.scalar()
    return None if body is None else bytes(body)


def forget_expired(tx: Connection) -> bool:
    """Remove logs and results whose time has passed, `MAX_FORGOTTEN` of each; tell whether there may be others."""
    moment, is_more = clock.now(), False
    for key in (logs.c.execution_id, results.c.sequence):
        passed = select(key).where(key.table.c.expires <= moment).limit(MAX_FORGOTTEN)
        removed = tx.execute(delete(key.table).where(key.in_(passed))).rowcount
        is_more = is_more or removed >= MAX_FORGOTTEN
    return is_more
