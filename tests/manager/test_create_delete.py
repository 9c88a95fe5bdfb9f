from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from tests.actor import (
    ACTOR_ID,
    ALOE_POST,
    BY_NONCE,
    NONCE,
    TRUSTED,
    UNKNOWN_PIPELINE,
    USER,
    Actor,
    at_once,
    create,
    delete,
    event,
    url,
)

MAY_CREATE = {"_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE": "true"}


# Delete


@pytest.mark.parametrize("more", [{}, {"force": False}], ids=["absent", "false"])
def test_a_job_is_hidden_unless_it_is_forced(
    actor: Actor, job: Document, more: dict[str, bool]
) -> None:
    (before,) = actor.dump()["jobs"]

    assert actor.send({**delete(job), **more}).result == {
        "uuid": job["uuid"],
        "deleted": "hidden",
    }

    dump = actor.dump()
    (after,) = dump["jobs"]
    assert after["_visible"] is False
    assert after["history"] == before["history"]
    assert [row["action"] for row in dump["updates"] if row["uuid"] == job["uuid"]].count(
        "delete"
    ) == 1
    assert actor.jobs.undelete(job["uuid"], job["_update_token"])["uuid"] == job["uuid"]
    assert actor.send(event(job, "run")).error == ""


def test_a_job_can_be_hidden_twice(actor: Actor, job: Document) -> None:
    first = actor.send(delete(job))
    before = actor.dump()

    assert actor.send(delete(job)).result == first.result
    assert actor.dump() == before


@pytest.mark.parametrize("hidden", [False, True])
def test_a_forced_delete_removes_a_job_and_keeps_a_copy(
    actor: Actor, job: Document, *, hidden: bool
) -> None:
    actor.bring(job, "run", *["update"] * 40)
    history = actor.job(job["uuid"])["history"]
    if hidden:
        actor.send(delete(job))

    reply = actor.send(delete(job, force=True))

    assert reply.result == {"uuid": job["uuid"], "deleted": "removed"}
    dump = actor.dump()
    assert dump["jobs"] == []
    assert dump["jobs_history"] == []
    (copy,) = [row["document"] for row in dump["updates"] if "document" in row]
    moved = [row["bucket"]["entries"] for row in dump["updates"] if "bucket" in row]
    kept = [entry for entries in [*moved, copy["history"]] for entry in entries]
    assert copy["uuid"] == job["uuid"]
    assert [row["action"] for row in dump["updates"] if "document" in row] == ["delete"]
    assert [entry["uuid"] for entry in kept] == [entry["uuid"] for entry in history]


@pytest.mark.parametrize("force", [False, True])
def test_a_deleted_job_accepts_no_event(
    actor: Actor, job: Document, admin_token: str, *, force: bool
) -> None:
    actor.send(delete(job, force=force))
    before = actor.dump()

    for body in (event(job, "run"), {**event(job, "reset"), "token": admin_token}):
        assert actor.send(body).kind == "not_authorized"
    assert actor.send(ALOE_POST, url(job)).kind == "not_authorized"
    assert actor.dump() == before


# Create


