from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from datacatalog.mongo import Document
from tests.actor import AGAVE_POST, ALOE_POST, Actor, url
from tests.loopback import TOKEN
from tests.tenant import Answer, Tenant

FAILED = {**ALOE_POST, "status": "FAILED", "_links": {}, "retries": 1, "localId": 7}
MINIFIED = {**ALOE_POST, "status": "FAILED"}
HISTORY = [
    {"created": "2026-11-23T10:00:00.000-06:00", "status": "RUNNING", "description": "Job started"},
    {
        "created": "2026-11-23T10:09:00.000-06:00",
        "status": "FAILED",
        "description": "Salsa too hot",
    },
    {"created": "2026-11-23T10:01:00.000-06:00", "status": "RUNNING", "description": "Still there"},
]


@pytest.fixture
def tenant(actor: Actor) -> Iterator[Tenant]:
    with Tenant(is_known=True) as tenant:
        tenant.history = HISTORY
        actor.environ |= tenant.environ
        yield tenant


def kept(actor: Actor, job: Document) -> Any:
    """Return what the history keeps about the last event."""
    return actor.job(job["uuid"])["history"][-1]["data"]


@pytest.mark.parametrize("post", [ALOE_POST, AGAVE_POST], ids=["aloe", "agave"])
@pytest.mark.parametrize("status", ["FAILED", "failed", "PENDING", "HEARTBEAT"])
def test_the_latest_description_is_kept_beside_the_post(
    actor: Actor, job: Document, tenant: Tenant, post: dict[str, Any], status: str
) -> None:
    actor.send({**post, "status": status, "_links": {}, "retries": 1, "localId": 7}, url(job))

    minified = {name: value for name, value in post.items() if name != "_links"}
    assert kept(actor, job) == {**minified, "status": status, "description": "Salsa too hot"}
    (request,) = tenant.requests
    assert (request.method, request.path) == ("GET", f"/jobs/v2/{ALOE_POST['id']}/history")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_the_description_of_the_platform_wins_over_that_of_the_post(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    actor.send({**FAILED, "description": "posted"}, url(job))

    assert kept(actor, job)["description"] == "Salsa too hot"


@pytest.mark.parametrize("status", ["RUNNING", "running"])
def test_for_running_the_platform_is_not_asked(
    actor: Actor, job: Document, tenant: Tenant, status: str
) -> None:
    actor.send({**FAILED, "status": status}, url(job))

    assert tenant.requests == []
    assert kept(actor, job) == {**MINIFIED, "status": status}


def test_a_url_event_asks_nobody(actor: Actor, job: Document, tenant: Tenant) -> None:
    actor.send({"id": ALOE_POST["id"]}, url(job, status="FAILED"))

    assert tenant.requests == []
    assert kept(actor, job) == {"id": ALOE_POST["id"]}


@pytest.mark.parametrize("token", ["", None], ids=["empty", "none"])
def test_without_an_access_token_the_platform_is_not_asked(
    actor: Actor, job: Document, tenant: Tenant, token: str | None
) -> None:
    if token is None:
        del actor.environ["_abaco_access_token"]
    else:
        actor.environ["_abaco_access_token"] = token

    assert actor.send(FAILED, url(job)).error == ""
    assert tenant.requests == []
    assert kept(actor, job) == MINIFIED


@pytest.mark.parametrize("job_id", [None, "", 5])
def test_without_an_id_the_platform_is_not_asked(
    actor: Actor, job: Document, tenant: Tenant, job_id: Any
) -> None:
    assert actor.send({**FAILED, "id": job_id}, url(job)).error == ""
    assert tenant.requests == []
    assert kept(actor, job) == {**MINIFIED, "id": job_id}


@pytest.mark.parametrize(
    "job_id", ["../../actors/v2/x", "..", "1?pretty=true", "1#", "a/b", "%2e%2e"]
)
def test_an_id_cannot_lead_the_question_elsewhere(
    actor: Actor, job: Document, tenant: Tenant, job_id: str
) -> None:
    actor.send({**FAILED, "id": job_id}, url(job))

    for request in tenant.requests:
        assert request.path.startswith("/jobs/v2/")
        assert request.path.endswith("/history")
        assert request.path.count("/") == 4
        assert request.query == {}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(404),
        Answer(body=b"<html>not today</html>"),
        Answer(body=b'{"status": "success", "result": null}'),
        Answer(body=b'{"status": "success", "result": [{"created": "2026"}]}'),
    ],
    ids=["500", "404", "html", "nothing", "no description"],
)
def test_what_the_platform_does_not_know_is_left_out(
    actor: Actor, job: Document, tenant: Tenant, answer: Answer
) -> None:
    tenant.plan(*[answer] * 5)

    assert actor.send(FAILED, url(job)).error == ""
    assert kept(actor, job) == MINIFIED


def test_an_empty_history_says_nothing(actor: Actor, job: Document, tenant: Tenant) -> None:
    tenant.history = []

    assert actor.send(FAILED, url(job)).error == ""
    assert kept(actor, job) == MINIFIED


def test_a_platform_that_does_not_answer_is_not_waited_for(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    tenant.plan(*[Answer(delay=60)] * 5)
    start = time.monotonic()

    assert actor.send(FAILED, url(job)).error == ""
    assert time.monotonic() - start < 30
    assert kept(actor, job) == MINIFIED


def test_a_platform_that_is_away_is_done_without(actor: Actor, job: Document) -> None:
    away = {"_abaco_api_server": "http://127.0.0.1:1", "_abaco_access_token": TOKEN}

    assert actor.send(FAILED, {**url(job), **away}).error == ""
    assert kept(actor, job) == MINIFIED


def test_nobody_is_asked_for_a_wrong_token(actor: Actor, job: Document, tenant: Tenant) -> None:
    reply = actor.send(FAILED, url(job, token="0" * 16))

    assert reply.kind == "not_authorized"
    assert tenant.requests == []


def test_a_second_delivery_is_the_same_event_whatever_the_platform_says_now(
    actor: Actor, job: Document, tenant: Tenant
) -> None:
    same = {**url(job), "_abaco_execution_id": "execution-1"}
    first = actor.send(FAILED, same)
    tenant.history = []

    assert actor.send(FAILED, same).result == first.result
    assert kept(actor, job)["description"] == "Salsa too hot"
    assert len(actor.job(job["uuid"])["history"]) == 2
