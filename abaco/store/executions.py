"""Executions and the messages that wait for them (spec: abaco-v2, 1.2 and 1.3)."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from abaco import clock, identifiers
from abaco.store.records import Record, every, one
from abaco.store.tables import executions, logs, messages, results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

SUBMITTED = "SUBMITTED"
RUNNING = "RUNNING"
COMPLETE = "COMPLETE"
ERROR = "ERROR"
ENDED = (COMPLETE, ERROR)

TEXT = "str"
JSON = "application/json"
BINARY = "application/octet-stream"


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


def submit(tx: Connection, actor: Record, executor: str, message: Message) -> str:
    """Queue a message behind the actor's others; return the execution's id.

    Args:
        tx: a transaction that writes; the message is accepted when it has been committed.
        actor: the actor's record.
        executor: who sends it.
        message: the message.
    """
    execution_id = identifiers.new()
    values = {
        "id": execution_id,
        "tenant": actor["tenant"],
        "actor_id": actor["id"],
        "executor": executor,
        "status": SUBMITTED,
        "attempts": 0,
        "cpu": 0,
        "io": 0,
        "runtime": 0,
        "message_received_time": clock.now(),
    }
    inserted = tx.execute(insert(executions).values(values).returning(executions.c.sequence))
    tx.execute(
        insert(messages).values(
            sequence=inserted.scalar_one(),
            body=message.body,
            content_type=message.content_type,
            environment=dict(message.environment),
        )
    )
    return execution_id


def claim(tx: Connection, actor_id: str, worker_id: str) -> tuple[Record, Message] | None:
    """Take the oldest message of an actor's mailbox; its execution is then RUNNING."""
    oldest = (
        select(executions.c.sequence)
        .where(executions.c.actor_id == actor_id, executions.c.status == SUBMITTED)
        .order_by(executions.c.sequence)
        .limit(1)
        .scalar_subquery()
    )
    taken = tx.execute(
        update(executions)
        .where(executions.c.sequence == oldest, executions.c.status == SUBMITTED)
        .values(
            status=RUNNING,
            worker_id=worker_id,
            start_time=clock.now(),
            attempts=executions.c.attempts + 1,
        )
        .returning(executions)
    )
    row = taken.mappings().first()
    if row is None:
        return None
    execution = dict(row)
    message = one(tx, select(messages).where(messages.c.sequence == execution["sequence"]))
    if message is None:
        # purged between its acceptance and now; nothing to run
        _end(tx, execution, ERROR)
        return claim(tx, actor_id, worker_id)
    return execution, Message(message["body"], message["content_type"], message["environment"])


def put_back(tx: Connection, execution: Record, *, counts: bool) -> None:
    """Return the message of an execution that was interrupted to its place in the mailbox.

    What it has sent as results is dropped: it will be sent again. One that has ended meanwhile,
    since its actor was deleted, stays so.

    Args:
        tx: a transaction that writes.
        execution: the record, as it was claimed.
        counts: whether it is to count as an attempt.
    """
    attempts = executions.c.attempts if counts else executions.c.attempts - 1
    interrupted = tx.execute(
        update(executions)
        .where(executions.c.sequence == execution["sequence"], executions.c.status == RUNNING)
        .values(status=SUBMITTED, worker_id=None, start_time=None, attempts=attempts)
    )
    if interrupted.rowcount:
        tx.execute(delete(results).where(results.c.execution_id == execution["id"]))


def finish(
    tx: Connection,
    execution: Record,
    *,
    status: str,
    log: str,
    log_seconds: int,
    **values: Any,
) -> None:
    """End an execution: its log is kept, its message is not.

    Args:
        tx: a transaction that writes.
        execution: the record, as it was claimed.
        status: `COMPLETE` or `ERROR`.
        log: what the process wrote.
        log_seconds: how long that is kept.
        values: further columns: `exit_code`, `final_state`, `runtime`, `cpu`, `io`.
    """
    expires = clock.now() + datetime.timedelta(seconds=log_seconds)
    tx.execute(delete(logs).where(logs.c.execution_id == execution["id"]))
    tx.execute(
        insert(logs).values(
            execution_id=execution["id"],
            actor_id=execution["actor_id"],
            tenant=execution["tenant"],
            logs=log,
            expires=expires,
        )
    )
    _end(tx, execution, status, **values)


