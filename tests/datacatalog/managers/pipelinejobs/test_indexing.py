from __future__ import annotations

import datetime
import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import xxhash

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.managers.pipelinejobs import (
    IndexingError,
    InvalidRequest,
    ManagedPipelineJob,
    ManagedPipelineJobError,
    ManagedPipelineJobInstance,
    StorageError,
    indexing,
)
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidToken
from tests.conftest import ADMIN
from tests.datacatalog.conftest import in_both_places
from tests.datacatalog.places import SYSTEM, Here, Place

FOLDER = "/products/v2/tacos"
OUTPUTS = {
    f"{FOLDER}/a.csv": b"a,b\n1,2\n",
    f"{FOLDER}/b.csv": b"",
    f"{FOLDER}/deep/c d.json": b"{}",
    f"{FOLDER}/log": os.urandom(5000),
}
ARCHIVE = {"patterns": [r"\.csv$"], "level": "1"}
Finished = Callable[..., ManagedPipelineJobInstance]


def uuid_of(name: str, kind: str = "file") -> str:
    return typeduuid.catalog_uuid(name, kind)


def by_name(db: Db, collection: str) -> dict[str, Document]:
    return {document["name"]: document for document in db[collection].find({})}


@pytest.fixture
def finished(mongodb: dict[str, Any], place: Place, pipeline: Document) -> Finished:
    """Make a job that has finished, with outputs in its archive path."""
    for name, content in OUTPUTS.items():
        place.put(name, content)

    def make(**given: Any) -> ManagedPipelineJobInstance:
        pipelines = {"pipeline_uuid": pipeline["uuid"]}
        job = ManagedPipelineJob(mongodb, pipelines, archive_path=FOLDER, **given).setup()
        job.run()
        job.finish()
        return ManagedPipelineJobInstance(
            mongodb, str(job.uuid), agave=place.client, catalog=place.catalog
        )

    return make


def job_here(here: Here, mongodb: dict[str, Any], pipeline: Document) -> ManagedPipelineJobInstance:
    """Make a job whose outputs are in a folder of this machine."""
    pipelines = {"pipeline_uuid": pipeline["uuid"]}
    given: dict[str, Any] = {"archive_path": FOLDER, "archive_patterns": [ARCHIVE]}
    made = ManagedPipelineJob(mongodb, pipelines, **given).setup()
    made.run()
    made.finish()
    return ManagedPipelineJobInstance(mongodb, str(made.uuid), catalog=here.catalog)


# What is indexed


@in_both_places
def test_outputs_that_match_become_files_of_the_job(
    finished: Finished, pipeline: Document, db: Db
) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    assert job.index() == [f"{FOLDER}/a.csv", f"{FOLDER}/b.csv"]
    files = by_name(db, "files")
    assert sorted(files) == [f"{FOLDER}/a.csv", f"{FOLDER}/b.csv"]
    for name, stored in files.items():
        place = uuid_of(f"agave://{SYSTEM}{name}")
        expected = {
            "uuid": uuid_of(name),
            "storage_system": SYSTEM,
            "file_id": f"file.tacc.{typeduuid.uuid_to_hashid(place)}",
            "type": "CSV",
            "level": "1",
            "child_of": [job.uuid],
            "generated_by": [pipeline["uuid"]],
            "derived_from": [],
            "derived_using": [],
            "_visible": True,
        }
        assert {field: stored[field] for field in expected} == expected


@in_both_places
def test_indexed_files_have_a_fixity(finished: Finished, db: Db) -> None:
    finished(archive_patterns=[{"patterns": [], "level": "0"}]).index()
    fixities = by_name(db, "fixities")
    assert set(fixities) == set(OUTPUTS)
    for name, content in OUTPUTS.items():
        stored = fixities[name]
        expected = {
            "uuid": uuid_of(name, "fixity"),
            "storage_system": SYSTEM,
            "size": len(content),
            "checksum": hashlib.sha256(content).hexdigest(),
            "fingerprint": xxhash.xxh64_hexdigest(content, seed=3759046909696704950),
            "version": 1,
            "child_of": [uuid_of(name)],
        }
        assert {field: stored[field] for field in expected} == expected
        assert abs(stored["created"] - stored["modified"]) < datetime.timedelta(minutes=1)
    assert fixities[f"{FOLDER}/a.csv"]["type"] == "CSV"


def test_the_event_is_sent_and_indexed_ends_it(finished: Finished) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    job.index()
    assert job.job is not None
    assert job.job["state"] == "INDEXING"
    assert job.indexed()["state"] == "FINISHED"
    names = [entry["name"] for entry in job.history()]
    assert names == ["create", "run", "finish", "index", "indexed"]


