from __future__ import annotations

import json
import time
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from datacatalog.tokens import get_admin_token
from tests.actor import (
    AGAVE_POST,
    ALOE_POST,
    BY_NONCE,
    NONCE,
    TRUSTED,
    TRUSTED_USER,
    UNKNOWN_JOB,
    Actor,
    Reply,
    cloud_event,
    job_event,
    run_event,
    tapis,
    url,
    without,
)
from tests.conftest import ADMIN

MAY_CREATE = {"_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE": "true"}
WRONG = "0123456789abcdef"


def admin_token(now: float | None = None) -> str:
    return get_admin_token(
        ADMIN["CATALOG_ADMIN_TOKEN_KEY"], ADMIN["CATALOG_ADMIN_TOKEN_SECRET"], 3600, now=now
    )


# The table: who may do what

ACTIONS = ("event", "reset", "ready", "create", "delete", "forced delete")
OWN, AN_ADMIN, NO_TOKEN = "own", "administrative", ""
TABLE: list[tuple[str, str, dict[str, str], str]] = [
    # who, the token that is shown, what else is in the environment, what is allowed
    ("job's token, nonce", OWN, BY_NONCE, "event, delete, forced delete"),
    ("job's token, Bearer", OWN, {}, "event, delete, forced delete"),
    ("administrative token, nonce", AN_ADMIN, BY_NONCE, ", ".join(ACTIONS)),
    ("administrative token, Bearer", AN_ADMIN, {}, ", ".join(ACTIONS)),
    ("administrative token, trusted user", AN_ADMIN, TRUSTED, ", ".join(ACTIONS)),
    ("trusted user, Bearer", NO_TOKEN, TRUSTED, ", ".join(ACTIONS)),
    ("trusted user, nonce", NO_TOKEN, {**TRUSTED, **BY_NONCE}, ""),
    ("other user, Bearer", NO_TOKEN, {}, "create"),
    ("other user, Bearer, nonce may create", NO_TOKEN, MAY_CREATE, "create"),
    ("no user, Bearer", NO_TOKEN, {"_abaco_username": ""}, "create"),
    ("nonce only", NO_TOKEN, BY_NONCE, ""),
    ("nonce only, which may create", NO_TOKEN, {**BY_NONCE, **MAY_CREATE}, "create"),
    (
        "job's token, nonce may create",
        OWN,
        {**BY_NONCE, **MAY_CREATE},
        "event, delete, forced delete",
    ),
]


