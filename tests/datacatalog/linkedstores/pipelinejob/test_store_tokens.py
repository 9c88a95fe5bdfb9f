from __future__ import annotations

import pytest

from datacatalog import tokens
from datacatalog.linkedstores.pipelinejob import (
    PipelineJobStore,
    fsm,
)
from datacatalog.mongo import Db, Document
from datacatalog.settings import CatalogSettings
from datacatalog.tokens import InvalidAdminToken, InvalidToken
from tests.datacatalog.conftest import Send
from tests.datacatalog.jobs import LIFE, WRONG_TOKENS, fields, stored


@pytest.mark.parametrize("token", WRONG_TOKENS)
def test_a_wrong_token_is_refused_and_leaves_no_trace(
    token: str, jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    before = stored(db, job)
    with pytest.raises(InvalidToken):
        jobs.handle({"uuid": job["uuid"], "name": "run"}, token)
    with pytest.raises(InvalidToken):
        jobs.handle({"uuid": job["uuid"], "name": "finish"}, token)
    for force in (False, True):
        with pytest.raises(InvalidToken):
            jobs.delete(job["uuid"], token, force)
    assert stored(db, job) == before
    assert db["rejected_events"].count_documents({}) == 0


def test_a_missing_token_is_refused(jobs: PipelineJobStore, job: Document) -> None:
    for event in ({"name": "run"}, {"name": "run", "token": None}, {"name": "run", "token": ""}):
        with pytest.raises(InvalidToken):
            jobs.handle({"uuid": job["uuid"], **event})


def test_the_token_of_another_job_is_refused(
    jobs: PipelineJobStore, job: Document, pipeline: Document
) -> None:
    other = jobs.create(fields(pipeline, data={"burritos": 3}))
    assert other["_update_token"] != job["_update_token"]
    with pytest.raises(InvalidToken):
        jobs.handle({"uuid": job["uuid"], "name": "run"}, other["_update_token"])


def test_the_token_of_the_pipeline_is_refused(
    jobs: PipelineJobStore, job: Document, pipeline: Document
) -> None:
    with pytest.raises(InvalidToken):
        jobs.handle({"uuid": job["uuid"], "name": "run"}, pipeline["_update_token"])


def test_a_token_may_come_with_the_event(jobs: PipelineJobStore, job: Document) -> None:
    event = {"uuid": job["uuid"], "name": "run", "token": job["_update_token"]}
    assert jobs.handle(event)["state"] == "RUNNING"


def test_the_token_of_the_event_wins(jobs: PipelineJobStore, job: Document) -> None:
    event = {"uuid": job["uuid"], "name": "run", "token": job["_update_token"]}
    # as the original's manager calls it
    assert jobs.handle(event, "null")["state"] == "RUNNING"
    with pytest.raises(InvalidToken):
        jobs.handle({**event, "token": "0123456789abcdef"}, job["_update_token"])


def test_a_field_of_a_job_is_never_written_without_its_token(
    jobs: PipelineJobStore, job: Document
) -> None:
    with pytest.raises(InvalidToken):
        jobs.write_key(job["uuid"], "agent", "salsa")
    assert jobs.write_key(job["uuid"], "agent", "salsa", job["_update_token"])["agent"] == "salsa"
    for name in ("state", "history", "data"):
        with pytest.raises(ValueError, match="cannot be written"):
            jobs.write_key(job["uuid"], name, "RETIRED", job["_update_token"])


def test_the_token_of_the_creation_works_for_the_life_of_the_job(
    admin_token: str, jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    for event, _ in LIFE:
        send(event)
    send("reset", token=admin_token)
    send("ready", token=admin_token)
    assert send("run")["state"] == "RUNNING"
    jobs.delete(job["uuid"], job["_update_token"])
    jobs.undelete(job["uuid"], job["_update_token"])
    assert send("finish")["_update_token"] == job["_update_token"]


def test_the_token_depends_on_salt_uuid_and_owner_only(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    found = stored(db, job)
    assert jobs.get_token(found) == job["_update_token"]
    assert (
        tokens.get_token(found["_salt"], [found["uuid"], found["_admin"]]) == (job["_update_token"])
    )


@pytest.mark.parametrize("event", ["reset", "ready"])
def test_the_token_of_the_job_does_not_reset_it(
    event: str, admin_token: str, job: Document, send: Send, db: Db
) -> None:
    if event == "ready":
        send("reset", token=admin_token)
    before = stored(db, job)
    with pytest.raises(InvalidAdminToken) as refused:
        send(event)
    assert str(refused.value) == f"{event} event: only an administrative token allows it"
    assert stored(db, job) == before


@pytest.mark.parametrize("state", list(fsm.STATES))
def test_an_administrative_token_resets_a_job_in_any_state(
    state: str, admin_token: str, send: Send, db: Db
) -> None:
    db["jobs"].update_one({}, {"$set": {"state": state}})
    assert send("reset", token=admin_token)["state"] == "RESET"
    assert send("ready", token=admin_token)["state"] == "CREATED"


def test_an_administrative_token_allows_everything(
    admin_token: str, jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    assert send("run", token=admin_token)["_update_token"] == job["_update_token"]
    jobs.delete(job["uuid"], admin_token)
    jobs.undelete(job["uuid"], admin_token)
    jobs.delete(job["uuid"], admin_token, force=True)
    assert jobs.find_one_by_uuid(job["uuid"]) is None


def test_without_key_and_secret_there_is_no_administrator(
    jobs: PipelineJobStore, send: Send
) -> None:
    with pytest.raises(InvalidToken):
        send("reset", token=tokens.get_admin_token("", ""))
    assert jobs.catalog == CatalogSettings()