def _end(tx: Connection, execution: Record, status: str, **values: Any) -> None:
    mine = executions.c.sequence == execution["sequence"]
    values |= {"status": status, "finish_time": clock.now()}
    tx.execute(update(executions).where(mine).values(values))
    tx.execute(delete(messages).where(messages.c.sequence == execution["sequence"]))


def interrupted(tx: Connection) -> list[Record]:
    """Return the executions that are RUNNING; after a start, nobody carries these out."""
    return every(tx, select(executions).where(executions.c.status == RUNNING))


def find(tx: Connection, actor_id: str, execution_id: str) -> Record | None:
    """Return an execution of an actor."""
    query = select(executions).where(
        executions.c.actor_id == actor_id, executions.c.id == execution_id
    )
    return one(tx, query)


def all_of(tx: Connection, actor_id: str) -> list[Record]:
    """Return the executions of an actor, oldest first, with the columns that a list shows."""
    names = ("id", "status", "start_time", "finish_time", "message_received_time")
    query = (
        select(*(executions.c[name] for name in names))
        .where(executions.c.actor_id == actor_id)
        .order_by(executions.c.sequence)
    )
    return every(tx, query)


def page_of(tx: Connection, actor_id: str, skip: int, limit: int) -> tuple[list[Record], int]:
    """Return some executions of an actor, oldest first, and how many there are."""
    mine = executions.c.actor_id == actor_id
    total = tx.execute(select(func.count()).select_from(executions).where(mine)).scalar_one()
    query = select(executions).where(mine).order_by(executions.c.sequence)
    return every(tx, query.offset(skip).limit(limit)), int(total)


def totals(tx: Connection, actor_id: str) -> Record:
    """Return the number of an actor's executions, and what they used together."""
    query = select(
        func.count().label("executions"),
        *(func.coalesce(func.sum(executions.c[name]), 0).label(name) for name in _SUMS),
    ).where(executions.c.actor_id == actor_id)
    return one(tx, query) or {}


_SUMS = ("cpu", "io", "runtime")


def waiting(tx: Connection, actor_id: str) -> int:
    """Return how many messages are in an actor's mailbox."""
    query = (
        select(func.count())
        .select_from(executions)
        .where(executions.c.actor_id == actor_id, executions.c.status == SUBMITTED)
    )
    return int(tx.execute(query).scalar_one())


def purge(tx: Connection, actor_id: str) -> list[str]:
    """Empty an actor's mailbox; return the ids of executions that will never run, now ERROR."""
    return _drop(tx, actor_id, (SUBMITTED,))


def abandon(tx: Connection, actor_id: str) -> list[str]:
    """End everything that an actor, which is deleted, has not done; return the ids."""
    return _drop(tx, actor_id, (SUBMITTED, RUNNING))


def _drop(tx: Connection, actor_id: str, status: tuple[str, ...]) -> list[str]:
    query = select(executions).where(
        executions.c.actor_id == actor_id, executions.c.status.in_(status)
    )
    dropped = every(tx, query)
    for execution in dropped:
        _end(tx, execution, ERROR)
    return [str(execution["id"]) for execution in dropped]


def count(tx: Connection) -> dict[str, int]:
    """Return how many executions have each status."""
    query = select(executions.c.status, func.count()).group_by(executions.c.status)
    return {str(status): int(number) for status, number in tx.execute(query)}


def log_of(tx: Connection, execution_id: str) -> str:
    """Return the log of an ended execution, empty where it has none or it has expired."""
    query = select(logs.c.logs).where(
        logs.c.execution_id == execution_id, logs.c.expires > clock.now()
    )
    return str(tx.execute(query).scalar() or "")


def add_result(tx: Connection, execution: Record, body: bytes, seconds: int) -> None:
    """Keep a result for some seconds, behind the others of its execution."""
    tx.execute(
        insert(results).values(
            execution_id=execution["id"],
            actor_id=execution["actor_id"],
            body=body,
            expires=clock.now() + datetime.timedelta(seconds=seconds),
        )
    )


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


def forget_expired(tx: Connection) -> None:
    """Remove the logs and results whose time has passed."""
    for table in (logs, results):
        tx.execute(delete(table).where(table.c.expires <= clock.now()))