@pytest.mark.parametrize(
    ("shown", "environ", "allowed"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_who_may_do_what(
    actor: Actor, job: Document, shown: str, environ: dict[str, str], allowed: str
) -> None:
    token = {OWN: job["_update_token"], AN_ADMIN: admin_token(), NO_TOKEN: ""}[shown]
    parameters = {**environ, **({"token": token} if token else {})}

    for action in ACTIONS:
        # the state is one in which the event would be possible
        state = "RESET" if action == "ready" else "CREATED"
        actor.jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": {"state": state}})
        before = actor.dump()

        reply = actor.send(body_of(action, job), parameters)

        if action in allowed.split(", "):
            assert (action, reply.error) == (action, "")
            check_done(action, reply, before, actor.dump())
        else:
            assert (action, reply.kind, reply.result) == (action, "not_authorized", {})
            assert actor.dump() == before


def body_of(action: str, job: Document) -> dict[str, Any]:
    if action == "create":
        return {
            "pipeline_uuid": job["pipeline_uuid"],
            "archive_path": "/products/v2/salsa",
            "data": {"another": "job"},
        }
    if "delete" in action:
        return {"uuid": job["uuid"], "action": "delete", "force": action == "forced delete"}
    return {"uuid": job["uuid"], "name": {"event": "run"}.get(action, action)}


def check_done(
    action: str, reply: Reply, before: dict[str, list[Document]], after: dict[str, list[Document]]
) -> None:
    """Check that an action that is allowed has done what it should, and that alone."""
    was, now = before["jobs"], after["jobs"]
    if action == "create":
        assert now[:-1] == was
        assert (now[-1]["uuid"], now[-1]["state"]) == (reply.result["uuid"], "CREATED")
    elif action == "forced delete":
        assert now == was[1:]
    elif action == "delete":
        assert (was[0]["_visible"], now[0]["_visible"]) == (True, False)
    else:
        assert now[0]["state"] == {"event": "RUNNING", "reset": "RESET", "ready": "CREATED"}[action]
        assert now[0]["history"][:-1] == was[0]["history"]
        assert now[0]["_properties"]["revision"] == was[0]["_properties"]["revision"] + 1


@pytest.mark.parametrize("name", ["reset", "ready"])
def test_a_trusted_user_may_reset_also_with_the_token_of_the_job(
    actor: Actor, job: Document, name: str
) -> None:
    state = {"reset": "RUNNING", "ready": "RESET"}[name]
    actor.jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": {"state": state}})

    assert actor.send("", {**url(job, name=name), **TRUSTED}).error == ""


def test_nobody_is_trusted_by_default(actor: Actor, job: Document) -> None:
    body = {"uuid": job["uuid"], "name": "run"}

    reply = actor.send(body, {"_abaco_username": TRUSTED_USER})

    assert reply.kind == "not_authorized"


def test_only_the_very_name_is_trusted(actor: Actor, job: Document) -> None:
    body = {"uuid": job["uuid"], "name": "run"}

    for user in ("operato", "operator2", "OPERATOR", "operator ", ""):
        reply = actor.send(body, {**TRUSTED, "_abaco_username": user})
        assert (user, reply.kind) == (user, "not_authorized")


# Wrong tokens, whichever way an event comes

CLOUD_EVENT = without(job_event({"uuid": "", "_update_token": ""}), "subject", "token")
WAYS: dict[str, tuple[dict[str, Any], bool, dict[str, str]]] = {
    "event, token in the body": ({"name": "run"}, True, {}),
    "event, token in the URL": ({"name": "run"}, False, {}),
    "delete, token in the body": ({"action": "delete"}, True, {}),
    "delete, token in the URL": ({"action": "delete", "force": True}, False, {}),
    "aloe": ({**ALOE_POST, "status": "RUNNING"}, False, {}),
    "agave": ({**AGAVE_POST, "status": "FAILED"}, False, {}),
    "cloudevents, token in the body": (CLOUD_EVENT, True, {}),
    "cloudevents, token in the URL": (CLOUD_EVENT, False, {}),
    "openlineage": (run_event(None), False, {}),
    "url": ({"cost": 3}, False, {"name": "run"}),
    "url, status": ({}, False, {"status": "FAILED"}),
    "url, token in the body": ({"cost": 3}, True, {"event": "run"}),
}
CONTEXTS: dict[str, dict[str, str]] = {
    "bearer": {},
    "nonce": BY_NONCE,
    "right nonce": {**BY_NONCE, "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE},
    "nonce may create": {**BY_NONCE, **MAY_CREATE},
    "trusted": TRUSTED,
}


def naming(body: dict[str, Any], named: dict[str, str], uuid: str) -> dict[str, str]:
    """Return what names a job in a body; nothing where the URL does it."""
    if named or {"appId", "run"} & body.keys():
        return {}
    return {"subject" if "specversion" in body else "uuid": uuid}


def wrong_tokens(actor: Actor, job: Document, jobs: PipelineJobStore) -> dict[str, str]:
    """Return tokens that open nothing, of every kind; the job is removed and created again."""
    fields = {name: job[name] for name in ("pipeline_uuid", "archive_path")}
    other = jobs.create({**fields, "data": {"other": True}})
    former = job["_update_token"]
    jobs.delete(job["uuid"], token=former, force=True)
    job.update(jobs.create({**fields, "data": job["data"]}))
    rotated = job["_update_token"]
    job.update(jobs.rotate_token(job["uuid"], rotated, grace=0))
    own = job["_update_token"]
    return {
        "wrong": WRONG,
        "missing": "",
        "other job's": other["_update_token"],
        "former job's": former,
        "two lifetimes old": admin_token(now=time.time() - 2 * 3600),
        "of a lifetime to come": admin_token(now=time.time() + 2 * 3600),
        "cut off": own[:-1],
        "longer": own + "0",
        "with a blank": own + " ",
        "rotated away": rotated,
        "the salt": job["_salt"],
        "the nonce": NONCE,
        "no ASCII": "ü" * 16,
        "the administrative key": ADMIN["CATALOG_ADMIN_TOKEN_KEY"],
        "the administrative secret": ADMIN["CATALOG_ADMIN_TOKEN_SECRET"],
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_token_changes_nothing(
    actor: Actor, job: Document, jobs: PipelineJobStore, way: str
) -> None:
    body, in_body, named = WAYS[way]
    of_job = naming(body, named, job["uuid"])
    tokens = wrong_tokens(actor, job, jobs)
    before = actor.dump()

    for context, environ in CONTEXTS.items():
        for case, token in tokens.items():
            if (context, case) == ("trusted", "missing"):
                continue
            shown = {"token": token} if case != "missing" else {}
            reply = actor.send(
                {**body, **of_job, **(shown if in_body else {})},
                {"uuid": job["uuid"], **named, **environ, **({} if in_body else shown)},
            )
            assert (context, case, reply.kind) == (context, case, "not_authorized")

    assert actor.dump() == before
    right = url(job)
    assert actor.send({**body, **of_job}, {**named, **right}).error == ""


@pytest.mark.parametrize("environ", CONTEXTS.values(), ids=list(CONTEXTS))
def test_a_wrong_token_creates_nothing(
    actor: Actor, job: Document, jobs: PipelineJobStore, environ: dict[str, str]
) -> None:
    body = {"pipeline_uuid": job["pipeline_uuid"], "archive_path": "/x", "data": {"new": True}}
    tokens = wrong_tokens(actor, job, jobs)
    before = actor.dump()

    for token in [*tokens.values(), job["_update_token"]]:
        if token:
            reply = actor.send(body, {**environ, "token": token})
            assert (token, reply.kind) == (token, "not_authorized")

    assert actor.dump() == before


@pytest.mark.parametrize("name", ["reset", "ready"])
def test_the_jobs_own_token_is_not_enough_to_reset(actor: Actor, job: Document, name: str) -> None:
    reply = actor.send("", url(job, name=name))

    assert reply.error == (
        f"{name} event: needs an administrative token, the job's own is not enough"
    )


def test_without_a_token_the_line_says_where_to_add_it(actor: Actor, job: Document) -> None:
    ours = {"uuid": job["uuid"], "name": "run"}
    bodies: list[tuple[dict[str, Any], str]] = [
        (ours, "the body or the URL"),
        ({"a": 1}, "the body or the URL"),
        (without(job_event(job), "token"), "the body or the URL"),
        (run_event(None), "the facet pipelinejobs_job of the run, or the URL"),
        *(
            ({**body, "token": job["_update_token"]}, "the URL (the parameter 'token')")
            for body in (ALOE_POST, AGAVE_POST, tapis(), cloud_event(tapis()))
        ),
    ]
    for body, place in bodies:
        named = {"uuid": job["uuid"], "event": "run"} if body == {"a": 1} else {"uuid": job["uuid"]}
        assert actor.send(body, named).error == (
            f"run event: 'token' is missing: add the job's token to {place}"
        )


def test_a_create_that_is_refused_says_how_it_would_be_allowed(actor: Actor, job: Document) -> None:
    create = body_of("create", job)

    assert actor.send(create, {"token": WRONG}).error == (
        "create action: the token is not a valid administrative one; leave it out to create as a user"
    )
    assert actor.send(create, BY_NONCE).error == (
        "create action: not allowed by nonce: send it with a Bearer token or an administrative token"
    )


@pytest.mark.parametrize("end", [" ", "\n", "\t"])
def test_a_token_with_a_blank_at_its_end_is_told_so(actor: Actor, job: Document, end: str) -> None:
    token = job["_update_token"] + end
    for job_uuid in (job["uuid"], UNKNOWN_JOB):
        for reply in (
            actor.send("", {"uuid": job_uuid, "name": "run", "token": token}),
            actor.send({"uuid": job_uuid, "name": "run", "token": token}),
        ):
            assert (reply.kind, reply.error) == (
                "not_authorized",
                "run event: the token has a blank or a line end around it: leave that out",
            )


# Nonces


def test_another_nonce_than_the_configured_one_changes_nothing(actor: Actor, job: Document) -> None:
    create = {"pipeline_uuid": job["pipeline_uuid"], "archive_path": "/x", "data": {"new": True}}
    before = actor.dump()

    others = ("SD2E_an0ther", "", NONCE.lower(), NONCE[:-1], NONCE + "0", NONCE + " ", "ü")
    for given in others:
        configured = {
            "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE,
            "_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE": "true",
            "x-nonce": given,
        }
        replies = [
            actor.send("", {**url(job, name="run"), **configured}),
            actor.send({"uuid": job["uuid"], "action": "delete"}, {**url(job), **configured}),
            actor.send(create, configured),
            actor.send("", {**url(job, name="run"), **configured, "token": admin_token()}),
            actor.send("", {**url(job, name="run"), **TRUSTED, **configured}),
        ]
        refusal = "the nonce is not the one that this actor accepts"
        if given != given.strip():
            refusal += ": it has a blank or a line end around it"
        assert {(given, reply.error, reply.kind) for reply in replies} == {
            (given, refusal, "not_authorized")
        }

    assert actor.dump() == before


@pytest.mark.parametrize("given", [{"x-nonce": NONCE}, {}], ids=["right", "Bearer"])
def test_the_configured_nonce_and_bearer_are_accepted(
    actor: Actor, job: Document, given: dict[str, str]
) -> None:
    configured = {"_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE}

    assert actor.send("", {**url(job, name="run"), **configured, **given}).error == ""


def test_any_nonce_is_accepted_where_none_is_configured(actor: Actor, job: Document) -> None:
    assert actor.send("", {**url(job, name="run"), "x-nonce": "SD2E_any"}).error == ""


def test_a_nonce_is_checked_also_where_config_yml_has_no_such_key(
    actor: Actor, job: Document, tmp_path: Any
) -> None:
    (tmp_path / "config.yml").write_text("mongodb: {authn: '', database: '', timeout: 10}\n")
    configured = {"_REACTOR_PIPELINES_JOB_MANAGER_NONCE": NONCE, "x-nonce": "SD2E_an0ther"}
    before = actor.dump()

    run = actor.run("", {**url(job, name="run"), **configured}, folder=tmp_path)

    assert run.code == 1
    assert actor.dump() == before


# What cannot be told apart


@pytest.mark.parametrize("way", WAYS)
def test_unknown_hidden_and_wrong_token_are_the_same_from_outside(
    actor: Actor, job: Document, jobs: PipelineJobStore, way: str
) -> None:
    body, in_body, named = WAYS[way]
    fields = {name: job[name] for name in ("pipeline_uuid", "archive_path")}
    hidden = jobs.create({**fields, "data": {"hidden": True}})
    jobs.delete(hidden["uuid"], token=hidden["_update_token"])
    cases = [(UNKNOWN_JOB, WRONG), (job["uuid"], WRONG), (hidden["uuid"], WRONG)]
    if "action" not in body:
        # a hidden job can be deleted for good, and nothing else
        cases.append((hidden["uuid"], hidden["_update_token"]))

    seen = set()
    for environ in ({}, BY_NONCE, TRUSTED):
        for uuid, token in cases:
            of_job = naming(body, named, uuid)
            shown = {"token": token}
            run = actor.main(
                {**body, **of_job, **(shown if in_body else {})},
                {"uuid": uuid, **named, **environ, **({} if in_body else shown)},
            )
            line = run.message.replace(uuid, "<uuid>")
            seen.add((run.code, len(run.lines), line, json.dumps(run.answer).replace(uuid, "")))

    assert len(seen) == 1
    assert " no job <uuid> that this token may change" in seen.pop()[2]


def test_without_a_token_an_unknown_job_looks_like_a_known_one(actor: Actor, job: Document) -> None:
    errors = {
        actor.send({"uuid": uuid, "name": "run"}).error for uuid in (job["uuid"], UNKNOWN_JOB)
    }

    assert len(errors) == 1


def test_who_may_change_all_jobs_is_told_that_there_is_none(actor: Actor) -> None:
    body = {"uuid": UNKNOWN_JOB, "name": "run"}

    for parameters in ({"token": admin_token()}, TRUSTED):
        reply = actor.send(body, parameters)
        assert (reply.error, reply.kind) == (
            f"run event: no job has the uuid {UNKNOWN_JOB}",
            "not_authorized",
        )


# Administrative tokens


@pytest.mark.parametrize("age", [0, 3600])
def test_the_tokens_of_this_lifetime_and_the_one_before_are_valid(
    actor: Actor, job: Document, age: float
) -> None:
    token = admin_token(now=time.time() - age)

    assert actor.send({"uuid": job["uuid"], "name": "reset", "token": token}).error == ""


def test_the_lifetime_is_a_setting(actor: Actor, job: Document) -> None:
    key, secret = ADMIN["CATALOG_ADMIN_TOKEN_KEY"], ADMIN["CATALOG_ADMIN_TOKEN_SECRET"]
    now = time.time()
    lifetime = {"CATALOG_ADMIN_TOKEN_LIFETIME": "600"}
    before = actor.dump()

    old = get_admin_token(key, secret, 600, now=now - 1200)
    hourly = get_admin_token(key, secret, 3600)
    for token in (old, hourly):
        body = {"uuid": job["uuid"], "name": "reset", "token": token}
        assert actor.send(body, lifetime).kind == "not_authorized"
    assert actor.dump() == before
    body = {"uuid": job["uuid"], "name": "reset", "token": get_admin_token(key, secret, 600)}
    assert actor.send(body, lifetime).error == ""


@pytest.mark.parametrize(
    "unset",
    [
        {"CATALOG_ADMIN_TOKEN_KEY": ""},
        {"CATALOG_ADMIN_TOKEN_SECRET": ""},
        {"CATALOG_ADMIN_TOKEN_KEY": "", "CATALOG_ADMIN_TOKEN_SECRET": ""},
    ],
    ids=["key", "secret", "both"],
)
def test_there_is_no_default_administrative_key(
    actor: Actor, job: Document, unset: dict[str, str]
) -> None:
    made = {**ADMIN, **unset}
    key, secret = made["CATALOG_ADMIN_TOKEN_KEY"], made["CATALOG_ADMIN_TOKEN_SECRET"]
    before = actor.dump()

    for token in (get_admin_token(key, secret, 3600), get_admin_token("", "", 3600)):
        for name in ("run", "reset"):
            reply = actor.send({"uuid": job["uuid"], "name": name, "token": token}, unset)
            assert reply.kind == "not_authorized"
    for name in unset:
        del actor.environ[name]
    token = get_admin_token(key, secret, 3600)
    reply = actor.send({"uuid": job["uuid"], "name": "reset", "token": token})
    assert reply.kind == "not_authorized"
    assert actor.dump() == before


def test_an_administrative_token_to_create_may_stand_in_the_body(
    actor: Actor, job: Document, admin_token: str
) -> None:
    create = {"pipeline_uuid": job["pipeline_uuid"], "archive_path": "/x", "data": {"new": True}}
    reply = actor.send({**create, "token": admin_token}, {**BY_NONCE, "token": "0" * 16})
    assert reply.result["state"] == "CREATED"
    assert admin_token not in str(actor.dump())
