"""What a subscriber cannot be told: when it is given up, and how it is told again."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Db, Document
from manager import announcements
from manager.subscriptions import line, roster
from manager.subscriptions.replaying import replay
from reactors.runtime import Reactor
from tests.actor import Actor
from tests.conftest import ROOT
from tests.manager.announcing import A_SECOND
from tests.manager.receiving import Receiver, Told, until
from tests.manager.subscribing import define, dispatching, send


def test_what_cannot_be_told_becomes_a_dead_letter_and_can_be_replayed(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "FIRST_PAUSE", 0.0)
    bad = threading.Event()
    bad.set()

    def answer(told: Told) -> int:
        return 422 if bad.is_set() and told.body["event"] == "update" else 200

    with Receiver(answer) as receiver:
        define(actor, {"name": "lab", "url": receiver.url}, _REACTOR_DELIVERIES_ATTEMPTS="3")
        subscriptions = Subscriptions(actor.jobs.db)
        with dispatching(actor):
            send(actor, job, "run", "update", "finish")
            until(lambda: receiver.names() == ["create", "run", "finish"])
        (letter,) = subscriptions.dead_letters("lab")
        assert (letter["event"], letter["tries"], letter["reason"]) == (
            "update",
            3,
            "HTTP status 422",
        )
        assert len([1 for each in receiver.seen if each.body["event"] == "update"]) == 3
        assert actor.jobs.untold.count() == 0

        rx = Reactor(actor.message(), folders=[ROOT], log_stream=io.StringIO())
        (subscriber,), _ = roster.read(rx, actor.jobs, subscriptions)
        assert replay(subscriber, [letter], actor.jobs, subscriptions).told == 0
        (letter,) = subscriptions.dead_letters("lab")
        assert letter["tries"] == 4
        bad.clear()
        subscriptions.note({"lab": ({}, {"failures": 2})})
        delivered = subscriptions.kept()["lab"]["delivered"]
        assert replay(subscriber, [letter], actor.jobs, subscriptions).told == 1
        subscriber.close()
        assert subscriptions.dead_letters("lab") == []
        assert receiver.names()[-1] == "update"
        # it has taken one more, and so is well
        kept = subscriptions.kept()["lab"]
        assert (kept["delivered"], kept["failures"]) == (delivered + 1, 0)


def test_one_attempt_is_one_whoever_waits_for_it(actor: Actor, job: Document) -> None:
    with Receiver(lambda told: 422 if told.body["event"] == "update" else 200) as receiver:
        define(actor, {"name": "lab", "url": receiver.url}, _REACTOR_DELIVERIES_ATTEMPTS="1")
        with dispatching(actor):
            send(actor, job, "run", "update", "finish")
            until(lambda: receiver.names() == ["create", "run", "finish"])
        assert [each.body["event"] for each in receiver.seen].count("update") == 1
        (letter,) = Subscriptions(actor.jobs.db).dead_letters("lab")
        assert (letter["event"], letter["tries"]) == ("update", 1)
        assert actor.jobs.untold.count() == 0


def test_an_execution_that_has_no_more_time_makes_no_dead_letter(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it could not wait for may have been told."""
    monkeypatch.setattr(announcements, "BUDGET_SECONDS", A_SECOND)

    def answer(_: Told) -> int:
        time.sleep(0.4)
        return 204

    with Receiver(answer) as receiver:
        settings = {"_REACTOR_DELIVERIES_ATTEMPTS": "1", "_REACTOR_DELIVERIES_DISPATCHER": "true"}
        define(actor, {"name": "lab", "url": receiver.url}, **settings)
        send(actor, job, "run", *["update"] * 5)
        del actor.environ["_REACTOR_DELIVERIES_DISPATCHER"]
        # more than an execution has time for
        send(actor, job, "update")
        assert len(receiver.seen) < 8
        assert Subscriptions(actor.jobs.db).dead_letters("lab") == []
        assert actor.main(arguments=("drain",)).code == 0
        # what was being told when the time was over is told again
        assert [*dict.fromkeys(receiver.names())] == ["create", "run", "update"]
        assert Subscriptions(actor.jobs.db).dead_letters("lab") == []


def test_what_was_buried_when_a_dispatcher_dies_is_told_by_no_other(
    actor: Actor, job: Document
) -> None:
    answers = iter([503])
    with Receiver(lambda _: next(answers, 204)) as receiver:
        define(actor, {"name": "lab", "url": receiver.url}, _REACTOR_DELIVERIES_ATTEMPTS="1")
        actor.environ["_REACTOR_DELIVERIES_DISPATCHER"] = "true"
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **actor.environ}
        dying = [sys.executable, "-m", "tests.reliability.dying", "Subscriptions.bury after", "1"]
        done = subprocess.run(dying, env=environ, cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        with dispatching(actor):
            until(lambda: not actor.jobs.untold.count())
        assert receiver.names() == []
        (letter,) = Subscriptions(actor.jobs.db).dead_letters("lab")
        assert letter["event"] == "create"


def test_a_letter_that_cannot_be_formatted_stays_one_and_says_why(
    actor: Actor, job: Document, db: Db
) -> None:
    # as something else has written it: without a name
    db["files"].insert_one({"uuid": "1", "child_of": [job["uuid"]]})
    with Receiver() as receiver:
        wanted = {"name": "lab", "url": receiver.url, "format": "openlineage"}
        define(actor, wanted, _REACTOR_DELIVERIES_ATTEMPTS="1")
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: Subscriptions(actor.jobs.db).count_dead("lab") == 1)
        subscriptions = Subscriptions(actor.jobs.db)
        (letter,) = subscriptions.dead_letters("lab")
        rx = Reactor(actor.message(), folders=[ROOT], log_stream=io.StringIO())
        (subscriber,), _ = roster.read(rx, actor.jobs, subscriptions)
        assert replay(subscriber, [letter], actor.jobs, subscriptions).told == 0
        (letter,) = subscriptions.dead_letters("lab")
        assert letter["tries"] == 2
        assert letter["reason"] == "it cannot be formatted: unexpected KeyError"
        db["files"].update_one({}, {"$set": {"name": "/a.csv"}})
        assert replay(subscriber, [letter], actor.jobs, subscriptions).told == 1
        subscriber.close()


def test_what_is_too_old_and_cannot_be_told_becomes_a_dead_letter(
    actor: Actor, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "FIRST_PAUSE", 0.01)
    with Receiver(lambda _: 500) as receiver:
        define(actor, {"name": "lab", "url": receiver.url}, _REACTOR_DELIVERIES_AGE="0")
        with dispatching(actor):
            send(actor, job, "run")
            until(lambda: Subscriptions(actor.jobs.db).count_dead("lab") == 2)
            until(lambda: actor.jobs.untold.count() == 0)
