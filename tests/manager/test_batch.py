"""Events of one job that wait together: one update, and the same outcome as one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import PyMongoError

import reactor
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, history
from datacatalog.mongo import Db, Document
from datacatalog.tokens import get_admin_token
from tests.actor import TRUSTED, Actor, event, names, url, without
from tests.conftest import ADMIN, ROOT

Handled = list[tuple[int, str, list[str]]]
FIRST = {"_abaco_first_attempt": "true", "_REACTOR_DELIVERIES_DISPATCHER": "true"}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    # another test has another database
    monkeypatch.setattr(reactor, "_opened", [])


@pytest.fixture
def running(actor: Actor, job: Document) -> Document:
    actor.bring(job, "run")
    return job


def together(actor: Actor, *messages: tuple[Any, dict[str, str]] | Any) -> Handled:
    """Hand messages to the actor that no worker ever had, each a body, or body and parameters."""
    pairs = [each if isinstance(each, tuple) else (each, {}) for each in messages]
    return reactor.together([actor.message(body, {**FIRST, **more}) for body, more in pairs])


def results(handled: Handled) -> list[dict[str, Any]]:
    return [json.loads(result) for _, _, (result,) in handled]


def test_each_message_has_the_result_and_the_log_that_it_would_have_alone(
    actor: Actor, running: Document
) -> None:
    handled = together(
        actor,
        event(running, "update", data={"step": 1}),
        ("", url(running, event="update", note="by URL")),
        event(running, "finish", data={"step": 3}),
    )
    assert [code for code, _, _ in handled] == [0, 0, 0]
    uuid = running["uuid"]
    assert results(handled) == [
        {"uuid": uuid, "state": "RUNNING", "last_event": "update", "revision": 2},
        {"uuid": uuid, "state": "RUNNING", "last_event": "update", "revision": 3},
        {"uuid": uuid, "state": "FINISHED", "last_event": "finish", "revision": 4},
    ]
    for (_, log, _), result in zip(handled, results(handled), strict=True):
        assert log.endswith(f"state {result['state']}, revision {result['revision']}\n")
        assert log.count("\n") == 1
    job = actor.job(uuid)
    assert (job["state"], job["last_event"]) == ("FINISHED", "finish")
    assert [entry["data"] for entry in job["history"][2:]] == [
        {"step": 1},
        {"note": "by URL"},
        {"step": 3},
    ]


def test_many_events_are_one_update_of_the_job(
    actor: Actor, running: Document, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    together(actor, event(running, "update"))
    commits: list[int] = []
    commit = PipelineJobStore.commit

    def counted(self: PipelineJobStore, *arguments: Any, **options: Any) -> bool:
        commits.append(options["count"])
        return commit(self, *arguments, **options)

    monkeypatch.setattr(PipelineJobStore, "commit", counted)
    assert len(together(actor, *[event(running, "update")] * 10)) == 10
    assert commits == [10]
    assert (db["jobs"].find_one() or {})["_untold"] == 0


def test_a_second_delivery_of_each_is_told_what_became_of_it(
    actor: Actor, running: Document
) -> None:
    messages = [actor.message(event(running, "update"), FIRST) for _ in range(3)]
    first = reactor.together(messages)
    # whoever does not know that gives them again, one by one
    for message, done in zip(messages, results(first), strict=True):
        again = actor.send(message["MSG"], without(message, "_abaco_first_attempt", "MSG"))
        assert again.result == done
        assert "which an earlier delivery had applied" in again.log
    assert names(actor, running) == ["create", "run", "update", "update", "update"]


ENDING: list[tuple[str, Callable[[Document], Any]]] = [
    ("the state does not allow it", lambda job: event(job, "create")),
    ("a wrong token", lambda job: event(job, "update", token="0" * 16)),
    ("no token", lambda job: without(event(job, "update"), "token")),
    (
        "an administrative token",
        lambda job: event(job, "update", token=get_admin_token(*ADMIN.values())),
    ),
    ("a reset", lambda job: event(job, "reset", token=get_admin_token(*ADMIN.values()))),
    ("a trusted user", lambda job: (without(event(job, "update"), "token"), TRUSTED)),
    ("what indexers do", lambda job: event(job, "index")),
    ("a delete", lambda job: {**without(event(job, ""), "name"), "action": "delete"}),
    ("not JSON", lambda _: "{"),
    ("no message", lambda _: ""),
    ("a job that is not there", lambda job: event({**job, "uuid": UNKNOWN}, "update")),
    ("data that cannot be stored", lambda job: event(job, "update", data={"n": 2**70})),
    ("an id of its own", lambda job: (event(job, "update"), {"event_id": "1"})),
    (
        "not the first attempt",
        lambda job: (event(job, "update"), {"_abaco_first_attempt": "false"}),
    ),
    (
        "other settings",
        lambda job: (event(job, "update"), {"_REACTOR_PIPELINES_JOB_MANAGER_ID": "x"}),
    ),
]
UNKNOWN = "10704d54-03e2-5f4b-8c2c-d5d9a4e5e1a1"


@pytest.mark.parametrize("last", [row[1] for row in ENDING], ids=[row[0] for row in ENDING])
def test_what_needs_more_than_to_be_appended_is_left_with_all_behind_it(
    last: Callable[[Document], Any], actor: Actor, running: Document
) -> None:
    update = event(running, "update")
    before = actor.dump().get("rejected_events", [])
    handled = together(actor, update, update, last(running), update)
    assert [done["revision"] for done in results(handled)] == [2, 3]
    assert names(actor, running) == ["create", "run", "update", "update"]
    # it is not refused either
    assert actor.dump().get("rejected_events", []) == before
    # and what follows is decided on the job as it is
    assert [done["revision"] for done in results(together(actor, update))] == [4]


def test_what_others_have_changed_since_is_noticed(
    actor: Actor, running: Document, jobs: PipelineJobStore
) -> None:
    update = event(running, "update")
    assert len(together(actor, update, update)) == 2
    jobs.handle({"uuid": running["uuid"], "name": "fail"}, running["_update_token"])
    assert together(actor, update, update) == []
    assert together(actor, update, update) == []
    assert names(actor, running)[-1] == "fail"


def test_where_an_execution_tells_subscribers_itself_it_handles_one_message(
    actor: Actor, running: Document
) -> None:
    tell = {"_REACTOR_DELIVERIES_DISPATCHER": "false", "_REACTOR_PIPELINES_EVENTS_MANAGER_ID": "x"}
    assert together(actor, (event(running, "update"), tell)) == []


def test_a_database_that_fails_is_not_taken_for_an_answer(
    actor: Actor, running: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(actor.environ, "_REACTOR_MONGODB_AUTHN", "mongodb://127.0.0.1:1/")
    monkeypatch.setitem(actor.environ, "_REACTOR_MONGODB_TIMEOUT", "0.2")
    with pytest.raises(PyMongoError):
        together(actor, event(running, "update"))


def test_settings_that_cannot_be_used_are_left_to_a_message_alone(
    actor: Actor, running: Document
) -> None:
    wrong = {"_REACTOR_LOGS_LEVEL": "LOUD"}
    assert together(actor, (event(running, "update"), wrong)) == []


def test_a_long_history_is_whole_and_in_order(
    actor: Actor, running: Document, jobs: PipelineJobStore, db: Db
) -> None:
    sent = 0
    for size in (30, 7, 32, 1, 31, 2, 32):
        batch = [event(running, "update", data={"n": sent + n}) for n in range(size)]
        sent += len(together(actor, *batch))
    assert sent == 135
    job = jobs.load(running["uuid"])
    entries = list(jobs.histories.read(job, 0, None))
    assert [entry["data"]["n"] for entry in entries[2:]] == list(range(sent))
    assert [entry["_revision"] for entry in entries] == list(range(sent + 2))
    assert len(job["history"]) < 2 * history.MAX_ENTRIES
    assert db["updates"].count_documents({"action": "event"}) == history.moved(job) - 1


def test_full_batches_do_not_let_the_document_grow(
    actor: Actor, running: Document, jobs: PipelineJobStore
) -> None:
    lengths = []
    for _ in range(8):
        assert len(together(actor, *[event(running, "update")] * 32)) == 32
        lengths.append(len(jobs.load(running["uuid"])["history"]))
    assert max(lengths) <= 32 + history.MAX_ENTRIES


def test_a_job_that_was_read_as_a_whole_is_not_remembered_in_part(
    jobs: PipelineJobStore, job: Document
) -> None:
    whole = jobs.load(job["uuid"])
    jobs.heads.keep(whole)
    assert jobs.heads.take(job["uuid"]) is None


def test_large_events_do_not_fill_the_document(actor: Actor, running: Document, db: Db) -> None:
    large = event(running, "update", data={"text": "x" * 100_000})
    handled = together(actor, *[large] * 20)
    assert 1 <= len(handled) < 7
    stored = db["jobs"].find_one() or {}
    assert history.size(stored["history"]) <= history.MAX_BYTES
    assert len(together(actor, *[large] * 3)) >= 1