def test_the_end_can_be_told_as_well(finished: Finished, db: Db) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    assert len(job.index(job.token)) == 2
    assert [entry["name"] for entry in job.history()][-1] == "index"
    assert job.index(job.token, transition=True)["state"] == "FINISHED"
    assert [entry["name"] for entry in job.history()][-2:] == ["index", "indexed"]
    assert db["files"].count_documents({}) == 2


@in_both_places
def test_a_source_that_is_stored_is_brought_into_the_catalog(
    finished: Finished, place: Place, db: Db
) -> None:
    names = ["/uploads/tacos/1.csv", "/uploads/tacos/2.csv"]
    for name in (*names, "/uploads/3.csv"):
        place.put(name, b"taco")
    job = finished()
    given = {"patterns": ["json"], "derived_from": [names[0], f"agave://{SYSTEM}/{names[1]}"]}
    for unknown in ("/uploads/tacos", "agave://data-other/uploads/3.csv"):
        with pytest.raises(IndexingError, match="does not exist"):
            job.index(filters=[given, {**given, "derived_from": [unknown]}])
    assert by_name(db, "files") == {}
    output = f"{FOLDER}/deep/c d.json"
    assert job.index(filters=[given, given]) == [output]
    files = by_name(db, "files")
    assert sorted(files) == sorted([*names, output])
    assert files[output]["derived_from"] == [uuid_of(name) for name in names]
    brought = files[names[1]]
    assert (brought["storage_system"], brought["type"], brought["child_of"]) == (SYSTEM, "CSV", [])


def test_a_source_that_does_not_exist_is_an_error_unless_that_is_no_matter(
    finished: Finished, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    job = finished()
    for source in ("/uploads/nowhere.csv", "./nowhere.csv", f"agave://{SYSTEM}/uploads/nowhere"):
        given = {"patterns": ["json"], "derived_from": [source, "./a.csv"]}
        with pytest.raises(IndexingError, match="does not exist"):
            job.index(filters=given)
        assert job.history()[-1]["name"] == "finish"
    with caplog.at_level(logging.WARNING):
        assert job.index(filters=given, permissive=True) == [f"{FOLDER}/deep/c d.json"]
    assert "does not exist, and is left out" in caplog.text
    (stored,) = db["files"].find({})
    assert stored["derived_from"] == [uuid_of(f"{FOLDER}/a.csv")]


def test_level_and_fixity_can_be_said_for_all_requests(finished: Finished, db: Db) -> None:
    job = finished()
    job.index(filters=["csv"], level="User", fixity=True)
    assert {file["level"] for file in db["files"].find({})} == {"User"}
    assert db["fixities"].count_documents({}) == 2
    job.index(filters={"patterns": ["json"], "level": "Reference"}, level="1", fixity=False)
    assert by_name(db, "files")[f"{FOLDER}/deep/c d.json"]["level"] == "Reference"
    assert db["fixities"].count_documents({}) == 2


def test_a_job_without_patterns_has_nothing_to_index(finished: Finished, db: Db) -> None:
    assert finished().index() == []
    assert db["files"].count_documents({}) == 0


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"patterns": ["json"], "level": "2"}, ["deep/c d.json"]),
        ([{"patterns": ["json"]}, {"patterns": ["^log$"]}], ["deep/c d.json", "log"]),
        ([{"filters": ["^deep"], "processing_level": "1"}], []),
        (["json", "log"], ["deep/c d.json", "log"]),
        ("json", ["deep/c d.json"]),
        ([{}], ["a.csv", "b.csv", "deep/c d.json", "log"]),
        ([], []),
    ],
)
def test_filters_stand_for_the_patterns_of_the_job(
    filters: Any, expected: list[str], finished: Finished
) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    assert job.index(filters=filters) == [f"{FOLDER}/{name}" for name in expected]


def test_of_a_file_that_several_requests_match_all_is_written(finished: Finished, db: Db) -> None:
    source = f"{FOLDER}/b.csv"
    job = finished(
        archive_patterns=[{"patterns": ["a.csv"], "level": "1", "fixity": False}],
        product_patterns=[
            {"patterns": [r"\.csv$"], "derived_from": ["./b.csv"], "fixity": True},
            {
                "patterns": ["^a"],
                "derived_using": [source],
                "generated_by": [uuid_of("me", "process")],
            },
        ],
    )
    job.index()
    stored = by_name(db, "files")
    assert stored[f"{FOLDER}/a.csv"]["level"] == "1"
    assert stored[f"{FOLDER}/a.csv"]["derived_from"] == [uuid_of(source)]
    assert stored[f"{FOLDER}/a.csv"]["derived_using"] == [uuid_of(source)]
    assert len(stored[f"{FOLDER}/a.csv"]["generated_by"]) == 2
    # of itself it is not derived
    assert (stored[source]["level"], stored[source]["derived_from"]) == ("Unknown", [])
    assert set(by_name(db, "fixities")) == {f"{FOLDER}/a.csv", source}


