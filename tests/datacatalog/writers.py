"""What the processes of `test_concurrency` do."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

from datacatalog.linkedstores.pipelinejob import EventConflict, EventRefused, PipelineJobStore
from datacatalog.mongo import Document

PATIENCE_SECONDS = 60
_together: list[Barrier] = []


def prepare(barrier: Barrier) -> None:
    """Take the barrier by which all processes begin at the same moment."""
    _together.append(barrier)


class Task(NamedTuple):
    """Some events for one job, to be sent one after the other."""

    mongodb: dict[str, Any]
    job_uuid: str
    token: str
    names: list[str]
    writer: int
    key: str | None = None


def send(task: Task) -> list[str]:
    """Send the events of a task; return what became of each."""
    store = PipelineJobStore(task.mongodb)
    store.load(task.job_uuid)
    _together[0].wait(PATIENCE_SECONDS)
    outcomes = []
    for number, name in enumerate(task.names):
        data = {"writer": task.writer, "number": number}
        event = {"uuid": task.job_uuid, "name": name, "data": {} if task.key else data}
        try:
            store.handle(event, task.token, key=task.key)
            outcomes.append("accepted")
        except EventRefused:
            outcomes.append("refused")
        except EventConflict:
            outcomes.append("conflict")
    return outcomes


def create(mongodb: dict[str, Any], fields: dict[str, Any]) -> Document:
    """Create a job; return it."""
    store = PipelineJobStore(mongodb)
    store.db.command("ping")
    _together[0].wait(PATIENCE_SECONDS)
    return store.create(fields)


def lease(mongodb: dict[str, Any], name: str) -> bool:
    """Try to take the lease of who hands out; tell whether it worked."""
    store = PipelineJobStore(mongodb)
    store.db.command("ping")
    _together[0].wait(PATIENCE_SECONDS)
    return store.untold.lease(name)
