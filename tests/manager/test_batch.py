"""Events that wait together: one command, and the same outcome as one after the other."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

import reactor
from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import (
    PipelineJobStore,
    Uncertain,
    appending,
    history,
)
from datacatalog.mongo import Db, Document
from datacatalog.tokens import get_admin_token
from tests.actor import TRUSTED, Actor, event, names, url, without
from tests.conftest import ADMIN
from tests.datacatalog.conftest import Recorder
from tests.datacatalog.jobs import fields

pytestmark = pytest.mark.usefixtures("warm")

Handled = list[tuple[int, str, list[str]] | None]
FIRST = {"_abaco_first_attempt": "true", "_REACTOR_DELIVERIES_DISPATCHER": "true"}


@pytest.fixture
def running(actor: Actor, job: Document) -> Document:
    actor.bring(job, "run")
    return job


def together(actor: Actor, *messages: tuple[Any, dict[str, str]] | Any) -> Handled:
    """Hand messages to the actor that no worker ever had, each a body, or body and parameters."""
    pairs = [each if isinstance(each, tuple) else (each, {}) for each in messages]
    return reactor.together([actor.message(body, {**FIRST, **more}) for body, more in pairs])


def results(handled: Handled) -> list[dict[str, Any]]:
    return [json.loads(end[2][0]) for end in handled if end is not None]


def test_each_message_has_the_result_and_the_log_that_it_would_have_alone(
    actor: Actor, running: Document
) -> None:
    handled = together(
        actor,
        event(running, "update", data={"step": 1}),
        ("", url(running, event="update", note="by URL")),
        event(running, "finish", data={"step": 3}),
    )
    assert [end and end[0] for end in handled] == [0, 0, 0]
    uuid = running["uuid"]
    assert results(handled) == [
        {"uuid": uuid, "state": "RUNNING", "last_event": "update", "revision": 2},
        {"uuid": uuid, "state": "RUNNING", "last_event": "update", "revision": 3},
        {"uuid": uuid, "state": "FINISHED", "last_event": "finish", "revision": 4},
    ]
    for end, result in zip(handled, results(handled), strict=True):
        log = end[1] if end else ""
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
    ("data that cannot be stored", lambda job: event(job, "update", data={"n": 2**70})),
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


REFUSED: list[tuple[str, Callable[[Document], Any]]] = [
    ("a wrong token", lambda job: event(job, "update", token="0" * 16)),
    ("no token", lambda job: without(event(job, "update"), "token")),
    ("a job that is not there", lambda job: event({**job, "uuid": UNKNOWN}, "update")),
    ("data that cannot be stored", lambda job: event(job, "update", data={"n": 2**70})),
]


@pytest.mark.parametrize("refused", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused_holds_up_nothing_but_what_is_behind_it_of_its_job(
    refused: Callable[[Document], Any], actor: Actor, running: Document, others: list[Document]
) -> None:
    sent = [event(running, "update"), refused(running), event(others[0], "update")]
    behind = {**event(running, "update"), "uuid": refused(running)["uuid"]}
    handled = together(actor, *sent, behind, event(others[1], "update"))
    assert [end is not None for end in handled] == [True, False, True, False, True]
    assert names(actor, running) == ["create", "run", "update"]
    assert [names(actor, job) for job in others] == [["create", "run", "update"]] * 2


AGAIN = {"_abaco_first_attempt": "false"}


@pytest.mark.parametrize("before", [1, 60], ids=["of late", "long ago"])
@pytest.mark.parametrize(
    "known_by",
    [lambda n: {"event_id": f"e{n}"}, lambda n: {"_abaco_execution_id": f"x{n}", **AGAIN}],
    ids=["an id of its own", "its execution"],
)
def test_messages_that_came_before_are_told_what_became_of_them(
    known_by: Callable[[int], dict[str, str]],
    before: int,
    actor: Actor,
    running: Document,
    others: list[Document],
) -> None:
    update, other = event(running, "update"), event(others[0], "update")
    first = actor.send(json.dumps(update), known_by(0))
    for _ in range(before // 10):
        assert None not in together(actor, *[update] * 10)
    had = len(names(actor, running))
    handled = together(
        actor,
        (update, known_by(1)),
        (update, known_by(0)),
        (other, known_by(3)),
        (update, known_by(2)),
        (update, known_by(1)),
    )
    done = results(handled)
    assert [each["revision"] for each in done] == [had, 2, 2, had + 1, had]
    assert done[1] == first.result
    again = "which an earlier delivery had applied"
    assert [again in (end or (0, ""))[1] for end in handled] == [False, True, False, False, True]
    assert len(names(actor, running)) == had + 2
    # where nothing is new, nothing is written
    assert results(together(actor, *[(update, known_by(n)) for n in (2, 1, 2)])) == [
        done[3],
        done[0],
        done[3],
    ]
    assert len(names(actor, running)) == had + 2


@pytest.mark.parametrize("before", [1, 60], ids=["of late", "long ago"])
def test_a_message_whose_id_stands_for_another_is_left_to_be_refused(
    before: int, actor: Actor, running: Document
) -> None:
    update, another = event(running, "update"), event(running, "update", data={"n": 1})
    known = {"event_id": "e"}
    assert len(results(together(actor, (update, known), *[update] * before))) == before + 1
    handled = together(actor, update, (another, known), update)
    assert [end is not None for end in handled] == [True, False, False]
    new = {"event_id": "new"}
    handled = together(actor, (update, new), (update, new), (another, new), update)
    assert [end is not None for end in handled] == [True, True, False, False]


def test_a_message_that_came_before_is_told_nothing_where_its_job_has_changed(
    actor: Actor, running: Document, jobs: PipelineJobStore
) -> None:
    again = (event(running, "update"), {"event_id": "e"})
    assert None not in together(actor, again, again)
    jobs.hide(jobs.load(running["uuid"]))
    # what is remembered of the job is from before
    assert results(together(actor, again)) == []


def test_a_bucket_of_a_job_that_was_removed_is_not_taken_for_one_of_its_successor(
    actor: Actor, running: Document, jobs: PipelineJobStore, db: Db
) -> None:
    update = event(running, "update")
    before = [(update, {"event_id": f"e{n}"}) for n in range(30)]
    assert None not in together(actor, *before)
    assert None not in together(actor, update)
    assert results(together(actor, before[0]))[0]["revision"] == 2
    moved = db["jobs_history"].update_many({}, {"$set": {"job_id": "of its predecessor"}})
    assert moved.modified_count == 1
    assert results(together(actor, before[0]))[0]["revision"] == 33


@pytest.mark.parametrize("more", [{}, {"event_id": "1"}], ids=["its execution", "its own id"])
def test_a_damaged_job_does_not_keep_those_of_others_from_being_handled(
    more: dict[str, str], actor: Actor, running: Document, others: list[Document], db: Db
) -> None:
    db["jobs"].update_one({"uuid": running["uuid"]}, {"$set": {"_history.moved": "x"}})
    bad, good = (event(job, "update") for job in (running, others[0]))
    handled = together(actor, (good, more), (bad, more), good)
    assert [end is not None for end in handled] == [True, False, True]
    assert names(actor, others[0]).count("update") == 2


def test_in_a_later_life_what_may_have_come_before_is_left(actor: Actor, running: Document) -> None:
    for name in ("reset", "ready"):
        admin = event(running, name, token=get_admin_token(*ADMIN.values()))
        assert actor.send(admin).error == ""
    actor.bring(running, "run")
    update = event(running, "update")
    assert together(actor, (update, {"event_id": "1"}), update) == [None, None]
    assert None not in together(actor, update, update)


def test_what_others_have_changed_since_is_noticed(
    actor: Actor, running: Document, jobs: PipelineJobStore
) -> None:
    update = event(running, "update")
    assert len(together(actor, update, update)) == 2
    jobs.handle({"uuid": running["uuid"], "name": "fail"}, running["_update_token"])
    assert results(together(actor, update, update)) == []
    assert results(together(actor, update, update)) == []
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


def test_of_a_job_that_was_read_as_a_whole_its_head_is_remembered(
    jobs: PipelineJobStore, job: Document
) -> None:
    jobs.heads.keep(jobs.load(job["uuid"]))
    assert jobs.heads.take(job["uuid"]) == jobs.load_head(job["uuid"])


def test_large_events_do_not_fill_the_document(actor: Actor, running: Document, db: Db) -> None:
    large = event(running, "update", data={"text": "x" * 100_000})
    handled = together(actor, *[large] * 20)
    assert 1 <= len(results(handled)) < 7
    stored = db["jobs"].find_one() or {}
    assert history.size(stored["history"]) <= history.MAX_BYTES
    assert results(together(actor, *[large] * 3))


# Of several jobs


@pytest.fixture
def others(actor: Actor, jobs: PipelineJobStore, pipeline: Document) -> list[Document]:
    """Two more jobs that run."""
    made = [jobs.create(fields(pipeline, data={"number": number})) for number in range(2)]
    for job in made:
        actor.bring(job, "run")
    return made


@pytest.fixture
def asked(mongodb: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """What the actor asks of the database from now on."""
    recorder = Recorder()
    client: pymongo.MongoClient[Document] = pymongo.MongoClient(
        mongodb["authn"], event_listeners=[recorder]
    )
    with client, monkeypatch.context() as patch:
        recorded = mongo.connect(client[mongodb["database"]])
        patch.setattr(mongo, "connect", lambda _: recorded)
        yield recorder


def of_jobs(asked: Recorder) -> list[str]:
    """Return the commands about jobs since the last time."""
    commands = [each for each in asked.commands if each.endswith(" jobs")]
    asked.events.clear()
    return commands


def test_events_of_several_jobs_are_one_question_and_one_command(
    actor: Actor, running: Document, others: list[Document], asked: Recorder
) -> None:
    sent = [running, others[0], running, others[1], others[0], running]
    handled = together(actor, *[event(job, "update", data={"n": n}) for n, job in enumerate(sent)])
    assert of_jobs(asked) == ["find jobs", "update jobs"]
    found = [(done["uuid"], done["revision"]) for done in results(handled)]
    counts: Counter[str] = Counter()
    for job in sent:
        counts[job["uuid"]] += 1
        assert found.pop(0) == (job["uuid"], counts[job["uuid"]] + 1)
    for job in (running, *others):
        numbers = [n for n, each in enumerate(sent) if each is job]
        assert [e["data"]["n"] for e in actor.job(job["uuid"])["history"][2:]] == numbers


def test_of_jobs_that_are_remembered_nothing_is_asked_until_somebody_else_changes_one(
    actor: Actor,
    running: Document,
    others: list[Document],
    asked: Recorder,
    jobs: PipelineJobStore,
) -> None:
    messages = [event(job, "update") for job in (running, *others)]
    together(actor, *messages)
    of_jobs(asked)
    assert len(results(together(actor, *messages))) == len(messages)
    assert of_jobs(asked) == ["update jobs"]
    jobs.handle({"uuid": running["uuid"], "name": "fail"}, running["_update_token"])
    handled = together(actor, *messages[:2])
    assert [end is not None for end in handled] == [False, True]
    assert names(actor, running) == ["create", "run", "update", "update", "fail"]
    # whoever has changed one has probably changed others
    asked.events.clear()
    together(actor, *messages[::2])
    (question,) = [each.command for each in asked.events if each.command_name == "find"]
    assert {*question["filter"]["uuid"]["$in"]} == {running["uuid"], others[1]["uuid"]}


def test_a_message_that_needs_more_leaves_those_of_all_jobs_behind_it(
    actor: Actor, running: Document, others: list[Document]
) -> None:
    handled = together(
        actor,
        event(running, "update"),
        event(others[0], "update"),
        {**without(event(others[1], ""), "name"), "action": "delete"},
        event(running, "update"),
    )
    assert [done["uuid"] for done in results(handled)] == [running["uuid"], others[0]["uuid"]]
    assert [names(actor, job).count("update") for job in (running, *others)] == [1, 1, 0]


def test_what_one_job_leaves_the_others_do_not(
    actor: Actor, running: Document, others: list[Document]
) -> None:
    large = event(running, "update", data={"text": "x" * 200_000})
    handled = together(actor, large, large, large, event(others[0], "update"), large)
    assert [end is not None for end in handled] == [True, True, False, True, False]
    assert [names(actor, job).count("update") for job in (running, others[0])] == [2, 1]


def test_histories_of_several_jobs_are_whole_and_in_order(
    actor: Actor,
    running: Document,
    others: list[Document],
    jobs: PipelineJobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # on a busy machine, to make room in three of them may take longer than a batch may
    monkeypatch.setattr(appending, "MAX_SECONDS", 60.0)
    sent = 0
    for _ in range(8):
        numbers = range(sent, sent + 7)
        batch = [event(job, "update", data={"n": n}) for n in numbers for job in (running, *others)]
        assert len(results(together(actor, *batch))) == len(batch)
        sent += 7
    for job in (running, *others):
        stored = jobs.load(job["uuid"])
        entries = list(jobs.histories.read(stored, 0, None))
        assert [entry["data"]["n"] for entry in entries[2:]] == list(range(sent))
        assert [entry["_revision"] for entry in entries] == list(range(sent + 2))
        assert len(stored["history"]) < 2 * history.MAX_ENTRIES
        assert stored["_history"]["bytes"] == history.size(stored["history"])


def late(monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any]) -> None:
    """Let something change when the heads of several jobs have been read."""
    load_heads = PipelineJobStore.load_heads

    def load_and_be_late(self: PipelineJobStore, uuids: Any) -> Any:
        found = load_heads(self, uuids)
        change()
        return found

    monkeypatch.setattr(PipelineJobStore, "load_heads", load_and_be_late)


def test_events_of_a_job_that_has_changed_meanwhile_are_left_and_not_those_of_others(
    actor: Actor,
    running: Document,
    others: list[Document],
    jobs: PipelineJobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = [others[0], running, others[1], running]
    with monkeypatch.context() as patch:
        fail = {"uuid": running["uuid"], "name": "fail"}
        late(patch, lambda: jobs.handle(fail, running["_update_token"]))
        handled = together(actor, *[event(job, "update") for job in sent])
    assert [end is not None for end in handled] == [True, False, True, False]
    assert [names(actor, job) for job in others] == [["create", "run", "update"]] * 2
    assert names(actor, running) == ["create", "run", "fail"]
    # what is remembered is right
    assert [done["revision"] for done in results(together(actor, event(others[0], "update")))] == [
        3
    ]


def test_a_job_that_is_hidden_does_not_keep_those_of_others_from_being_handled(
    actor: Actor, running: Document, others: list[Document]
) -> None:
    assert actor.send({**without(event(running, ""), "name"), "action": "delete"}).error == ""
    handled = together(actor, *[event(job, "update") for job in (others[0], running, others[1])])
    assert [end is not None for end in handled] == [True, False, True]
    assert "no job" in actor.send(event(running, "update")).error


def test_where_it_is_unknown_which_jobs_have_changed_nothing_is_doubled(
    actor: Actor,
    running: Document,
    others: list[Document],
    jobs: PipelineJobStore,
    db: Db,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = [actor.message(event(job, "update"), FIRST) for job in (running, *others)]
    write = Collection.bulk_write

    def write_and_be_late(self: Collection[Document], *requests: Any, **options: Any) -> Any:
        written = write(self, *requests, **options)
        # so many events of others that the one that was written has moved
        for _ in range(history.MAX_ENTRIES):
            jobs.handle({"uuid": others[0]["uuid"], "name": "update"}, others[0]["_update_token"])
        return written

    with monkeypatch.context() as patch:
        fail = {"uuid": running["uuid"], "name": "fail"}
        late(patch, lambda: jobs.handle(fail, running["_update_token"]))
        patch.setattr(Collection, "bulk_write", write_and_be_late)
        with pytest.raises(Uncertain):
            reactor.together(messages)
    # so each comes again by itself, as one that may have been handled
    for message in messages[1:]:
        again = actor.send(message["MSG"], without(message, "_abaco_first_attempt", "MSG"))
        assert again.result["state"] == "RUNNING"
    assert names(actor, others[0]).count("update") == 1 + history.MAX_ENTRIES
    assert names(actor, others[1]) == ["create", "run", "update"]
    assert names(actor, running)[-1] == "fail"


def test_jobs_that_need_room_do_not_hold_up_the_others_for_long(
    actor: Actor,
    running: Document,
    others: list[Document],
    jobs: PipelineJobStore,
    pipeline: Document,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    another = jobs.create(fields(pipeline, data={"number": 3}))
    for job in others:
        assert (
            len(together(actor, *[event(job, "update")] * history.MAX_ENTRIES))
            == history.MAX_ENTRIES
        )
    actor.bring(another, "run")
    make_room = history.History.make_room

    def make_room_slowly(*arguments: Any) -> Any:
        time.sleep(2 * appending.MAX_SECONDS)
        return make_room(*arguments)

    monkeypatch.setattr(appending, "MAX_SECONDS", 0.01)
    monkeypatch.setattr(history.History, "make_room", make_room_slowly)
    sent = (*others, running, another)
    handled = together(actor, *[event(job, "update") for job in sent])
    assert [end is not None for end in handled] == [True, False, True, True]