def test_a_product_has_no_fixity_unless_it_is_asked_for(finished: Finished, db: Db) -> None:
    finished(product_patterns=[{"patterns": ["json"], "derived_from": ["./a.csv"]}]).index()
    assert db["files"].count_documents({}) == 1
    assert db["fixities"].count_documents({}) == 0


def test_who_has_made_the_files_can_be_said(finished: Finished, db: Db, mongodb: Any) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    process = job.stores["process"].add_update_document({"process_id": "p.1", "name": "Cook"})
    job.index(generated_by="p.1")
    assert by_name(db, "files")[f"{FOLDER}/a.csv"]["generated_by"] == [process["uuid"]]
    with pytest.raises(InvalidRequest, match=r"could be generated by as 'p\.2'$"):
        job.index(generated_by=["p.1", "p.2"])


# Sources


def test_sources_are_named_in_many_ways(finished: Finished, db: Db) -> None:
    job = finished()
    files, references = job.stores["file"], job.stores["reference"]
    known = files.add_update_document({"name": "/uploads/known.csv"})
    reference = references.add_update_document(
        {"reference_id": "PDB:6NOV", "uri": "https://www.rcsb.org/6NOV", "name": "6NOV"}
    )
    given = {
        known["uuid"]: known["uuid"],
        known["file_id"]: known["uuid"],
        "agave://elsewhere//uploads/known.csv": known["uuid"],
        "/uploads/./known.csv": known["uuid"],
        "./deep/../a.csv": uuid_of(f"{FOLDER}/a.csv"),
        reference["uuid"]: reference["uuid"],
        "PDB:6NOV": reference["uuid"],
        "https://www.rcsb.org/6NOV": reference["uuid"],
    }
    for source, expected in given.items():
        job.index(filters={"patterns": ["json"], "derived_using": [source]})
        stored = by_name(db, "files")[f"{FOLDER}/deep/c d.json"]
        assert expected in stored["derived_using"], source
    assert set(stored["derived_using"]) == set(given.values())


@pytest.mark.parametrize(
    "source", ["PDB:unknown", "https://example.org/unknown", "a.csv", "", uuid_of("x", "sample")]
)
def test_a_source_that_is_not_known_is_named_and_nothing_is_written(
    source: str, finished: Finished, db: Db
) -> None:
    with pytest.raises(InvalidRequest, match=r"^nothing is known that files could be derived from"):
        finished().index(filters={"patterns": [], "derived_from": [source]})
    assert db["files"].count_documents({}) == 0


# Doing it again


def test_indexing_again_changes_nothing(finished: Finished, db: Db) -> None:
    job = finished(archive_patterns=[ARCHIVE], product_patterns=[{"derived_from": ["./log"]}])
    first = job.index()
    before = list(db["files"].find({})), list(db["fixities"].find({}))
    assert job.index() == first
    assert (list(db["files"].find({})), list(db["fixities"].find({}))) == before


@in_both_places
def test_what_has_changed_meanwhile_is_brought_up_to_date(
    finished: Finished, place: Place, db: Db
) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    job.index()
    before = by_name(db, "fixities")[f"{FOLDER}/a.csv"]
    place.put(f"{FOLDER}/a.csv", b"other")
    place.put(f"{FOLDER}/new.csv", b"new")
    assert len(job.index(filters={**ARCHIVE, "level": "2"})) == 3
    after = by_name(db, "fixities")[f"{FOLDER}/a.csv"]
    assert (after["version"], after["size"]) == (2, 5)
    assert after["created"] == before["created"]
    assert by_name(db, "fixities")[f"{FOLDER}/b.csv"]["version"] == 1
    assert {stored["level"] for stored in by_name(db, "files").values()} == {"2"}


def test_links_and_fields_of_others_are_kept(finished: Finished, db: Db) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    files = job.stores["file"]
    other = uuid_of("other", "sample")
    files.add_update_document({"name": f"{FOLDER}/a.csv", "child_of": [other], "note": "kept"})
    job.index()
    stored = by_name(db, "files")[f"{FOLDER}/a.csv"]
    assert (stored["child_of"], stored["note"]) == ([other, job.uuid], "kept")


