from __future__ import annotations

import datetime
import time
from types import SimpleNamespace
from typing import Any

import pytest

from datacatalog.linkedstores.basestore import CatalogUpdateFailure, contention, strategies
from datacatalog.linkedstores.basestore.store import Store
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Db, Document
from datacatalog.settings import CatalogSettings
from datacatalog.tokens import InvalidToken, get_admin_token, get_token
from tests.conftest import TACOBOT


def stored_in(db: Db, collection: str) -> Document:
    stored = db[collection].find_one({})
    assert stored is not None
    return stored


def test_the_strategies_are_merge_and_replace() -> None:
    assert (strategies.MERGE, strategies.REPLACE) == ("merge", "replace")


def test_a_document_names_its_owner_its_origin_and_its_dates(
    mongodb: dict[str, Any], db: Db
) -> None:
    catalog = CatalogSettings(
        owner="cook", project="Tacos", tenant="kitchen", records_source="a test"
    )
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(milliseconds=1)
    PipelineStore(mongodb, catalog=catalog).add_update_document(TACOBOT)
    after = datetime.datetime.now(datetime.timezone.utc)
    stored = stored_in(db, "pipelines")
    assert stored["_admin"] == {"owner": "cook", "project": "Tacos", "tenant": "kitchen"}
    assert stored["_visible"] is True
    properties = stored["_properties"]
    assert (properties["revision"], properties["source"]) == (0, "a test")
    assert before <= properties["created_date"] == properties["modified_date"] <= after


def test_a_change_counts_the_revision_and_dates_it(
    mongodb: dict[str, Any], pipeline: Document, db: Db
) -> None:
    before = stored_in(db, "pipelines")["_properties"]
    changed = {**TACOBOT, "name": "Tacobot 9001"}
    PipelineStore(mongodb).add_update_document(changed, token=pipeline["_update_token"])
    after = stored_in(db, "pipelines")["_properties"]
    assert after["revision"] == before["revision"] + 1
    assert after["created_date"] == before["created_date"]
    assert after["modified_date"] >= before["modified_date"]


def test_each_document_has_a_salt_of_its_own(mongodb: dict[str, Any], db: Db) -> None:
    store = PipelineStore(mongodb)
    for name in ("tacobot", "burritobot"):
        store.add_update_document({**TACOBOT, "id": name})
    assert len(db["pipelines"].distinct("_salt")) == 2


def test_the_token_is_made_of_what_is_stored(pipeline: Document, db: Db) -> None:
    stored = stored_in(db, "pipelines")
    expected = get_token(stored["_salt"], [stored["uuid"], stored["_admin"]])
    assert pipeline["_update_token"] == expected
    assert len(expected) == 16


def test_only_identifiers_find_a_document(mongodb: dict[str, Any], pipeline: Document) -> None:
    with pytest.raises(ValueError) as refused:
        PipelineStore(mongodb).find_one_by_id(name="Tacobot 9000")
    assert str(refused.value) == "name does not identify a pipeline: use uuid, id"


def test_a_hidden_document_is_not_found(
    mongodb: dict[str, Any], pipeline: Document, db: Db
) -> None:
    store = PipelineStore(mongodb)
    assert store.find_one_by_uuid(pipeline["uuid"]) is not None
    db["pipelines"].update_one({}, {"$set": {"_visible": False}})
    assert store.find_one_by_uuid(pipeline["uuid"]) is None


def test_the_catalog_of_a_store_wins_over_the_environment(
    mongodb: dict[str, Any], pipeline: Document, admin_token: str
) -> None:
    catalog = CatalogSettings(admin_key="other key", admin_secret="other secret")
    store = PipelineStore(mongodb, catalog=catalog)
    changed = {**TACOBOT, "name": "Tacobot 9001"}
    with pytest.raises(InvalidToken):
        store.add_update_document(changed, token=admin_token)
    other = get_admin_token("other key", "other secret")
    assert store.add_update_document(changed, token=other)["name"] == "Tacobot 9001"


def test_a_writer_with_an_old_revision_changes_nothing(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    mine, theirs = jobs.load(job["uuid"]), jobs.load(job["uuid"])
    assert jobs.commit(theirs, {"task": "theirs"})
    assert not jobs.commit(mine, {"task": "mine"})
    assert stored_in(db, "jobs")["task"] == "theirs"
    assert stored_in(db, "jobs")["_properties"]["revision"] == 1


def test_who_always_comes_too_late_is_told_to_try_again(
    mongodb: dict[str, Any], job: Document, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overtaken(PipelineJobStore):
        def commit(self, stored: StoredJob, *changes: Any, **operators: Any) -> bool:
            self.coll.update_one({"_id": stored["_id"]}, {"$inc": {"_properties.revision": 1}})
            return super().commit(stored, *changes, **operators)

    monkeypatch.setattr(contention, "MAX_SECONDS", 0.2)
    event = {"uuid": job["uuid"], "name": "run"}
    with pytest.raises(CatalogUpdateFailure, match=r"^run event: other writers .* send it again$"):
        Overtaken(mongodb).handle(event, job["_update_token"])
    stored = stored_in(db, "jobs")
    assert stored["state"] == "CREATED"
    assert stored["_properties"]["revision"] > 2


def test_patience_does_not_depend_on_the_number_of_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    # not time.sleep itself, which the threads of the database driver use as well
    clock = SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic)
    monkeypatch.setattr(contention, "time", clock)
    change = contention.Contention("a change")
    for _ in range(1500):
        change.pause()
    assert len(pauses) == 1500
    assert max(pauses) < 1


def test_stores_with_the_same_settings_share_a_connection(mongodb: dict[str, Any]) -> None:
    stores: list[Store[Any]] = [
        PipelineJobStore(mongodb),
        PipelineStore(dict(mongodb)),
        PipelineJobStore(mongodb),
    ]
    assert len({id(store.db.client) for store in stores}) == 1
