from __future__ import annotations

from typing import Any

import pytest

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.lookup import KINDS
from datacatalog.managers import common, pipelinejobs
from datacatalog.managers.pipelinejobs import Manager
from datacatalog.mongo import Db, Document
from datacatalog.settings import CatalogSettings


@pytest.fixture
def manager(mongodb: dict[str, Any]) -> Manager:
    return Manager(mongodb)


def test_the_manager_is_where_other_actors_import_it_from() -> None:
    assert pipelinejobs.Manager is common.Manager


def test_the_stores_are_there_by_their_names(mongodb: dict[str, Any], pipeline: Document) -> None:
    stores = Manager.init_stores(mongodb)
    assert {name: type(store) for name, store in stores.items()} == KINDS
    assert stores["pipeline"].find_one_by_id(id="tacobot")["uuid"] == pipeline["uuid"]
    assert stores["pipeline"].find_one_by_id(id="burritobot") is None


def test_the_stores_share_the_settings_of_the_catalog(mongodb: dict[str, Any]) -> None:
    catalog = CatalogSettings(storage_system="data-tacos")
    stores = Manager.init_stores(mongodb, catalog=catalog)
    assert all(store.catalog is catalog for store in stores.values())


def test_a_database_will_do_instead_of_settings(db: Db, pipeline: Document) -> None:
    found = Manager(db).get_by_identifier("tacobot")
    assert found is not None
    assert found["uuid"] == pipeline["uuid"]


def test_documents_are_found_by_uuid_and_by_identifier(
    manager: Manager, pipeline: Document, job: Document
) -> None:
    file = manager.stores["file"].add_update_document({"name": "/uploads/a.csv"})
    for identifier, uuid in (
        ("tacobot", pipeline["uuid"]),
        ("/uploads//a.csv", file["uuid"]),
        (file["file_id"], file["uuid"]),
        (job["uuid"], job["uuid"]),
    ):
        assert manager.get_uuid_from_identifier(identifier) == uuid
        for found in (manager.get_by_identifier(identifier), manager.get_by_uuid(uuid)):
            assert found is not None
            assert found["uuid"] == uuid


@pytest.mark.parametrize(
    "uuid", ["", "tacobot", typeduuid.catalog_uuid("x", "sample"), typeduuid.catalog_uuid("y")]
)
def test_what_is_not_there_is_none(uuid: str, manager: Manager) -> None:
    assert manager.get_by_uuid(uuid) is None
    assert manager.get_by_identifier(uuid) is None


def test_a_typed_uuid_stands_for_itself(manager: Manager) -> None:
    unknown = typeduuid.catalog_uuid("x", "sample")
    assert manager.get_uuid_from_identifier(unknown) == unknown
    assert manager.get_uuid_from_identifier("sample.tacc.unknown") is None


@pytest.mark.parametrize("form", ["urn:uuid:{}", "uri:urn:{}", "URN:UUID:{}", " urn:{} "])
def test_a_job_may_be_named_by_a_urn(form: str, manager: Manager, job: Document) -> None:
    urn = form.format(job["uuid"])
    assert manager.get_uuid_from_identifier(urn) == job["uuid"]
    for found in (manager.get_by_uuid(urn), manager.get_by_identifier(urn)):
        assert found is not None
        assert found["uuid"] == job["uuid"]


def test_hidden_documents_are_not_found(manager: Manager, pipeline: Document) -> None:
    manager.stores["pipeline"].delete_document(pipeline["uuid"], pipeline["_update_token"])
    assert manager.get_by_uuid(pipeline["uuid"]) is None
    assert manager.get_by_identifier("tacobot") is None
