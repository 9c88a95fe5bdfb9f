"""What happens is counted by whoever hands it out, and by nobody else."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any

import pymongo
import pytest
from pymongo.errors import AutoReconnect

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, Untold
from datacatalog.linkedstores.statistics.reader import Statistics, merged
from datacatalog.linkedstores.statistics.tally import Tally
from datacatalog.mongo import Document
from local.database import Server
from manager.subscriptions import service
from reactors.runtime import Reactor
from tests.actor import Actor
from tests.conftest import ROOT
from tests.datacatalog.conftest import Recorder
from tests.manager.receiving import Receiver, until
from tests.manager.subscribing import define, dispatching, send


def events(actor: Actor) -> dict[str, int]:
    return dict(merged(Statistics(actor.jobs.db).ever().values()).events)


def reactor(actor: Actor) -> Reactor:
    return Reactor(actor.message(), folders=[ROOT], log_stream=io.StringIO())


def looks_of(recorder: Recorder) -> list[list[str]]:
    """What a dispatcher asked for each time that it looked, without the last time, which may go on."""
    looks: list[list[str]] = []
    for command in recorder.commands:
        if command == "find subscriptions":
            looks.append([])
        if looks:
            looks[-1].append(command)
    return looks[:-1]


def test_the_dispatcher_counts_although_nobody_is_told(actor: Actor, job: Document) -> None:
    send(actor, job, "run")
    with dispatching(actor):
        until(lambda: events(actor) == {"create": 1, "run": 1})
        send(actor, job, "update", "finish", "index")
        counted = {"create": 1, "run": 1, "update": 1, "finish": 1, "index": 1}
        until(lambda: events(actor) == counted)
        until(lambda: actor.jobs.untold.count() == 0)


def test_a_dispatcher_asks_the_database_for_little_while_nothing_happens(
    server: Server, mongodb: dict[str, Any], actor: Actor, job: Document
) -> None:
    recorder = Recorder()
    with pymongo.MongoClient[Document](server.uri, event_listeners=[recorder]) as client:
        jobs = PipelineJobStore(client[mongodb["database"]])
        over = threading.Event()
        run = (reactor(actor), jobs, over.is_set)
        thread = threading.Thread(target=service.dispatch, args=run)
        thread.start()
        try:
            until(lambda: events(actor) == {"create": 1} and jobs.untold.count() == 0)
            recorder.events.clear()
            # whether anybody subscribes, and whether anything is new
            until(lambda: looks_of(recorder).count(["find subscriptions", "find jobs"]) >= 2)
            looks = looks_of(recorder)
        finally:
            over.set()
            thread.join()
    # now and then it looks at what seldom is there, and extends its lease
    assert max(map(len, looks)) <= 8, looks


def test_what_comes_while_it_is_counted_waits_for_the_next_time(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, tally, count = actor.jobs, Tally(actor.jobs), Tally.count
    assert tally.rebuild()
    send(actor, job, "run")
    counts: list[int] = []

    def count_while_more_comes(self: Tally, heads: Sequence[StoredJob]) -> list[StoredJob]:
        counts.append(len(heads))
        counted = count(self, heads)
        send(actor, job, "update")
        return counted

    monkeypatch.setattr(Tally, "count", count_while_more_comes)
    lease = service.Lease(jobs.untold)
    assert lease.take()
    service._count_all(jobs, tally, lease.keep, marks_all=True)
    assert counts == [1]
    assert events(actor) == {"create": 1, "run": 1}


def test_a_job_is_not_written_to_each_time_that_it_is_counted(actor: Actor, job: Document) -> None:
    jobs, tally = actor.jobs, Tally(actor.jobs)
    assert tally.rebuild()
    lease = service.Lease(jobs.untold)
    assert lease.take()

    def mark() -> int | None:
        return jobs.load(job["uuid"]).get(UNTOLD)

    for updates in range(1, 4):
        send(actor, job, "update" if updates > 1 else "run")
        service._count_all(jobs, tally, lease.keep, marks_all=False)
        assert sum(events(actor).values()) == updates + 1
        assert mark() == 0
    # another process goes on where this one was killed
    tally = Tally(jobs)
    service._count_all(jobs, tally, lease.keep, marks_all=False)
    assert events(actor) == {"create": 1, "run": 1, "update": 2}
    service._count_all(jobs, tally, lease.keep, marks_all=False)
    assert mark() is None
    send(actor, job, "update")
    service._count_all(jobs, tally, lease.keep, marks_all=False)
    assert mark() == 4
    service._count_all(jobs, tally, lease.keep, marks_all=True)
    assert mark() is None
    assert events(actor) == {"create": 1, "run": 1, "update": 3}


def test_a_job_that_is_removed_after_it_was_counted_is_counted_no_second_time(
    actor: Actor, job: Document, admin_token: str
) -> None:
    jobs, tally = actor.jobs, Tally(actor.jobs)
    assert tally.rebuild()
    lease = service.Lease(jobs.untold)
    assert lease.take()
    send(actor, job, "run", "update")
    service._count_all(jobs, tally, lease.keep, marks_all=False)
    actor.send({"uuid": job["uuid"], "action": "delete", "force": True, "token": admin_token})
    # another process goes on where this one was killed
    service._count_all(jobs, Tally(jobs), lease.keep, marks_all=False)
    assert events(actor) == {"create": 1, "run": 1, "update": 1}
    assert jobs.untold.count() == 0


def test_a_job_that_a_message_removes_is_in_no_state_any_more(
    actor: Actor, job: Document, pipeline: Document
) -> None:
    jobs = actor.jobs
    assert Tally(jobs).rebuild()
    other = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/other", "data": {"other": 1}}
    )
    delete = {"uuid": job["uuid"], "action": "delete", "force": True}
    # as one whose answer was lost
    for _ in range(2):
        assert actor.send({**delete, "token": job["_update_token"]}).error == ""
        assert service.catch_up(reactor(actor), jobs)
        assert Statistics(jobs.db).states() == {pipeline["uuid"]: {"CREATED": 1}}
    actor.send({**delete, "uuid": other["uuid"], "token": other["_update_token"]})
    assert Statistics(jobs.db).states() == {pipeline["uuid"]: {}}


def test_what_is_told_is_counted_once_and_counted_again_on_demand(
    actor: Actor, job: Document
) -> None:
    with Receiver() as receiver:
        define(actor, {"name": "lab", "url": receiver.url})
        with dispatching(actor):
            send(actor, job, "run", *["update"] * 5, "finish")
            until(lambda: len(receiver.names()) == 8)
            counted = {"create": 1, "run": 1, "update": 5, "finish": 1}
            until(lambda: events(actor) == counted)
            assert service.catch_up(reactor(actor), actor.jobs, rebuild=True)
            assert events(actor) == counted
            send(actor, job, "index")
            until(lambda: events(actor) == {**counted, "index": 1})


def test_where_no_dispatcher_runs_who_looks_catches_up(actor: Actor, job: Document) -> None:
    send(actor, job, "run")
    assert service.catch_up(reactor(actor), actor.jobs)
    assert events(actor) == {"create": 1, "run": 1}
    send(actor, job, "finish")
    assert service.catch_up(reactor(actor), actor.jobs)
    assert events(actor) == {"create": 1, "run": 1, "finish": 1}
    assert actor.jobs.untold.holder() is None


def test_an_execution_that_tells_subscribers_counts_what_it_tells(
    actor: Actor, job: Document
) -> None:
    assert Tally(actor.jobs).rebuild()
    with Receiver() as receiver:
        define(actor, {"name": "lab", "url": receiver.url})
        send(actor, job, "run", "finish")
        assert receiver.names() == ["create", "run", "finish"]
    assert events(actor) == {"create": 1, "run": 1, "finish": 1}


@pytest.mark.parametrize("method", ["next_entries", "count"])
def test_what_could_not_be_read_is_told_and_counted_later(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A database that does not answer once costs no subscriber an event."""
    owner = Untold if method == "next_entries" else Tally
    right = getattr(owner, method)
    failed: list[Any] = []

    def fail_once(self: Any, *given: Any) -> Any:
        if not failed:
            failed.append(given)
            raise AutoReconnect
        return right(self, *given)

    assert Tally(actor.jobs).rebuild()
    monkeypatch.setattr(owner, method, fail_once)
    with Receiver() as receiver:
        define(actor, {"name": "lab", "url": receiver.url})
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: receiver.names() == ["create", "run"])
    assert failed
    assert events(actor) == {"create": 1, "run": 1}


def test_nobody_waits_for_a_count_that_fails(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> bool:
        raise AutoReconnect

    monkeypatch.setattr(Tally, "rebuild", fail)
    with Receiver() as receiver:
        define(actor, {"name": "lab", "url": receiver.url})
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: receiver.names() == ["create", "run"])
