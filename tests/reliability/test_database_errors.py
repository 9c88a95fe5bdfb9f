"""Row 2: the n-th call to the database fails, for every n, in every way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from local.database import Server
from tests.actor import TRUSTED, Actor, Run, create, delete, event
from tests.datacatalog.jobs import fields
from tests.reliability.checker import MARK, Outcome, Record, problems
from tests.reliability.running import own_connections, read_back
from tests.reliability.soak import many, note
from tests.reliability.wire import Command, Fault, Proxy, nth

IMPATIENT, PATIENT = "0.3", "10"
"""Seconds that the actor waits for its database, where it stays away and elsewhere."""
IN_VAIN = (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.NOT_PRIMARY)
TIMEOUT = "_REACTOR_MONGODB_TIMEOUT"
FAULTS = [fault for fault in Fault if not fault.name.startswith("HOLD")]
AGAIN = 75
"""EX_TEMPFAIL: the platform runs the message again."""
REFUSED = 1
MOVING = 24
"""Entries after which the next event moves some of them out of the job's document."""


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.uri) as running:
        yield running


@pytest.fixture
def behind(proxy: Proxy, mongodb: dict[str, Any], tmp_path: Path) -> Iterator[Actor]:
    """The actor, with the proxy in front of its database."""
    actor = Actor({**mongodb, "authn": proxy.uri}, tmp_path, **TRUSTED)
    yield actor
    actor.close()


def run(actor: Actor, message: Document, parameters: dict[str, str]) -> Run:
    """Run the actor as a new process would, with a connection of its own."""
    with own_connections():
        return actor.main(message, parameters)


Make = Callable[[int], Document]


@pytest.fixture
def new_job(jobs: PipelineJobStore, pipeline: Document) -> Make:
    """Make the job of a number, in the state CREATED."""
    return lambda number: jobs.create(fields(pipeline, data={"number": number}))


def an_event(job: Document, _pipeline: Document, mark: str) -> Document:
    return event(job, "update", data={MARK: mark})


def a_refused_event(job: Document, _pipeline: Document, mark: str) -> Document:
    return event(job, "validated", data={MARK: mark})


def a_deletion(job: Document, _pipeline: Document, _mark: str) -> Document:
    return delete(job)


def a_creation(_job: Document, pipeline: Document, mark: str) -> Document:
    return create(pipeline, data={MARK: mark})


MESSAGES = {
    "event": (an_event, 0),
    "event that moves history": (an_event, MOVING - 1),
    "refused event": (a_refused_event, 0),
    "deletion": (a_deletion, 0),
    "creation": (a_creation, 0),
}


@pytest.mark.parametrize("kind", many([*MESSAGES][:1], [*MESSAGES]))
def test_whichever_call_fails_the_actor_says_so_and_a_later_delivery_succeeds(
    proxy: Proxy,
    behind: Actor,
    new_job: Make,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
    kind: str,
) -> None:
    make_message, before = MESSAGES[kind]
    record, made = Record(), []

    def prepare(number: int) -> tuple[Document, Document, dict[str, str]]:
        job = new_job(number)
        for _ in range(before):
            job = jobs.handle({"uuid": job["uuid"], "name": "update"}, job["_update_token"])
        made.append(job)
        message = make_message(job, pipeline, f"{kind} {number}")
        return job, message, {"_abaco_execution_id": f"execution {number}", TIMEOUT: PATIENT}

    expected = REFUSED if make_message is a_refused_event else 0
    seen: list[Command] = []

    def watch(command: Command) -> None:
        seen.append(command)

    _, message, execution = prepare(0)
    proxy.plan = watch
    assert run(behind, message, execution).code == expected
    calls = len(seen)
    assert calls >= 2
    made.clear()

    faults = FAULTS if before == 0 else many(FAULTS[1::2], FAULTS)
    cases = [
        (position, fault)
        for position, fault in itertools.product(range(1, calls + 1), faults)
        # no server says of indexes that are only listed that there is such a key
        if (seen[position - 1].name, fault) != ("listIndexes", Fault.DUPLICATE_KEY)
    ]
    for number, (position, fault) in enumerate(cases, start=1):
        job, message, execution = prepare(number)
        call = None
        if make_message in (an_event, a_refused_event):
            call = record.sent(job["uuid"], f"{kind} {number}")
        proxy.plan = nth(position, fault)
        seconds = IMPATIENT if fault in IN_VAIN else PATIENT
        done = run(behind, message, {**execution, TIMEOUT: seconds})

        where = f"call {position}: {fault.value}: {done.lines}"
        is_away = "ERROR the database at " in done.lines[0]
        assert done.code == (AGAIN if is_away else expected), where
        assert len(done.lines) == 1, where
        if call and done.code == 0:
            call.outcome = Outcome.ACKNOWLEDGED
        assert problems(record, read_back(db, made)) == [], where

        proxy.plan = lambda _command: None
        assert run(behind, message, execution).code == expected, where
        if call:
            call.outcome = Outcome.REFUSED if expected else Outcome.ACKNOWLEDGED
    assert problems(record, read_back(db, made)) == []
    note(2, f"failed calls of a message ({kind}), {calls} calls each", len(cases), record=record)
