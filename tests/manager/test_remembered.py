"""A process remembers jobs from one message to the next; others may have changed them meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import reactor
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, heads
from datacatalog.mongo import Document
from datacatalog.tokens import get_admin_token
from manager.exceptions import InvalidSettings
from reactors.runtime import Reactor
from tests.actor import Actor, delete, event, names
from tests.conftest import ADMIN, ROOT

Change = Callable[[PipelineJobStore, Document], object]
ADMIN_TOKEN = get_admin_token(
    ADMIN["CATALOG_ADMIN_TOKEN_KEY"], ADMIN["CATALOG_ADMIN_TOKEN_SECRET"], 3600
)


@pytest.fixture
def running(actor: Actor, job: Document) -> Document:
    """A job that the process remembers as RUNNING."""
    actor.bring(job, "run", "update")
    return job


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    ("valid", "invalid"),
    # as values of Python, the two are equal
    [("debug: true", "debug: 1"), ("mongodb: {patience: 0}", "mongodb: {patience: false}")],
)
def test_settings_that_become_invalid_are_refused(
    valid: str, invalid: str, actor: Actor, tmp_path: Path
) -> None:
    environ = actor.message()
    del environ["_REACTOR_MONGODB_PATIENCE"]
    (tmp_path / "config.yml").write_text(valid)
    reactor.open_jobs(Reactor(environ, folders=[ROOT, tmp_path]))
    (tmp_path / "config.yml").write_text(invalid)
    with pytest.raises(InvalidSettings):
        reactor.open_jobs(Reactor(environ, folders=[ROOT, tmp_path]))


OTHERS: list[tuple[str, Change, str, list[str]]] = [
    (
        "an event of another process",
        lambda jobs, job: jobs.handle(
            {"uuid": job["uuid"], "name": "update"}, job["_update_token"]
        ),
        "",
        ["create", "run", "update", "update", "update"],
    ),
    (
        "the token is another one",
        lambda jobs, job: jobs.rotate_token(job["uuid"], job["_update_token"], grace=0),
        "not_authorized",
        ["create", "run", "update"],
    ),
    (
        "the token is another one, and the former one still holds",
        lambda jobs, job: jobs.rotate_token(job["uuid"], job["_update_token"]),
        "",
        ["create", "run", "update", "update"],
    ),
    (
        "the job has ended",
        lambda jobs, job: jobs.handle({"uuid": job["uuid"], "name": "fail"}, job["_update_token"]),
        "not_allowed",
        ["create", "run", "update", "fail"],
    ),
]


@pytest.mark.parametrize(
    ("change", "kind", "history"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS]
)
def test_what_others_have_changed_decides(
    change: Change, kind: str, history: list[str], actor: Actor, running: Document
) -> None:
    change(actor.jobs, running)
    reply = actor.send(event(running, "update"))
    assert reply.kind == kind
    assert names(actor, running) == history
    revision = len(history) - 1
    assert kind or reply.result["revision"] in (revision, revision + 1)


@pytest.mark.parametrize("forced", [False, True])
def test_a_job_that_others_delete_is_unknown(forced: bool, actor: Actor, running: Document) -> None:
    actor.jobs.delete(running["uuid"], running["_update_token"], force=forced)
    reply = actor.send(event(running, "update"))
    unknown = actor.send(event(running, "update", token="0" * 16))
    assert (reply.kind, reply.error) == (unknown.kind, unknown.error)
    assert reply.kind == "not_authorized"


def test_a_job_that_is_made_again_is_not_the_one_that_is_remembered(
    actor: Actor, running: Document
) -> None:
    jobs = actor.jobs
    jobs.delete(running["uuid"], running["_update_token"], force=True)
    fields = ("pipeline_uuid", "archive_path", "data")
    again = jobs.create({name: running[name] for name in fields})
    jobs.handle({"uuid": again["uuid"], "name": "run"}, again["_update_token"])
    jobs.handle({"uuid": again["uuid"], "name": "update"}, again["_update_token"])
    assert again["uuid"] == running["uuid"]
    assert actor.send(event(running, "finish")).kind == "not_authorized"
    assert names(actor, again) == ["create", "run", "update"]


def test_a_refusal_is_kept_with_the_state_that_is_true(actor: Actor, running: Document) -> None:
    jobs = actor.jobs
    jobs.handle({"uuid": running["uuid"], "name": "fail"}, running["_update_token"])
    assert "FAILED" in actor.send(event(running, "update")).error
    (row,) = actor.dump()["rejected_events"]
    assert (row["state"], row["event"]["name"]) == ("FAILED", "update")


def test_an_event_that_another_process_has_applied_is_not_applied_again(
    actor: Actor, running: Document
) -> None:
    message = {"event_id": "the only one"}
    jobs = actor.jobs
    jobs.apply(jobs.load(running["uuid"]), "update", {}, key="event:the only one", sent={})
    reply = actor.send(event(running, "update"), message)
    assert reply.result["revision"] == 3
    assert names(actor, running) == ["create", "run", "update", "update"]


def test_a_wrong_token_is_wrong_for_a_job_that_is_remembered(
    actor: Actor, running: Document
) -> None:
    wrong = actor.send(event(running, "update", token=running["_update_token"][:-1]))
    assert wrong.kind == "not_authorized"
    assert actor.send(event(running, "update")).result["revision"] == 3


def test_what_only_an_administrator_may_is_not_permitted_by_memory(
    actor: Actor, running: Document
) -> None:
    assert actor.send(event(running, "reset")).kind == "not_authorized"
    assert actor.send(event(running, "reset", token=ADMIN_TOKEN)).result["state"] == "RESET"


def test_a_deleted_job_is_not_remembered(actor: Actor, running: Document) -> None:
    assert actor.send(delete(running)).error == ""
    assert actor.send(event(running, "update")).kind == "not_authorized"


def test_a_process_remembers_the_last_jobs_only_and_for_a_while(
    jobs: PipelineJobStore, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = heads.Heads()
    for number in range(heads.MAX_HEADS + 1):
        known.keep({"uuid": f"job {number}", "history": [{"uuid": "e", "data": "x" * 1000}]})
    assert known.take("job 0") is None
    assert known.take("job 1") == {"uuid": "job 1", "history": [{"uuid": "e"}]}
    assert known.take("job 1") is None
    monkeypatch.setattr(heads, "SECONDS", 0.0)
    assert known.take("job 2") is None
