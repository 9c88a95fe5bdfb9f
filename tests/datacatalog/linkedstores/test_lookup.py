from __future__ import annotations

import pytest

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores import lookup
from datacatalog.mongo import Db

ORDER = "file reference pipeline sample measurement experiment experiment_design process fixity"
KEYS = {
    "file": ("files", "name"),
    "reference": ("references", "reference_id"),
    "pipeline": ("pipelines", "id"),
    "sample": ("samples", "sample_id"),
    "measurement": ("measurements", "measurement_id"),
    "experiment": ("experiments", "experiment_id"),
    "experiment_design": ("experiment_designs", "uri"),
    "process": ("processes", "process_id"),
    "fixity": ("fixities", "name"),
}


def insert(db: Db, kind: str, name: str, *, key: str | None = None, visible: bool = True) -> str:
    collection, usual = KEYS[kind]
    uuid = typeduuid.catalog_uuid(name, kind)
    db[collection].insert_one({"uuid": uuid, key or usual: name, "_visible": visible})
    return uuid


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_is_found_by_its_identifier(kind: str, db: Db) -> None:
    uuid = insert(db, kind, "tacos 7")
    assert lookup.resolve(db, "tacos 7") == uuid
    assert lookup.resolve(db, "tacos 8") is None


def test_a_reference_is_found_by_its_uri(db: Db) -> None:
    uuid = insert(db, "reference", "https://tacos.example.org/7", key="uri")
    assert lookup.resolve(db, "https://tacos.example.org/7") == uuid


def test_a_typed_uuid_stands_for_itself(db: Db) -> None:
    uuid = typeduuid.catalog_uuid("tacos", "sample")
    assert lookup.resolve(db, uuid) == uuid


def test_what_only_looks_like_a_typed_uuid_is_looked_up(db: Db) -> None:
    assert lookup.resolve(db, "102-tacos") is None
    uuid = insert(db, "experiment", "102-tacos")
    assert lookup.resolve(db, "102-tacos") == uuid


def test_kinds_are_tried_in_their_order(db: Db) -> None:
    for kind in reversed(ORDER.split()):
        uuid = insert(db, kind, "tacos")
        assert lookup.resolve(db, "tacos") == uuid


def test_a_prefix_names_the_kind_that_is_tried_first(db: Db) -> None:
    insert(db, "reference", "sample.tacc.7")
    uuid = insert(db, "sample", "sample.tacc.7")
    assert lookup.resolve(db, "sample.tacc.7") == uuid


def test_a_prefix_does_not_hide_the_other_kinds(db: Db) -> None:
    uuid = insert(db, "reference", "sample.tacc.7")
    assert lookup.resolve(db, "sample.tacc.7") == uuid


def test_hidden_documents_are_not_found(db: Db) -> None:
    insert(db, "sample", "tacos", visible=False)
    assert lookup.resolve(db, "tacos") is None


def test_many_identifiers_are_found_at_once(db: Db) -> None:
    uuids = [insert(db, "file", f"/uploads/{number}") for number in range(3)]
    names = ["/uploads/2", "/uploads/0", "/uploads/1", "/uploads/9"]
    assert lookup.find_uuids(db, "file", names) == sorted(uuids)
    assert lookup.find_uuids(db, "file", []) == []
