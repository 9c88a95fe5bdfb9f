"""What files and their fixities have besides what all documents have."""

from __future__ import annotations

import datetime
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import DocumentStore
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.fixity import FixityStore
from datacatalog.linkedstores.lookup import KINDS
from datacatalog.mongo import Db
from datacatalog.settings import CatalogSettings
from tests.datacatalog.conftest import OTHER_UUID, SAMPLE_UUID, public


@pytest.mark.parametrize(
    "given",
    [
        "/uploads/tacc/a.csv",
        "//uploads//tacc/./x/../a.csv",
        " /uploads/tacc/a.csv ",
        "uploads/tacc/a.csv",
    ],
)
@pytest.mark.parametrize("which", ["file", "fixity"])
def test_the_path_of_a_file_is_stored_normalized(
    given: str, which: str, mongodb: dict[str, Any]
) -> None:
    store = KINDS[which](mongodb)
    assert isinstance(store, DocumentStore)
    added = store.add_update_document({"name": given})
    assert added["name"] == "/uploads/tacc/a.csv"
    assert added["uuid"] == typeduuid.catalog_uuid("/uploads/tacc/a.csv", which)
    assert public(store.find_one_by_id(name=given)) == public(added)
    assert store.get_typeduuid(given) == store.get_typeduuid({"name": given}) == added["uuid"]


def test_a_file_says_where_it_is_and_what_it_is(mongodb: dict[str, Any]) -> None:
    files = FileStore(mongodb, catalog=CatalogSettings(storage_system="data-tacos"))
    added = files.add_update_document({"name": "/uploads/a.fastq.gz"})
    place = typeduuid.catalog_uuid("agave://data-tacos/uploads/a.fastq.gz", "file")
    assert public(added) == {
        "uuid": typeduuid.catalog_uuid("/uploads/a.fastq.gz", "file"),
        "name": "/uploads/a.fastq.gz",
        "storage_system": "data-tacos",
        "file_id": f"file.tacc.{typeduuid.uuid_to_hashid(place)}",
        "type": "FASTQ",
        "level": "Unknown",
        **{link: [] for link in FileStore.links},
    }
    assert public(files.find_one_by_id(file_id=added["file_id"])) == public(added)


def test_what_is_said_about_a_file_wins(files: FileStore) -> None:
    given = {"name": "/a.csv", "type": "FCS", "level": "2", "storage_system": "data-b"}
    added = files.add_update_document(given)
    assert {field: added[field] for field in given} == given


def test_a_fixity_counts_its_versions_and_keeps_its_first_date(
    mongodb: dict[str, Any], db: Db
) -> None:
    fixities = FixityStore(mongodb)
    first = datetime.datetime(2020, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001 - taken for UTC
    east = datetime.timezone(datetime.timedelta(hours=2))
    given = {"name": "/a.csv", "size": 1, "created": first, "modified": first}
    added = fixities.add_update_document(given)
    token = added["_update_token"]
    expected = datetime.datetime(2020, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    assert (added["version"], added["created"], added["modified"]) == (1, expected, expected)
    same = {**given, "modified": expected.astimezone(east)}
    assert fixities.add_update_document(same)["version"] == 1
    later = {**given, "size": 2, "created": expected + datetime.timedelta(days=1)}
    changed = fixities.add_update_document(later, token=token)
    assert (changed["version"], changed["size"], changed["created"]) == (2, 2, expected)
    json.dumps(public(changed), default=str)


# Many at once


def test_many_documents_are_recorded_at_once(files: FileStore, db: Db) -> None:
    old = files.add_update_document({"name": "/b.csv", "level": "0", "note": "kept"})
    files.add_link(old["uuid"], SAMPLE_UUID)
    recorded = files.record(
        [{"name": f"/{letter}.csv", "level": "1", "child_of": [OTHER_UUID]} for letter in "abc"]
    )
    assert sorted(each["name"] for each in recorded) == ["/a.csv", "/b.csv", "/c.csv"]
    found = {each["name"]: each for each in files.find()}
    assert {name: each["level"] for name, each in found.items()} == dict.fromkeys(found, "1")
    assert found["/b.csv"]["child_of"] == [SAMPLE_UUID, OTHER_UUID]
    assert found["/b.csv"]["note"] == "kept"
    assert found["/a.csv"]["child_of"] == [OTHER_UUID]
    actions = [row["action"] for row in db["updates"].find({}, sort=[("date", 1)])]
    assert sorted(actions) == ["create", "create", "create", "link", "update"]


def test_what_is_recorded_again_is_not_written_again(files: FileStore, db: Db) -> None:
    given = [{"name": f"/{number}.csv", "child_of": [OTHER_UUID]} for number in range(5)]
    files.record(given)
    before = list(db["files"].find({})), list(db["updates"].find({}))
    files.record(given)
    assert (list(db["files"].find({})), list(db["updates"].find({}))) == before


def test_many_writers_may_record_the_same(mongodb: dict[str, Any], db: Db) -> None:
    def record(number: int) -> None:
        parent = typeduuid.catalog_uuid(f"job {number}", "pipelinejob")
        FileStore(mongodb).record([{"name": f"/{n}.csv", "child_of": [parent]} for n in range(20)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, range(4)))
    assert db["files"].count_documents({}) == 20
    assert {len(stored["child_of"]) for stored in db["files"].find({})} == {4}
    assert db["updates"].count_documents({"action": "create"}) == 20


def test_a_hidden_document_is_kept_up_to_date_and_stays_hidden(files: FileStore, db: Db) -> None:
    added = files.add_update_document({"name": "/a.csv"})
    files.delete_document(added["uuid"], added["_update_token"])
    files.record([{"name": "/a.csv", "level": "2"}])
    assert files.find() == []
    files.undelete(added["uuid"], added["_update_token"])
    assert files.find()[0]["level"] == "2"
