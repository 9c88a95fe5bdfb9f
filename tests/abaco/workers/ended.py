"""Executions as they end, without anything that has run."""

from __future__ import annotations

from typing import Any

from abaco import clock
from abaco.roles import ADMIN
from abaco.store import actors, executions
from abaco.store.database import Database
from abaco.store.executions import TEXT, Accepted, Message, Submission
from abaco.store.registrations import Registrant
from abaco.workers import endings


def submit(database: Database) -> Accepted:
    """Return a message of an actor of its own."""
    described = {"image": "tacos", "status": actors.READY}
    with database.write() as tx:
        actor = actors.create(tx, "SD2E", Registrant("ada", (ADMIN,)), described)
        sent = Submission("SD2E", actor["id"], "ada", Message(b"tacos", TEXT, {}), "ada")
        (accepted,) = Submission.write(tx, [sent])
    assert accepted is not None
    return accepted


def end_of(
    database: Database, accepted: Accepted, wrong: dict[str, Any] | None = None
) -> endings.End:
    """Return how an execution has ended, with something wrong in it where that is given."""
    submission, moment = accepted.submission, clock.now()
    with database.read() as tx:
        actor = actors.get(tx, submission.actor_id)
    assert actor is not None
    begun: Any = {
        "id": accepted.execution_id,
        "actor_id": submission.actor_id,
        "tenant": submission.tenant,
        "worker_id": "worker",
        "start_time": moment,
    }
    end = executions.End(
        begun, executions.COMPLETE, "", 60, 1, 1, 1, 0, {"Status": "exited"}, moment
    )
    return endings.End(end._replace(**(wrong or {})), actor, "")
