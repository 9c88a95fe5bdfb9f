"""Subscriptions that are added, removed, added again or ended while events are told."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from datacatalog import mongo
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Document
from manager.subscriptions import line, roster
from manager.subscriptions.dispatcher import Dispatcher
from reactors.runtime import Reactor
from tests.actor import Actor
from tests.conftest import ROOT
from tests.manager.receiving import Receiver, Told, until
from tests.manager.subscribing import define, dispatching, send


@pytest.fixture
def others(job: Document, jobs: PipelineJobStore) -> list[Document]:
    fields = {name: job[name] for name in ("pipeline_uuid", "archive_path")}
    return [jobs.create({**fields, "data": {"number": number}}) for number in range(5)]


def add(actor: Actor, name: str, url: str) -> None:
    Subscriptions(actor.jobs.db).add(name, {"url": url, "allow_private": True})


def remove(actor: Actor, name: str) -> None:
    Subscriptions(actor.jobs.db).remove(name)
    actor.jobs.untold.forget(name)


def is_known(actor: Actor, name: str) -> bool:
    """Tell whether a dispatcher has seen a subscription that was added."""
    return "is_new" not in Subscriptions(actor.jobs.db).kept()[name]


def test_who_is_added_is_told_what_happens_from_that_moment(
    actor: Actor, job: Document, receiver: Receiver
) -> None:
    with Receiver() as first:
        define(actor, {"name": "first", "url": first.url})
        actor.environ["_REACTOR_DELIVERIES_DISPATCHER"] = "true"
        send(actor, job, "run", *["update"] * 30)
        with dispatching(actor):
            # from then on it takes up to a second until the dispatcher looks who subscribes
            until(lambda: len(first.told) == 32)
            add(actor, "lab", receiver.url)
            send(actor, job, "resource", "update")
            until(lambda: len(first.told) == 34)
            until(lambda: is_known(actor, "lab"))
            send(actor, job, "finish")
            until(lambda: receiver.names() == ["resource", "update", "finish"])
            until(lambda: actor.jobs.untold.count() == 0)


def test_a_subscription_may_name_a_pipeline_before_it_is_registered(
    actor: Actor, job: Document, jobs: PipelineJobStore, receiver: Receiver
) -> None:
    define(actor, {"name": "lab", "url": receiver.url, "pipelines": ["salsa:1"]})
    with dispatching(actor):
        send(actor, job, "run")
        until(lambda: jobs.untold.count() == 0)
        component = {"id": "salsa-1.0.0", "inputs": {}, "parameters": {}}
        given = {"name": "Salsa", "id": "salsa:1", "components": [component]}
        pipeline = PipelineStore(jobs.db).add_update_document({**given, "processing_levels": ["1"]})
        path = job["archive_path"]
        made = jobs.create({"pipeline_uuid": pipeline["uuid"], "archive_path": path, "data": {}})
        until(lambda: receiver.names() == ["create"])
        assert receiver.told[0].body["job_uuid"] == made["uuid"]


def test_no_event_is_lost_while_the_database_does_not_say_of_which_pipelines_they_are(
    actor: Actor, job: Document, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, calls = PipelineJobStore.pipeline_uuids, []

    def ask_a_database_that_comes_back(*args: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise mongo.DatabaseError
        return ask(*args)

    monkeypatch.setattr(PipelineJobStore, "pipeline_uuids", ask_a_database_that_comes_back)
    define(actor, {"name": "lab", "url": receiver.url, "pipelines": [job["pipeline_uuid"]]})
    with dispatching(actor):
        send(actor, job, "run")
        until(lambda: receiver.names() == ["create", "run"])


def test_who_is_removed_and_added_again_at_once_is_told_at_the_new_url_only(
    actor: Actor, job: Document, receiver: Receiver
) -> None:
    with Receiver() as former:
        add(actor, "lab", former.url)
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: former.names() == ["run"])
            remove(actor, "lab")
            add(actor, "lab", receiver.url)
            send(actor, job, "update")
            until(lambda: is_known(actor, "lab"))
            send(actor, job, "finish")
            until(lambda: receiver.names() == ["update", "finish"])
        assert "finish" not in former.names()


def test_nothing_is_kept_for_who_was_removed_while_it_was_told(
    actor: Actor, job: Document, others: list[Document], receiver: Receiver
) -> None:
    with Receiver(lambda _: None) as hanging:
        define(actor, {"name": "lab", "url": receiver.url})
        add(actor, "hanging", hanging.url)
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: hanging.seen)
            remove(actor, "hanging")
            send(actor, others[0], "run")
            until(lambda: {"create", "run"} <= {*receiver.names(others[0]["uuid"])})
            until(lambda: actor.jobs.untold.count() == 0)


def test_nothing_is_kept_of_a_removed_job_for_who_was_removed(
    actor: Actor, job: Document, jobs: PipelineJobStore
) -> None:
    with Receiver(lambda _: 500) as failing:
        add(actor, "lab", failing.url)
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: jobs.untold.is_behind("lab") and not jobs.untold.fresh(1))
            jobs.remove(jobs.load(job["uuid"]))
            remove(actor, "lab")
            until(lambda: jobs.untold.removed.count_documents({}) == 0)


def test_nothing_is_kept_of_other_jobs_for_who_is_gone(
    actor: Actor, others: list[Document], receiver: Receiver
) -> None:
    with Receiver(lambda _: 410) as gone:
        define(actor, {"name": "lab", "url": receiver.url}, {"name": "gone", "url": gone.url})
        with dispatching(actor):
            until(lambda: len(receiver.told) > len(others))
            until(lambda: actor.jobs.untold.count() == 0)


def test_a_dispatcher_ends_soon_whoever_hangs(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "ANSWER_SECONDS", 60.0)
    with ExitStack() as stack:
        hanging = [stack.enter_context(Receiver(lambda _: None)) for _ in range(6)]
        define(actor, *({"name": f"lab{n}", "url": each.url} for n, each in enumerate(hanging)))
        with dispatching(actor):
            until(lambda: all(each.seen for each in hanging))
            began = time.monotonic()
        assert time.monotonic() - began < 30


def test_who_is_added_misses_nothing_that_is_in_hand_for_others(
    actor: Actor, job: Document
) -> None:
    may_answer = threading.Event()
    may_answer.set()

    def answer(_: Told) -> int:
        may_answer.wait(60)
        return 204

    with Receiver(answer) as slow, Receiver() as lab:
        define(actor, {"name": "slow", "url": slow.url})
        actor.environ["_REACTOR_DELIVERIES_DISPATCHER"] = "true"
        rx = Reactor(actor.message(), folders=[ROOT], log_stream=io.StringIO())
        subscriptions = Subscriptions(actor.jobs.db)
        dispatcher = Dispatcher(actor.jobs, subscriptions, rx.logger, limits=line.Limits())

        def step_until(condition: Callable[[], bool]) -> None:
            def happened() -> bool:
                dispatcher.step()
                return condition()

            until(happened)

        dispatcher.serve(*roster.read(rx, actor.jobs, subscriptions))
        step_until(lambda: slow.names() == ["create"] and not actor.jobs.untold.count())
        may_answer.clear()
        add(actor, "lab", lab.url)
        send(actor, job, "run")
        step_until(lambda: len(slow.seen) == 2)
        # which it looks for once a second
        dispatcher.serve(*roster.read(rx, actor.jobs, subscriptions))
        may_answer.set()
        send(actor, job, "update")
        step_until(lambda: slow.names() == ["create", "run", "update"])
        step_until(lambda: not actor.jobs.untold.count())
        dispatcher.finish()
        assert lab.names() == ["run", "update"]
