"""Who runs which execution, where several machines do, and until when: in PostgreSQL, by its clock.

A holder has a lease, which it renews while it runs the message, and a fence: the number of times that the
execution was taken. Whoever was cut off, and whose execution another has taken since, has an older fence: what it
writes is refused. Messages that are ordered are in one lane, of which one is taken at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    func,
    or_,
    select,
    true,
    update,
)

from abaco.store import actors as actor_store
from abaco.store import executions as store
from abaco.store.moments import NOW, later
from abaco.store.records import Record, every, one
from abaco.store.rows import Actor, Ended, Execution
from abaco.store.tables import actors, executions, messages

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Executable

LEASE_SECONDS, BEAT_SECONDS = 10.0, 1.0
RING_SECONDS = 5.0
"""After which what waits is rung for again."""
MAX_DELAY = 100.0
"""Seconds for which no message is put off: what is due later was put off before the clock was set back."""
MAX_RUNG = 16
"""Messages of one actor that are rung for again at a time."""


class LeaseLost(Exception):
    """The execution is not held any more: what its holder has to say does not count."""


class Hold(NamedTuple):
    """An execution that is held.

    Attributes:
        fence: the number of times that it was taken.
        lane: by which it is ordered; None if it is not.
    """

    sequence: int
    fence: int
    lane: str | None


class Found(NamedTuple):
    """An execution that has not ended, and its actor."""

    row: Execution
    actor: Actor

    @property
    def lane(self) -> str | None:
        """By which it is ordered; None if it is not."""
        actor_id, ordering = self.row["actor_id"], self.row["ordering"]
        if not self.actor["stateless"]:
            return actor_id
        return None if ordering is None else f"{actor_id} {ordering}"


class Taken(NamedTuple):
    """An execution that was taken to be run.

    Attributes:
        row: as it is now.
        message: what it is about; None where it is not there.
        former: the worker that had it and is dead, where there was one.
    """

    hold: Hold
    row: Execution
    message: store.Message | None
    former: str | None

    @property
    def fresh(self) -> bool:
        """Whether nobody ever had it."""
        return self.hold.fence == 1


def find(tx: Connection, execution_id: str) -> Found | None:
    """Return an execution that has not ended; None if its actor is gone, or is being deleted."""
    return _found(tx, _BY_ID, {"b_id": execution_id})


def take(
    tx: Connection,
    found: Found,
    holder: str,
    worker_id: str,
    is_dead: Callable[[str], bool] = lambda _: False,
) -> Taken | None:
    """Take an execution, or the one before it in its lane.

    Args:
        tx: a transaction that writes.
        found: for which the bell was rung, as it was found in this transaction.
        holder: who takes it.
        worker_id: of the worker that runs it.
        is_dead: tells whether another holder is known to have ended.

    Returns:
        None if there is nothing to run: it was, its lane waits, or its actor is gone.
    """
    lane = found.lane
    if lane is None:
        row: Execution | None = found.row
    else:
        _enter(tx, lane)
        row = _first(tx, found.row, lane)
    if row is None:
        return None
    former = None
    if row["status"] == store.RUNNING:
        if not row["holder"] or not is_dead(row["holder"]):
            # whoever ends the one that runs rings for the next
            tx.execute(_UNRING, {"b_sequence": found.row["sequence"]})
            return None
        held = Hold(row["sequence"], row["fence"], lane)
        if tx.execute(_ABANDON, _named(held)).rowcount != 1:
            return None
        former = row["worker_id"]
        give_back(tx, row["sequence"], row["id"], row["attempts"] + 1, row["tries"])
    named = {"b_sequence": row["sequence"], "b_holder": holder, "b_worker_id": worker_id}
    values = tx.execute(_TAKE, named).first()
    if values is None:
        return None
    taken = cast("Execution", dict(zip(_OF_EXECUTION, values, strict=False)))
    if taken["sequence"] != found.row["sequence"]:
        # its ring is used up: whoever ends the one before it rings for it
        tx.execute(_UNRING, {"b_sequence": found.row["sequence"]})
    body, content_type, sent = values[len(_OF_EXECUTION) :]
    message = None if body is None else store.Message(body, content_type, sent)
    return Taken(Hold(taken["sequence"], taken["fence"], lane), taken, message, former)


def beat(tx: Connection, hold: Hold) -> str:
    """Renew a lease; return why the execution is to end, empty if it may go on.

    Raises:
        LeaseLost: it is not held any more.
    """
    row = tx.execute(_BEAT, _named(hold)).first()
    if row is None:
        raise LeaseLost
    return str(row.stop or "")


def check(tx: Connection, hold: Hold) -> None:
    """Keep an execution from being taken until the transaction ends.

    Raises:
        LeaseLost: it is not held any more.
    """
    if hold.lane is not None:
        _enter(tx, hold.lane)
    if tx.execute(_CHECK, _named(hold)).first() is None:
        raise LeaseLost


def give_back(
    tx: Connection,
    sequence: int,
    execution_id: str,
    attempts: int,
    tries: int = 0,
    delay: float | None = None,
    reason: str = "",
) -> None:
    """Let an execution that has not ended wait again, for some seconds (see `executions.Return`)."""
    returned = store.Return(execution_id, attempts, tries, reason=reason)
    store.Return.write(tx, [returned])
    released = _RELEASE if delay is None else _RELEASE.values(due=later(delay))
    tx.execute(released, {"b_sequence": sequence})


def explain(tx: Connection, sequence: int, reason: str) -> None:
    """Keep why an execution could not be handled, for whoever waits for it."""
    tx.execute(update(executions).where(executions.c.sequence == sequence).values(reason=reason))


def next_in(tx: Connection, actor_id: str, ordering: str | None, lane: str | None) -> str | None:
    """Return the execution that comes next in a lane, if nobody is going to ring for it."""
    if lane is None:
        return None
    named = {"b_actor_id": actor_id, "b_ordering": ordering}
    row = tx.execute(_NEXT[lane == actor_id], named).first()
    if row is None or row.rung is not None:
        return None
    tx.execute(_RING, {"b_sequence": row.sequence})
    return str(row.id)


def expired(tx: Connection) -> list[Execution]:
    """Return the executions whose holders were not heard of, which nobody else takes meanwhile."""
    tx.execute(_SHORTEN)
    query = (
        select(executions)
        .where(*_RUNS)
        # what an engine without leases has left has none
        .where(or_(executions.c.lease.is_(None), executions.c.lease < NOW))
        .with_for_update(skip_locked=True)
    )
    return every(tx, query, Execution)


def unheard(tx: Connection) -> list[tuple[str, str, bool]]:
    """Return what waits and was not rung for lately: actor, execution, whether it is stateless.

    They are rung for then. Of one actor there are a few, the oldest; and what waits for one that runs is
    rung for at the end of that.
    """
    other = executions.alias()
    runs = (
        select(other.c.sequence)
        .where(
            other.c.actor_id == executions.c.actor_id,
            other.c.status == store.RUNNING,
            or_(
                ~actors.c.stateless,
                and_(other.c.ordering.is_not(None), other.c.ordering == executions.c.ordering),
            ),
        )
        .correlate(executions, actors)
        .exists()
    )
    oldest = (
        select(executions.c.sequence, executions.c.id)
        .where(
            executions.c.actor_id == actors.c.id,
            executions.c.status == store.SUBMITTED,
            _IS_DUE,
            or_(
                executions.c.rung.is_(None),
                executions.c.rung < later(-RING_SECONDS),
                # by a gateway whose clock is ahead
                executions.c.rung > later(RING_SECONDS),
            ),
            ~runs,
        )
        .order_by(executions.c.sequence)
        .limit(MAX_RUNG)
        .correlate(actors)
        .lateral()
    )
    query = (
        select(actors.c.id.label("actor_id"), actors.c.stateless, oldest.c.sequence, oldest.c.id)
        .join(oldest, true())
        .where(actors.c.status.not_in((actor_store.ERROR, actor_store.SHUTTING_DOWN)))
    )
    rows = every(tx, query, Record)
    if rows:
        tx.execute(_RING, [{"b_sequence": row["sequence"]} for row in rows])
    return [(row["actor_id"], row["id"], row["stateless"]) for row in rows]


def ask_to_stop(tx: Connection, execution_id: str, reason: str) -> bool:
    """Let the holder of an execution end it; tell whether there is one."""
    running = (executions.c.id == execution_id, executions.c.status == store.RUNNING)
    return tx.execute(update(executions).where(*running).values(stop=reason)).rowcount == 1


def ahead_of(tx: Connection, submission: store.Submission) -> Record | None:
    """Return the first in the lane of a sender, if it could not be handled yet."""
    query = (
        select(executions.c.id, executions.c.tries, executions.c.reason)
        .where(
            executions.c.actor_id == submission.actor_id,
            executions.c.ordering == submission.ordering,
            executions.c.sender == submission.sender,
            executions.c.status.in_(store.UNFINISHED),
        )
        .order_by(executions.c.sequence)
        .limit(1)
    )
    row = one(tx, query, Record)
    return row if row is not None and row["tries"] else None


def drop(tx: Connection, *conditions: ColumnElement[bool]) -> list[str]:
    """Drop messages that wait; return the executions, which have ended in status ERROR."""
    query = (
        select(executions.c.id)
        .where(executions.c.status == store.SUBMITTED, *conditions)
        .with_for_update(skip_locked=True)
    )
    dropped = [str(each) for each in tx.execute(query).scalars()]
    store.Drop.write(tx, [store.Drop(tuple(dropped))])
    return dropped


def held(tx: Connection) -> Record:
    """Return how many executions are held, and how many of them beyond their lease."""
    query = select(
        func.count().label("held"),
        func.count().filter(executions.c.lease < NOW).label("expired"),
    ).where(executions.c.status == store.RUNNING)
    return one(tx, query, Record) or {}


def is_any_good(tx: Connection) -> bool:
    """Tell whether any execution has a holder whose lease has not run out."""
    query = select(executions.c.id).where(
        executions.c.status == store.RUNNING, executions.c.lease >= NOW
    )
    return tx.execute(query.limit(1)).first() is not None


def held_by(tx: Connection, node_id: str) -> int:
    """Return how many executions a node holds."""
    query = (
        select(func.count())
        .select_from(executions)
        .where(executions.c.status == store.RUNNING, executions.c.holder.startswith(f"{node_id}:"))
    )
    return int(tx.execute(query).scalar_one())


def is_held(tx: Connection, execution_id: str, fence: int, *, other_than: str = "") -> bool:
    """Tell whether an execution is still held by who took it with a fence.

    Args:
        tx: a transaction.
        execution_id: the execution's.
        fence: of the taking.
        other_than: the id of a node that holds nothing any more.
    """
    conditions = [
        executions.c.id == execution_id,
        executions.c.fence == fence,
        executions.c.status == store.RUNNING,
    ]
    if other_than:
        conditions.append(~executions.c.holder.startswith(f"{other_than}:"))
    return tx.execute(select(executions.c.id).where(*conditions)).first() is not None


def runs(tx: Connection, actor_id: str) -> bool:
    """Tell whether an execution of an actor is held."""
    query = select(executions.c.id).where(
        executions.c.actor_id == actor_id, executions.c.status == store.RUNNING
    )
    return tx.execute(query.limit(1)).first() is not None


def activity_of(tx: Connection, actor_id: str) -> tuple[set[str], dict[str, datetime.datetime]]:
    """Return which nodes hold an execution of an actor, and when each had ended one last."""
    node = func.split_part(executions.c.holder, ":", 1)
    query = (
        select(
            node.label("node"),
            func.max(executions.c.finish_time).label("last"),
            func.bool_or(executions.c.status == store.RUNNING).label("busy"),
        )
        .where(executions.c.actor_id == actor_id, executions.c.holder.is_not(None))
        .group_by(node)
    )
    rows = every(tx, query, Record)
    busy = {str(row["node"]) for row in rows if row["busy"]}
    return busy, {str(row["node"]): row["last"] for row in rows if row["last"] is not None}


def postponed(tx: Connection) -> int:
    """Return how many messages could not be handled yet."""
    query = (
        select(func.count())
        .select_from(executions)
        .where(executions.c.status == store.SUBMITTED, executions.c.tries > 0)
    )
    return int(tx.execute(query).scalar_one())


def states_of(tx: Connection, execution_ids: Sequence[str]) -> list[Ended]:
    """Return how executions are: what somebody who waits for them needs."""
    names = ("id", "actor_id", "status", "exit_code", "final_state", "tries", "reason")
    delay = func.extract("epoch", executions.c.due - NOW).label("delay")
    columns = [*(executions.c[name] for name in names), delay]
    return every(tx, select(*columns).where(executions.c.id.in_(execution_ids)), Ended)


def _found(tx: Connection, query: Executable, named: Mapping[str, str | None]) -> Found | None:
    values = tx.execute(query, named).first()
    if values is None:
        return None
    row = dict(zip(_OF_EXECUTION, values, strict=False))
    actor = dict(zip(_OF_ACTOR, values[len(_OF_EXECUTION) :], strict=True))
    return Found(cast("Execution", row), cast("Actor", actor))


def _first(tx: Connection, row: Execution, lane: str) -> Execution | None:
    """Return what runs in a lane, or else what comes first."""
    actor_id = row["actor_id"]
    named = {"b_actor_id": actor_id, "b_ordering": row["ordering"]}
    first = _found(tx, _FIRST[lane == actor_id], named)
    return None if first is None else first.row


def _enter(tx: Connection, lane: str) -> None:
    """Wait until nobody else takes or ends anything in a lane."""
    tx.execute(_ENTER, {"b_lane": lane})


def _named(hold: Hold) -> dict[str, int]:
    return {"b_sequence": hold.sequence, "b_fence": hold.fence}


# statements that a message costs are made once: to make one takes as long as to run it
_BY_SEQUENCE = update(executions).where(executions.c.sequence == bindparam("b_sequence"))
_RING = _BY_SEQUENCE.values(rung=NOW)
_UNRING = _BY_SEQUENCE.values(rung=None)
_RELEASE = _BY_SEQUENCE.values(holder=None, lease=None, rung=None)
_OF_EXECUTION, _OF_ACTOR = (
    tuple(column.name for column in table.columns) for table in (executions, actors)
)
_UNENDED = (
    select(executions, actors)
    .join(actors, actors.c.id == executions.c.actor_id)
    .where(executions.c.status.in_(store.UNFINISHED))
    .where(actors.c.status != actor_store.SHUTTING_DOWN)
    .order_by((executions.c.status == store.RUNNING).desc(), executions.c.sequence)
)
_RUNS = store.unfinished(store.RUNNING)
_IS_DUE = or_(
    executions.c.due.is_(None), executions.c.due <= NOW, executions.c.due > later(MAX_DELAY)
)
_IS_LONG = (
    select(executions.c.sequence)
    .where(*_RUNS, executions.c.lease > later(LEASE_SECONDS))
    .with_for_update(skip_locked=True)
)
_SHORTEN = (
    update(executions).where(executions.c.sequence.in_(_IS_LONG)).values(lease=later(LEASE_SECONDS))
)
"""The leases that were given before the clock was set back: whose holder is there, renews its own."""
_IS_HELD = (
    executions.c.sequence == bindparam("b_sequence"),
    executions.c.fence == bindparam("b_fence"),
    executions.c.status == store.RUNNING,
)
_ABANDON = update(executions).where(*_IS_HELD).values(holder=None)
_BEAT = (
    update(executions)
    .where(*_IS_HELD)
    .values(lease=later(LEASE_SECONDS))
    .returning(executions.c.stop)
)
_CHECK = select(executions.c.sequence).where(*_IS_HELD).with_for_update()
_ENTER = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("b_lane"), 0)))
_OF_ACTOR_LANE = executions.c.actor_id == bindparam("b_actor_id")
_OF_KEY_LANE = and_(_OF_ACTOR_LANE, executions.c.ordering == bindparam("b_ordering"))
_LANES = {True: _OF_ACTOR_LANE, False: _OF_KEY_LANE}
"""What is in a lane, by whether it is that of an actor that is not stateless, which has all its messages."""
_FIRST = {whole: _UNENDED.where(lane).limit(1) for whole, lane in _LANES.items()}
_NEXT = {
    whole: select(executions.c.sequence, executions.c.id, executions.c.rung)
    .where(lane, executions.c.status == store.SUBMITTED)
    .order_by(executions.c.sequence)
    .limit(1)
    for whole, lane in _LANES.items()
}
_BY_ID = _UNENDED.where(executions.c.id == bindparam("b_id"))
_TAKE = (
    _BY_SEQUENCE.where(
        executions.c.status == store.SUBMITTED,
        _IS_DUE,
    )
    .values(
        status=store.RUNNING,
        fence=executions.c.fence + 1,
        holder=bindparam("b_holder"),
        worker_id=bindparam("b_worker_id"),
        start_time=NOW,
        lease=later(LEASE_SECONDS),
    )
    .returning(
        executions,
        *(
            select(messages.c[name])
            .where(messages.c.sequence == executions.c.sequence)
            .scalar_subquery()
            for name in store.Message._fields
        ),
    )
)