def test_a_new_job_is_answered_with_its_token_and_callback(
    actor: Actor, pipeline: Document
) -> None:
    settings = {"_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE}

    reply = actor.send(create(pipeline, session="spicy-badger"), settings)

    stored = actor.job(reply.result["uuid"])
    token = actor.jobs.get_token(stored)
    assert reply.result == {
        "uuid": stored["uuid"],
        "state": "CREATED",
        "last_event": "create",
        "revision": 0,
        "token": token,
        "callback": f"https://api.sd2e.org/actors/v2/{ACTOR_ID}/messages?x-nonce={NONCE}"
        f"&token={token}&uuid={stored['uuid']}&session=spicy-badger",
    }
    assert stored["_admin"]["owner"] == USER
    assert token not in reply.log


def test_the_callback_names_the_configured_manager_and_no_nonce_if_there_is_none(
    actor: Actor, pipeline: Document
) -> None:
    settings = {
        "_REACTOR_PIPELINES_JOB_MANAGER_ID": "jobs-manager.prod",
        "_abaco_api_server": "https://tenant.example.org/",
    }

    callback = actor.send(create(pipeline), settings).result["callback"]

    assert callback.startswith(
        "https://tenant.example.org/actors/v2/jobs-manager.prod/messages?token="
    )
    assert "nonce" not in callback


@pytest.mark.parametrize("status", ["RUNNING", "running"])
def test_the_callback_moves_the_job(actor: Actor, pipeline: Document, status: str) -> None:
    settings = {"_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE}
    callback = actor.send(create(pipeline), settings).result["callback"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}

    by_url = actor.send("", {**settings, **query, "status": status})
    by_post = actor.send({**ALOE_POST, "status": "FINISHED"}, {**settings, **query})

    assert by_url.result["state"] == "RUNNING"
    assert by_post.result["state"] == "FINISHED"


@pytest.mark.parametrize(
    ("environ", "with_token"),
    [
        ({"_abaco_username": "owner"}, True),
        ({}, False),
        (TRUSTED, True),
        ({"token": "ADMIN"}, True),
        ({"token": "ADMIN", **BY_NONCE}, True),
        ({**BY_NONCE, **MAY_CREATE}, False),
        ({**BY_NONCE, **MAY_CREATE, "_abaco_username": "owner"}, False),
        ({"_abaco_username": ""}, False),
    ],
    ids=[
        "owner",
        "other user",
        "trusted user",
        "administrative token",
        "administrative token by nonce",
        "nonce",
        "nonce of the owner",
        "no user",
    ],
)
def test_for_a_job_that_exists_few_are_told_its_token(
    actor: Actor,
    pipeline: Document,
    admin_token: str,
    environ: dict[str, str],
    *,
    with_token: bool,
) -> None:
    first = actor.send(create(pipeline), {"_abaco_username": "owner"}).result
    job = {"uuid": first["uuid"], "_update_token": first["token"]}
    actor.bring(job, "run")
    before = actor.dump()
    shown = {**environ, **({"token": admin_token} if "token" in environ else {})}

    reply = actor.send(create(pipeline, archive_path="/elsewhere", session="other"), shown)

    assert reply.error == ""
    assert reply.result == {
        "uuid": first["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
        **({name: first[name] for name in ("token", "callback")} if with_token else {}),
    }
    assert actor.dump() == before


def test_of_creations_at_the_same_moment_one_makes_the_job(
    actor: Actor, pipeline: Document
) -> None:
    replies = at_once(8, lambda _: actor.send(create(pipeline, session="spicy-badger")))

    assert [reply.error for reply in replies] == [""] * 8
    assert len({json.dumps(reply.result) for reply in replies}) == 1
    assert len(actor.dump()["jobs"]) == 1


def test_creating_a_hidden_job_is_refused(actor: Actor, job: Document) -> None:
    actor.send(delete(job))
    before = actor.dump()
    body = {name: job[name] for name in ("pipeline_uuid", "archive_path", "data")}

    reply = actor.send(body)

    assert reply.error == (
        f"create action: job {job['uuid']} exists and is hidden: bring it back with "
        "`pipelinejobs jobs undelete`, or delete it with force"
    )
    assert actor.dump() == before


def test_a_job_of_an_unknown_pipeline_is_not_created(actor: Actor, pipeline: Document) -> None:
    before = actor.dump()

    reply = actor.send(create(pipeline, pipeline_uuid=UNKNOWN_PIPELINE))

    assert reply.kind == "invalid_message"
    assert reply.error == (
        "create action: Failed to validate pipeline UUID: "
        f"No pipeline exists with UUID {UNKNOWN_PIPELINE}"
    )
    assert actor.dump() == before


@pytest.mark.parametrize("name", ["archive_patterns", "product_patterns"])
def test_a_job_that_could_never_be_indexed_is_not_created(
    name: str, actor: Actor, pipeline: Document
) -> None:
    before = actor.dump()
    message = create(pipeline, **{name: [{"patterns": [], "level": "9"}]})

    reply = actor.send(message)

    assert reply.kind == "invalid_message"
    assert reply.error == (
        "create action: level of an indexing request is '9': use one of 0, 1, 2, 3, User, Reference, Unknown"
    )
    assert actor.dump() == before


def test_an_archive_path_is_not_a_uri(actor: Actor, pipeline: Document) -> None:
    before = actor.dump()

    reply = actor.send(create(pipeline, archive_path="agave://data-tacos/a"))

    assert (reply.kind, reply.error) == (
        "invalid_message",
        "create action: 'archive_path' is the URI 'agave://data-tacos/a': give its path, and its system as 'archive_system'",
    )
    assert actor.dump() == before


def test_the_session_of_a_job_is_that_of_its_sender(actor: Actor, pipeline: Document) -> None:
    reply = actor.send(create(pipeline), {"x_session": "mild-otter"})

    assert actor.job(reply.result["uuid"])["session"] == "mild-otter"


# What a worker that died left half done


def test_a_forced_delete_delivered_again_is_answered_alike(actor: Actor, job: Document) -> None:
    delete = {"uuid": job["uuid"], "action": "delete", "force": True}
    delete["token"] = job["_update_token"]
    first = actor.send(delete)
    assert first.result == {"uuid": job["uuid"], "deleted": "removed"}
    assert actor.send(delete).result == first.result
    assert actor.send({**delete, "token": "0" * 16}).kind == "not_authorized"
    assert actor.send({**delete, "force": False}).kind == "not_authorized"


def test_a_removal_that_died_before_the_buckets_were_gone_is_completed(
    actor: Actor, job: Document, jobs: PipelineJobStore
) -> None:
    token = job["_update_token"]
    for _ in range(30):
        jobs.handle({"uuid": job["uuid"], "name": "run"}, token)
    kept = list(jobs.histories.buckets.find({}))
    assert kept
    jobs.delete(job["uuid"], token, force=True)
    jobs.histories.buckets.insert_many(kept)
    delete = {"uuid": job["uuid"], "action": "delete", "force": True, "token": token}
    assert actor.send(delete).result["deleted"] == "removed"
    assert jobs.histories.buckets.count_documents({}) == 0


def test_a_create_delivered_again_by_nonce_has_its_token_again(actor: Actor, job: Document) -> None:
    create = {"pipeline_uuid": job["pipeline_uuid"], "archive_path": "/x", "data": {"again": 1}}
    allowed = {**BY_NONCE, "_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE": "true"}
    same = {**allowed, "_abaco_execution_id": "execution-7"}
    first = actor.send(create, same)
    assert actor.send(create, same).result == first.result
    other = actor.send(create, {**allowed, "_abaco_execution_id": "execution-8"})
    assert "token" not in other.result
    assert "token" in first.result


@pytest.mark.parametrize("action", ["create", "delete"])
def test_a_row_of_the_audit_log_that_was_not_written_is_made_up_for(
    actor: Actor, job: Document, jobs: PipelineJobStore, action: str
) -> None:
    token = job["_update_token"]
    if action == "delete":
        jobs.delete(job["uuid"], token)
    jobs.updates.delete_many({"action": action})
    if action == "delete":
        actor.send({"uuid": job["uuid"], "action": "delete", "token": token})
    else:
        jobs.create({name: job[name] for name in ("pipeline_uuid", "archive_path", "data")})
    assert jobs.updates.count_documents({"action": action, "uuid": job["uuid"]}) == 1


def test_a_session_that_is_too_long_is_refused(actor: Actor, job: Document) -> None:
    create = {"pipeline_uuid": job["pipeline_uuid"], "archive_path": "/x", "data": {"new": 1}}
    reply = actor.send({**create, "session": "s" * 257})
    assert reply.kind == "invalid_message"
    assert actor.send(create, {"x_session": "s" * 30_000}).result["state"] == "CREATED"
