"""A database as version 0.1 has left it, with outboxes in its jobs, in the hands of this version."""

from __future__ import annotations

import pytest
from bson import json_util

from datacatalog.mongo import Db
from tests.actor import Actor
from tests.conftest import ROOT
from tests.tenant import Tenant

ENTER = {"_REACTOR_STATE_ENTER": "true"}


@pytest.fixture
def former(db: Db) -> Db:
    """The database: 2, 56 and 2 announcements wait in three jobs, 2 of a removed one, none of two."""
    options = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)
    content = (ROOT / "tests/data/former_outboxes.json").read_text()
    for collection, documents in json_util.loads(content, json_options=options).items():
        db[collection].insert_many(documents)
    return db


def told_by_path(former: Db, tenant: Tenant) -> dict[str, list[tuple[str, str]]]:
    paths = {job["uuid"]: job["archive_path"] for job in former["jobs"].find()}
    found: dict[str, list[tuple[str, str]]] = {}
    for request in tenant.messages:
        each = request.body["message"]
        path = paths.get(each["job_uuid"], "removed").rpartition("/")[2]
        found.setdefault(path, []).append((each["event_name"], each["job_state"]))
    return found


def test_what_waits_in_former_outboxes_is_told_in_order_and_they_are_emptied(
    former: Db, actor: Actor, tenant: Tenant
) -> None:
    many = former["jobs"].find_one({"archive_path": "/products/v2/many"})
    assert many is not None
    wanted = [(item["event"], item["state"]) for item in many["_outbox"]]
    assert len(wanted) == 56

    assert actor.main(arguments=("drain",)).code == 0

    assert told_by_path(former, tenant) == {
        "few": [("update", "RUNNING"), ("finish", "FINISHED")],
        "many": wanted,
        "removed": [("run", "RUNNING"), ("finish", "FINISHED")],
        "entered": [("run", "RUNNING")],
    }
    for collection in ("jobs", "jobs_removed", "jobs_untold"):
        assert former[collection].count_documents({"_outbox": {"$exists": True}}) == 0
    assert former["jobs_removed"].count_documents({}) == 0


def test_what_was_to_be_announced_before_an_event_still_is(
    former: Db, actor: Actor, tenant: Tenant
) -> None:
    assert actor.main(parameters=ENTER, arguments=("drain",)).code == 0
    told = told_by_path(former, tenant)
    assert told["entered"] == [("run", "CREATED"), ("run", "RUNNING")]


def test_an_event_of_a_job_with_a_former_outbox_goes_behind_what_waits(
    former: Db, actor: Actor, tenant: Tenant
) -> None:
    jobs = actor.jobs
    few = former["jobs"].find_one({"archive_path": "/products/v2/few"})
    assert few is not None
    actor.send({"uuid": few["uuid"], "name": "validate", "token": jobs.get_token(few)})
    assert actor.main(arguments=("drain",)).code == 0
    names = [name for name, _ in told_by_path(former, tenant)["few"]]
    assert names == ["update", "finish", "validate"]


def test_a_job_that_is_removed_before_its_former_outbox_is_emptied_loses_nothing(
    former: Db, actor: Actor, tenant: Tenant
) -> None:
    few = former["jobs"].find_one({"archive_path": "/products/v2/few"})
    assert few is not None
    actor.jobs.remove(actor.jobs.load(few["uuid"]))
    former["jobs_removed"].delete_many({"uuid": {"$ne": few["uuid"]}})
    former["jobs"].delete_many({})
    assert actor.main(arguments=("drain",)).code == 0
    assert told_by_path(former, tenant) == {
        "removed": [("update", "RUNNING"), ("finish", "FINISHED")]
    }