@pytest.mark.parametrize("dies_after", range(4))
def test_indexing_that_was_broken_off_is_completed_by_the_next(
    dies_after: int, finished: Finished, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    job = finished(archive_patterns=[{"patterns": [], "level": "1"}])
    monkeypatch.setattr(indexing, "BATCH", 1)
    fixities = job.stores["fixity"]
    record = fixities.record
    calls: list[int] = []

    def dying(given: Any) -> Any:
        if len(calls) == dies_after:
            raise Died
        calls.append(1)
        return record(given)

    with monkeypatch.context() as patch:
        patch.setattr(fixities, "record", dying)
        with pytest.raises(Died):
            job.index()
    assert db["fixities"].count_documents({}) == dies_after
    assert job.index() == sorted(OUTPUTS)
    assert db["files"].count_documents({}) == db["fixities"].count_documents({}) == len(OUTPUTS)
    assert {stored["version"] for stored in db["fixities"].find({})} == {1}


def test_two_may_index_the_same_job(finished: Finished, db: Db) -> None:
    job = finished(archive_patterns=[{"patterns": [], "level": "1"}])
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: job.index(), range(2)))
    assert both == [sorted(OUTPUTS)] * 2
    assert db["files"].count_documents({}) == db["fixities"].count_documents({}) == len(OUTPUTS)
    assert {stored["version"] for stored in db["fixities"].find({})} == {1}


# What can go wrong


