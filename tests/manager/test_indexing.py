"""The manager indexes the outputs of jobs itself, where no other actor does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.managers.pipelinejobs.indexing import Indexed, Indexer
from datacatalog.mongo import Db, Document
from manager.exceptions import FAILED
from tests.actor import Actor, event, names, url
from tests.conftest import ROOT
from tests.datacatalog.places import SYSTEM, Here, Place, Remote
from tests.datacatalog.storage import Storage
from tests.tenant import Tenant

SAME = {"_abaco_execution_id": "execution-1"}
FOLDER = "/products/v2/tacos"
PATTERNS = {"archive_patterns": [{"patterns": [r"\.csv$"], "level": "1"}]}
in_both_ways = pytest.mark.parametrize("way", ["remote", "here"], indirect=True)
DONE = ["create", "run", "finish", "index", "indexed"]


@pytest.fixture
def storage() -> Iterator[Storage]:
    with Storage() as server:
        yield server


@pytest.fixture(params=[pytest.param("remote", marks=pytest.mark.long), "here"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, dict[str, str]]:
    """A storage system with outputs, and what the actor is told about it."""
    place: Place
    if request.param == "remote":
        server: Storage = request.getfixturevalue("storage")
        place, told = Remote(server, None), server.environ
    else:
        place = Here(tmp_path / "storage")
        told = {"CATALOG_LOCAL_STORAGE": f"{SYSTEM}={tmp_path}/storage"}
    for name in ("a.csv", "b.csv", "c.json"):
        place.put(f"{FOLDER}/{name}", name.encode())
    return place, told


@pytest.fixture
def make(actor: Actor, jobs: PipelineJobStore, pipeline: Document) -> Callable[..., Document]:
    """Make a job that has finished."""

    def make_job(**given: Any) -> Document:
        fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": FOLDER, "data": {}}
        job = jobs.create({**fields, **(given or PATTERNS)})
        actor.bring(job, "run", "finish")
        return job

    return make_job


@pytest.fixture
def job(make: Callable[..., Document]) -> Document:
    return make()


def linked(actor: Actor, job: Document) -> list[str]:
    files = actor.dump().get("files", [])
    return sorted(file["name"] for file in files if file["child_of"] == [job["uuid"]])


@in_both_ways
@pytest.mark.parametrize("sent", ["event", "url"])
def test_index_brings_the_outputs_into_the_catalog(
    sent: str, actor: Actor, job: Document, way: tuple[Place, dict[str, str]]
) -> None:
    _, told = way
    message = {
        "event": (event(job, "index"), told),
        "url": ({"a": 1}, {**url(job, event="index"), **told}),
    }[sent]

    reply = actor.send(*message)

    assert reply.result == {
        "uuid": job["uuid"],
        "state": "FINISHED",
        "last_event": "indexed",
        "revision": 4,
    }
    assert linked(actor, job) == [f"{FOLDER}/a.csv", f"{FOLDER}/b.csv"]
    fixities = {each["name"]: each["size"] for each in actor.dump()["fixities"]}
    assert fixities == {f"{FOLDER}/a.csv": 5, f"{FOLDER}/b.csv": 5}
    assert names(actor, job) == DONE
    assert actor.job(job["uuid"])["history"][-1]["data"] == {"files": 2}
    assert "index event, 2 files indexed, state FINISHED, revision 4" in reply.log


def test_a_second_delivery_is_answered_as_the_first(
    actor: Actor, job: Document, way: tuple[Place, dict[str, str]]
) -> None:
    place, told = way
    first = actor.send(event(job, "index"), {**SAME, **told})
    place.put(f"{FOLDER}/new.csv", b"")
    before = actor.dump()

    # not even the way to the files is needed
    assert actor.send(event(job, "index"), SAME).result == first.result
    assert actor.send(event(job, "index", data={"a": 1}), {**SAME, **told}).kind == "conflict"
    assert actor.dump() == before

    assert actor.send(event(job, "index"), told).result["revision"] == 6
    assert len(linked(actor, job)) == 3


class Died(BaseException):
    """What nothing in the actor catches."""


@pytest.mark.parametrize("again", [SAME, {"_abaco_execution_id": "execution-2"}])
@pytest.mark.parametrize("at", ["before the files", "after the files"])
def test_what_was_broken_off_is_completed_by_the_next_message(
    at: str,
    again: dict[str, str],
    actor: Actor,
    job: Document,
    way: tuple[Place, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, told = way
    run = Indexer.run

    def dying(indexer: Indexer) -> Indexed:
        if at == "after the files":
            run(indexer)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Indexer, "run", dying)
        with pytest.raises(Died):
            actor.send(event(job, "index"), {**SAME, **told})
    assert actor.job(job["uuid"])["state"] == "INDEXING"

    reply = actor.send(event(job, "index"), {**again, **told})

    assert (reply.result["state"], reply.result["last_event"]) == ("FINISHED", "indexed")
    assert linked(actor, job) == [f"{FOLDER}/a.csv", f"{FOLDER}/b.csv"]
    assert {each["version"] for each in actor.dump()["fixities"]} == {1}
    expected = DONE if again == SAME else ["create", "run", "finish", "index", "index", "indexed"]
    assert names(actor, job) == expected


def test_a_killed_actor_leaves_nothing_that_the_next_does_not_complete(
    actor: Actor, job: Document, storage: Storage
) -> None:
    for name in ("a.csv", "b.csv"):
        storage.put(f"{SYSTEM}:{FOLDER}/{name}", name.encode())
    storage.held = threading.Event()
    environ = actor.message(event(job, "index"), {**SAME, **storage.environ})
    command = [sys.executable, str(ROOT / "reactor.py")]
    running = subprocess.Popen(command, env={**environ, "PATH": os.environ["PATH"]}, cwd=ROOT)
    deadline = time.monotonic() + 30
    while actor.job(job["uuid"])["state"] != "INDEXING" and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    assert running.wait() == -9
    storage.held.set()
    storage.held = None
    assert actor.job(job["uuid"])["state"] == "INDEXING"

    run = actor.run(event(job, "index"), {**SAME, **storage.environ})

    assert run.code == 0
    assert run.answer is not None
    assert (run.answer["state"], run.answer["revision"]) == ("FINISHED", 4)
    assert len(linked(actor, job)) == len(actor.dump()["fixities"]) == 2
    assert names(actor, job) == DONE


def test_a_job_without_patterns_is_left_to_others(
    actor: Actor, make: Callable[..., Document]
) -> None:
    job = make(session="solid-snake")

    states = [actor.send(event(job, name)).result["state"] for name in ("index", "indexed")]

    assert states == ["INDEXING", "FINISHED"]
    assert "files" not in actor.dump()


def test_an_external_indexer_has_precedence(actor: Actor, job: Document) -> None:
    with Tenant(is_known=True) as tenant:
        indexer = {"_REACTOR_PIPELINES_JOB_INDEXER_ID": "jobs-indexer", **tenant.environ}
        reply = actor.send(event(job, "index"), indexer)

        assert [sent.path for sent in tenant.messages] == ["/actors/v2/jobs-indexer/messages"]
    assert reply.result["state"] == "FINISHED"
    assert "files" not in actor.dump()


def test_both_events_are_announced(actor: Actor, job: Document, tmp_path: Path) -> None:
    Here(tmp_path / "storage").put(f"{FOLDER}/a.csv", b"")
    with Tenant(is_known=True) as tenant:
        told = {
            "CATALOG_LOCAL_STORAGE": f"{SYSTEM}={tmp_path}/storage",
            "_REACTOR_PIPELINES_EVENTS_MANAGER_ID": "events-manager",
            "_REACTOR_STATE_ENTER": "true",
            **tenant.environ,
        }
        actor.send(event(job, "index"), told)

        bodies = [sent.body["message"] for sent in tenant.messages]
    # what came just before the subscription is told as well
    assert [(body["event_name"], body["job_state"]) for body in bodies][-4:] == [
        ("index", "FINISHED"),
        ("index", "INDEXING"),
        ("indexed", "INDEXING"),
        ("indexed", "FINISHED"),
    ]


# What can go wrong


def test_a_state_that_does_not_allow_it_is_refused_and_kept(
    actor: Actor, make: Callable[..., Document]
) -> None:
    job = make()
    actor.bring(job, "retire")

    assert actor.send(event(job, "index")).kind == "not_allowed"

    (row,) = actor.dump()["rejected_events"]
    assert row["event"]["name"] == "index"


def test_without_a_way_to_the_files_nothing_is_done(actor: Actor, job: Document) -> None:
    before = actor.dump()

    reply = actor.send(event(job, "index"))

    assert reply.kind == "invalid_settings"
    assert reply.error.startswith(f"index event: there is no way to the files of {SYSTEM}: ")
    assert reply.error.endswith(
        f"; or set CATALOG_LOCAL_STORAGE={SYSTEM}=/folder, or pipelines.job_indexer_id"
    )
    assert actor.dump() == before
    assert actor.main(event(job, "index")).code == FAILED


@in_both_ways
def test_an_archive_path_that_is_not_there_is_an_answer(
    actor: Actor, make: Callable[..., Document], way: tuple[Place, dict[str, str]]
) -> None:
    place, told = way
    job = make(**PATTERNS, archive_path="/products/v2/nowhere")

    run = actor.main(event(job, "index"), {**SAME, **told})

    assert run.code == FAILED
    assert run.answer is not None
    assert run.answer["kind"] == "invalid_message"
    error = run.answer["error"]
    assert error.startswith(f"index event: {SYSTEM}:/products/v2/nowhere was not listed: ")
    assert ": bring the outputs there, and send index again" in error
    setting = f"; or set CATALOG_LOCAL_STORAGE={SYSTEM}=/folder if "
    assert (setting in error) == (told.get("CATALOG_LOCAL_STORAGE") is None)
    assert actor.job(job["uuid"])["state"] == "INDEXING"

    place.put("/products/v2/nowhere/a.csv", b"")
    again = actor.send(event(job, "index"), {**SAME, **told})
    assert (again.result["state"], names(actor, job)) == ("FINISHED", DONE)


@pytest.mark.parametrize(("status", "kind"), [(403, "invalid_message"), (401, "unavailable")])
def test_what_the_storage_system_does_not_allow_is_tried_again_only_if_that_may_help(
    status: int, kind: str, actor: Actor, job: Document, storage: Storage
) -> None:
    storage.failing = status
    reply = actor.send(event(job, "index"), storage.environ)
    assert reply.kind == kind
    assert f"{SYSTEM}:{FOLDER} was not listed: HTTP status {status}: " in reply.error


def test_a_folder_that_is_gone_while_it_is_listed_is_tried_again(
    actor: Actor, job: Document, storage: Storage
) -> None:
    storage.put(f"{SYSTEM}:{FOLDER}/old/a.csv", b"")
    storage.vanished = {f"{SYSTEM}:{FOLDER}/old"}
    assert actor.send(event(job, "index"), storage.environ).kind == "unavailable"


def test_a_storage_system_that_fails_is_tried_again_by_the_next_message(
    actor: Actor, job: Document, storage: Storage
) -> None:
    storage.put(f"{SYSTEM}:{FOLDER}/a.csv", b"")
    storage.failing = 500

    reply = actor.send(event(job, "index"), {**SAME, **storage.environ})

    assert reply.kind == "unavailable"
    assert reply.error == (
        f"index event: {SYSTEM}:{FOLDER} was not listed: HTTP status 500: send it again"
    )
    assert actor.job(job["uuid"])["state"] == "INDEXING"
    storage.failing = None
    again = actor.send(event(job, "index"), {**SAME, **storage.environ})
    assert again.result["state"] == "FINISHED"
    assert names(actor, job) == DONE


def test_a_source_that_cannot_be_looked_for_is_looked_for_again(
    actor: Actor, make: Callable[..., Document], storage: Storage
) -> None:
    job = make(product_patterns=[{"patterns": ["csv"], "derived_from": ["/uploads/taco"]}])
    storage.put(f"{SYSTEM}:{FOLDER}/a.csv", b"")
    storage.failing, storage.fails_at = 500, "/uploads/taco"
    reply = actor.send(event(job, "index"), {**SAME, **storage.environ})
    assert reply.kind == "unavailable"
    storage.failing = None
    reply = actor.send(event(job, "index"), {**SAME, **storage.environ})
    assert reply.kind == "invalid_message"
    assert "the source '/uploads/taco' does not exist" in reply.error


@pytest.mark.parametrize(
    ("patterns", "problem"),
    [
        ([{"patterns": ["("], "level": "1"}], "the pattern '(' is not a regular"),
        ([{"patterns": [], "level": "9"}], "level of an indexing request is '9'"),
        ([7], "7 is not an indexing request"),
        ([{"patterns": [], "derived_from": ["x"]}], "nothing is known that files"),
        ([{"patterns": [], "generated_by": ["x"]}], "nothing is known that files"),
    ],
)
def test_patterns_that_make_no_sense_are_named_and_nothing_is_done(
    patterns: list[Any],
    problem: str,
    actor: Actor,
    make: Callable[..., Document],
    way: tuple[Place, dict[str, str]],
) -> None:
    _, told = way
    job = make(product_patterns=patterns)
    before = actor.dump()

    reply = actor.send(event(job, "index"), told)

    assert reply.kind == "invalid_message"
    assert reply.error.startswith(f"index event: {problem}")
    assert actor.dump() == before


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("archive_path", 5, "of the job, 'archive_path' is 5 (int), and has to be a string"),
        ("archive_path", None, "of the job, 'archive_path' is None (NoneType), and has"),
        ("archive_system", ["x"], "of the job, 'archive_system' is ['x'] (list), and has"),
        ("generated_by", 7, "of the job, 'generated_by' is 7 (int), and has to be a list of UUIDs"),
        ("product_patterns", 7, "product_patterns is 7: give an object with patterns"),
    ],
)
def test_a_field_of_the_wrong_type_that_others_have_written_is_named(
    field: str,
    value: Any,
    problem: str,
    actor: Actor,
    job: Document,
    db: Db,
    way: tuple[Place, dict[str, str]],
) -> None:
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {field: value}})

    run = actor.main(event(job, "index"), way[1])

    assert run.answer is not None
    assert (run.code, run.answer["kind"]) == (FAILED, "invalid_message")
    assert run.answer["error"].startswith(f"index event: {problem}")
    assert actor.job(job["uuid"])["state"] == "FINISHED"


@pytest.mark.parametrize(
    "odd",
    [
        {"archive_path": 5, "archive_system": 5},
        {"archive_patterns": 7},
        {"child_of": "zzz", "generated_by": 1, "acted_on": 2},
        {"data": ["x"], "session": 5, "agent": {}, "task": 5},
    ],
)
def test_other_events_take_a_job_as_others_have_written_it(
    odd: dict[str, Any], actor: Actor, make: Callable[..., Document], db: Db
) -> None:
    job = make(session="solid-snake")
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": odd})
    for name in ("finish", "validate", "validated", "finalize", "retire"):
        assert actor.main(event(job, name)).code == 0


def test_files_without_fixity_are_in_the_history(
    actor: Actor, job: Document, storage: Storage
) -> None:
    for name in ("a.csv", "b.csv"):
        storage.put(f"{SYSTEM}:{FOLDER}/{name}", name.encode())
    storage.unreadable = {f"{SYSTEM}:{FOLDER}/a.csv"}

    reply = actor.send(event(job, "index"), storage.environ)

    assert reply.result["state"] == "FINISHED"
    assert actor.job(job["uuid"])["history"][-1]["data"] == {
        "files": 2,
        "without_fixity": 1,
        "unread": [f"{FOLDER}/a.csv"],
    }
    assert "HTTP status 403" in reply.log


def test_a_job_that_failed_meanwhile_stays_failed(
    actor: Actor,
    job: Document,
    way: tuple[Place, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, told = way
    run = Indexer.run

    def failing(indexer: Indexer) -> Indexed:
        actor.bring(job, "fail")
        return run(indexer)

    monkeypatch.setattr(Indexer, "run", failing)
    assert actor.send(event(job, "index"), {**SAME, **told}).kind == "not_allowed"
    assert actor.job(job["uuid"])["state"] == "FAILED"
    again = actor.send(event(job, "index"), {**SAME, **told})
    assert (again.result["state"], again.result["last_event"]) == ("INDEXING", "index")
    assert names(actor, job) == ["create", "run", "finish", "index", "fail"]


def test_the_files_are_those_of_the_catalog_of_the_actor(
    actor: Actor, job: Document, way: tuple[Place, dict[str, str]]
) -> None:
    _, told = way
    actor.send(event(job, "index"), told)
    (first, _) = sorted(actor.dump()["files"], key=lambda file: str(file["name"]))
    assert first["uuid"] == typeduuid.catalog_uuid(f"{FOLDER}/a.csv", "file")
    assert first["level"] == "1"