@in_both_places
def test_one_file_that_cannot_be_read_has_no_fixity(
    finished: Finished,
    place: Place,
    db: Db,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    if isinstance(place, Here):
        # a folder does not list what it cannot read, so it has to become so in between
        walk = indexing.Indexer._list

        def listing(self: Any, storage: Any) -> Any:
            found = walk(self, storage)
            place.block(f"{FOLDER}/a.csv")
            return found

        monkeypatch.setattr(indexing.Indexer, "_list", listing)
    else:
        place.block(f"{FOLDER}/a.csv")
    with caplog.at_level(logging.WARNING):
        assert job.index() == [f"{FOLDER}/a.csv", f"{FOLDER}/b.csv"]
    assert set(by_name(db, "files")) == {f"{FOLDER}/a.csv", f"{FOLDER}/b.csv"}
    assert set(by_name(db, "fixities")) == {f"{FOLDER}/b.csv"}
    assert f"no fixity: {SYSTEM}:{FOLDER}/a.csv was not read: " in caplog.text


def test_a_file_that_is_too_large_to_be_read_has_no_fixity(
    here: Here,
    mongodb: dict[str, Any],
    pipeline: Document,
    db: Db,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indexing, "MAX_READ_BYTES", 1000)
    here.put(f"{FOLDER}/a.csv", bytes(1000))
    here.put(f"{FOLDER}/sparse.csv", bytes(1001))
    job = job_here(here, mongodb, pipeline)
    with caplog.at_level(logging.WARNING):
        assert job.index() == [f"{FOLDER}/a.csv", f"{FOLDER}/sparse.csv"]
    assert set(by_name(db, "files")) == {f"{FOLDER}/a.csv", f"{FOLDER}/sparse.csv"}
    assert set(by_name(db, "fixities")) == {f"{FOLDER}/a.csv"}
    assert (
        f"no fixity: {SYSTEM}:{FOLDER}/sparse.csv was not read: it has 1,001 bytes, "
        "at most 1,000 are read" in caplog.text
    )


def test_a_state_that_does_not_allow_it_is_refused(
    finished: Finished, jobs: PipelineJobStore, db: Db
) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    job.retire()
    with pytest.raises(EventRefused):
        job.index()
    assert db["files"].count_documents({}) == 0


def test_a_maker_that_the_settings_of_an_actor_leave_empty_does_not_count(
    finished: Finished, db: Db
) -> None:
    job: Any = finished(archive_patterns=[ARCHIVE])
    for empty in ([None], [""]):
        job.index(generated_by=empty)
    stored = by_name(db, "files")[f"{FOLDER}/a.csv"]
    assert stored["generated_by"] == job.generated_by


@pytest.mark.parametrize("transition", [True, False])
def test_a_wrong_token_indexes_nothing(transition: bool, finished: Finished, db: Db) -> None:
    job = finished(archive_patterns=[ARCHIVE])
    with pytest.raises(InvalidToken):
        job.index("0123456789abcdef", transition)
    with pytest.raises(InvalidToken):
        job.indexed("0123456789abcdef")
    assert db["files"].count_documents({}) == 0


def test_an_administrative_token_indexes_too(
    admin_token: str, finished: Finished, place: Place, mongodb: dict[str, Any]
) -> None:
    uuid = str(finished(archive_patterns=[ARCHIVE]).uuid)
    catalog = place.catalog._replace(
        admin_key=ADMIN["CATALOG_ADMIN_TOKEN_KEY"],
        admin_secret=ADMIN["CATALOG_ADMIN_TOKEN_SECRET"],
    )
    job = ManagedPipelineJobInstance(mongodb, uuid, agave=place.client, catalog=catalog)
    assert len(job.index(admin_token)) == 2
    assert job.indexed(admin_token, {"by": "hand"})["state"] == "FINISHED"


def test_a_pattern_that_makes_no_sense_writes_nothing(finished: Finished, db: Db) -> None:
    job = finished(archive_patterns=[ARCHIVE, {"patterns": ["("], "level": "1"}])
    with pytest.raises(InvalidRequest, match=r"^the pattern '\(' is not a regular expression: "):
        job.index()
    assert db["files"].count_documents({}) == 0
    assert [entry["name"] for entry in job.history()] == ["create", "run", "finish"]


def test_a_request_that_makes_no_sense_does_not_begin(finished: Finished) -> None:
    job = finished()
    with pytest.raises(InvalidRequest, match=r"^level of an indexing request is 7: "):
        job.index(filters={"patterns": [], "level": 7})
    assert [entry["name"] for entry in job.history()] == ["create", "run", "finish"]


@in_both_places
def test_an_archive_path_that_is_not_there_is_named(
    mongodb: dict[str, Any], place: Place, pipeline: Document
) -> None:
    pipelines = {"pipeline_uuid": pipeline["uuid"]}
    given: dict[str, Any] = {"archive_path": "/products/v2/nowhere", "archive_patterns": [ARCHIVE]}
    made = ManagedPipelineJob(mongodb, pipelines, **given).setup()
    made.run()
    made.finish()
    job = ManagedPipelineJobInstance(
        mongodb, str(made.uuid), agave=place.client, catalog=place.catalog
    )
    with pytest.raises(StorageError, match=f"^{SYSTEM}:/products/v2/nowhere was not listed: "):
        job.index()
    assert issubclass(StorageError, ManagedPipelineJobError)


def test_without_a_way_to_the_files_it_does_not_begin(
    finished: Finished, mongodb: dict[str, Any]
) -> None:
    job = ManagedPipelineJobInstance(mongodb, str(finished(archive_patterns=[ARCHIVE]).uuid))
    with pytest.raises(StorageError, match=f"^there is no way to the files of {SYSTEM}: "):
        job.index()
    assert [entry["name"] for entry in job.history()] == ["create", "run", "finish"]


def test_more_than_is_recommended_is_said(
    finished: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    job = finished()
    job.stores["file"].catalog = job.stores["file"].catalog._replace(
        max_index_filters=2, max_index_patterns=5
    )
    with caplog.at_level(logging.WARNING):
        job.index(filters=[{"patterns": ["a", "b"]}] * 2)
        assert caplog.text == ""
        job.index(filters=[{"patterns": ["a", "b"]}] * 3)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"job {job.uuid}: 3 filters to index with, more than 2 are not recommended",
        f"job {job.uuid}: 6 patterns to index with, more than 5 are not recommended",
    ]


def test_a_name_that_is_no_text_is_left_out(
    here: Here, mongodb: dict[str, Any], pipeline: Document, caplog: pytest.LogCaptureFixture
) -> None:
    here.put(f"{FOLDER}/a.csv", b"")
    (here.folder / FOLDER.lstrip("/") / os.fsdecode(b"\xff.csv")).touch()
    job = job_here(here, mongodb, pipeline)
    with caplog.at_level(logging.WARNING):
        assert job.index() == [f"{FOLDER}/a.csv"]
    assert "its name is not in UTF-8" in caplog.text


@in_both_places
def test_of_names_that_are_one_in_the_catalog_the_second_is_left_out(
    finished: Finished, place: Place, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    for more in ("\n", "  "):
        place.put(f"{FOLDER}/a.csv{more}", b"another")
    with caplog.at_level(logging.WARNING):
        job = finished(archive_patterns=[{"patterns": ["^a"], "level": "1"}])
        assert job.index() == [f"{FOLDER}/a.csv"]
    assert [fixity["size"] for fixity in db["fixities"].find({})] == [
        len(OUTPUTS[f"{FOLDER}/a.csv"])
    ]
    assert caplog.messages == [
        f"job {job.uuid}: {FOLDER + '/a.csv' + more!a} cannot be indexed: "
        f"in the catalog it has the same name as '{FOLDER}/a.csv'"
        for more in ("\n", "  ")
    ]
