"""The stores of everything that jobs touch, each held to the same table."""

from __future__ import annotations

import datetime
import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from datacatalog.documents import DocumentError
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import CatalogUpdateFailure, DocumentStore, strategies
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.lookup import KINDS
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, UnknownJob
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidToken
from tests.conftest import TACOBOT
from tests.datacatalog.conftest import OTHER_UUID, SAMPLE_UUID, public
from tests.datacatalog.jobs import WRONG_TOKENS


class Kind(NamedTuple):
    """A row of the table of stores."""

    store: str
    collection: str
    uuid_of: str
    identifiers: tuple[str, ...]
    required: tuple[str, ...]
    indexed: tuple[str, ...]
    links: tuple[str, ...]
    document: Document


KINDS_OF_DOCUMENTS = {
    "pipeline": Kind(
        "PipelineStore",
        "pipelines",
        "",
        ("uuid", "id"),
        ("name", "components", "id", "processing_levels"),
        (),
        ("child_of", "derived_from"),
        TACOBOT,
    ),
    "file": Kind(
        "FileStore",
        "files",
        "name",
        ("uuid", "name"),
        ("name",),
        ("type", "level", "file_id"),
        ("child_of", "derived_from", "derived_using", "generated_by"),
        {"name": "/uploads/tacc/a.csv"},
    ),
    "fixity": Kind(
        "FixityStore",
        "fixities",
        "name",
        ("uuid", "name"),
        ("name",),
        ("fingerprint", "checksum"),
        ("child_of",),
        {"name": "/uploads/tacc/a.csv", "size": 7},
    ),
    "reference": Kind(
        "ReferenceStore",
        "references",
        "reference_id",
        ("uuid", "reference_id", "uri"),
        ("uri", "name", "reference_id"),
        (),
        (),
        {"reference_id": "PDB:6NOV", "uri": "https://www.rcsb.org/6NOV", "name": "6NOV"},
    ),
    "process": Kind(
        "ProcessStore",
        "processes",
        "process_id",
        ("uuid", "process_id"),
        ("name", "process_id"),
        (),
        (),
        {"process_id": "process.tacc.1", "name": "Cytometer"},
    ),
    "experiment_design": Kind(
        "ExperimentDesignStore",
        "experiment_designs",
        "uri",
        ("uuid", "uri"),
        ("experiment_design_id", "uri"),
        (),
        (),
        {"experiment_design_id": "Tacos-7", "uri": "https://docs.example.org/7"},
    ),
    "experiment": Kind(
        "ExperimentStore",
        "experiments",
        "experiment_id",
        ("uuid", "experiment_id"),
        ("experiment_id",),
        (),
        (),
        {"experiment_id": "experiment.tacc.10001"},
    ),
    "sample": Kind(
        "SampleStore",
        "samples",
        "sample_id",
        ("uuid", "sample_id"),
        ("sample_id", "measurements", "child_of"),
        (),
        (),
        {"sample_id": "sample.tacc.20001", "measurements": [], "child_of": []},
    ),
    "measurement": Kind(
        "MeasurementStore",
        "measurements",
        "measurement_id",
        ("uuid", "measurement_id"),
        ("files", "measurement_id", "measurement_type", "child_of"),
        ("measurement_type", "timepoint"),
        (),
        {
            "measurement_id": "measurement.tacc.1",
            "measurement_type": "FLOW",
            "files": [],
            "child_of": [],
        },
    ),
}


UNLIKE = ("pipeline", "file", "fixity", "reference")
"""Kinds whose stores do something of their own; the others differ in their row alone."""
of_each_kind = pytest.mark.parametrize("name", KINDS_OF_DOCUMENTS)


@pytest.fixture(
    params=[
        name if name in UNLIKE else pytest.param(name, marks=pytest.mark.long)
        for name in KINDS_OF_DOCUMENTS
    ]
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kind(name: str) -> Kind:
    return KINDS_OF_DOCUMENTS[name]


@pytest.fixture
def store(name: str, mongodb: dict[str, Any]) -> Any:
    return KINDS[name](mongodb)


@pytest.fixture
def added(store: Any, kind: Kind) -> Document:
    document: Document = store.add_update_document(kind.document)
    return document


def in_collection(db: Db, kind: Kind) -> list[Document]:
    return list(db[kind.collection].find({}))


# The table


@of_each_kind
def test_each_store_is_where_other_actors_import_it_from(name: str, kind: Kind) -> None:
    module = importlib.import_module(f"datacatalog.linkedstores.{name}")
    assert getattr(module, kind.store) is KINDS[name]
    assert issubclass(KINDS[name], DocumentStore)


def test_there_is_a_store_for_every_kind() -> None:
    assert set(KINDS) == {*KINDS_OF_DOCUMENTS, "pipelinejob"}


@of_each_kind
def test_an_added_document_is_in_its_collection_with_its_uuid(
    kind: Kind, name: str, added: Document, db: Db
) -> None:
    (stored,) = in_collection(db, kind)
    assert stored["uuid"] == added["uuid"]
    if kind.uuid_of:
        text = kind.document[kind.uuid_of]
        assert added["uuid"] == typeduuid.catalog_uuid(text, name)
    assert {field: stored[field] for field in kind.document} == kind.document
    assert stored["_visible"] is True
    assert set(stored["_admin"]) == {"owner", "project", "tenant"}
    assert stored["_properties"]["revision"] == 0
    assert {link: stored[link] for link in kind.links} == {link: [] for link in kind.links}


@of_each_kind
def test_a_document_is_found_by_each_of_its_identifiers(
    kind: Kind, added: Document, store: Any
) -> None:
    for identifier in kind.identifiers:
        found = store.find_one_by_id(**{identifier: added[identifier]})
        assert public(found) == public(added)
        assert store.find_one_by_id(**{identifier: "unknown"}) is None
    assert public(store.find_one_by_uuid(added["uuid"])) == public(added)
    assert [public(found) for found in store.find(uuid=added["uuid"])] == [public(added)]


def test_only_identifiers_find_one_document(store: Any) -> None:
    with pytest.raises(ValueError, match=r"^_salt does not identify a "):
        store.find_one_by_id(_salt="x")


@of_each_kind
def test_what_is_required_is_named(kind: Kind, store: Any, db: Db) -> None:
    for missing in kind.required:
        incomplete = {field: v for field, v in kind.document.items() if field != missing}
        with pytest.raises(CatalogUpdateFailure, match=f"'{missing}' missing$"):
            store.add_update_document(incomplete)
    assert in_collection(db, kind) == []


@of_each_kind
def test_the_identifiers_are_unique_and_the_rest_is_indexed(
    kind: Kind, added: Document, db: Db
) -> None:
    indexes = db[kind.collection].index_information().values()
    keys = {index["key"][0][0]: bool(index.get("unique")) for index in indexes}
    assert {key for key, unique in keys.items() if unique} == set(kind.identifiers)
    assert set(keys) >= {*kind.indexed, *kind.links}


def test_an_identifier_names_one_document_only(mongodb: dict[str, Any], db: Db) -> None:
    references = KINDS["reference"](mongodb)
    assert isinstance(references, DocumentStore)
    given = KINDS_OF_DOCUMENTS["reference"].document
    references.add_update_document(given)
    with pytest.raises(CatalogUpdateFailure) as refused:
        references.add_update_document({**given, "reference_id": "PDB:other"})
    assert str(refused.value) == (
        f"another reference has the uri {given['uri']!r}: choose a new one, or update that"
    )
    assert db["references"].count_documents({}) == 1


def test_an_experiment_design_is_found_by_its_id_as_well(mongodb: dict[str, Any]) -> None:
    designs = KINDS["experiment_design"](mongodb)
    assert isinstance(designs, DocumentStore)
    given = KINDS_OF_DOCUMENTS["experiment_design"].document
    added = designs.add_update_document(given)
    assert public(designs.find_one_by_id(experiment_design_id="Tacos-7")) == public(added)
    again = {**given, "uri": "https://docs.example.org/8"}
    assert designs.add_update_document(again)["uuid"] != added["uuid"]


# Adding and updating


@of_each_kind
def test_the_same_document_again_is_returned_unchanged(
    kind: Kind, added: Document, store: Any, db: Db
) -> None:
    before = in_collection(db, kind)
    again = store.add_update_document(kind.document)
    assert again == added
    assert in_collection(db, kind) == before


@pytest.mark.parametrize("token", [None, *WRONG_TOKENS])
def test_a_change_needs_the_token(
    token: str | None, kind: Kind, added: Document, store: Any, db: Db
) -> None:
    before = in_collection(db, kind)
    # a token that is given has to be right; without one, it is for the settings to say
    store.catalog = store.catalog._replace(enforce_tokens=token is None)
    for strategy in (strategies.MERGE, strategies.REPLACE):
        with pytest.raises(InvalidToken):
            store.add_update_document({**kind.document, "note": 1}, token=token, strategy=strategy)
    assert in_collection(db, kind) == before


def test_by_default_metadata_takes_a_change_without_a_token(
    kind: Kind, added: Document, store: Any
) -> None:
    changed = store.add_update_document({**kind.document, "note": 1})
    assert (changed["uuid"], changed["note"]) == (added["uuid"], 1)
    assert store.write_key(added["uuid"], "note", 2)["note"] == 2
    with pytest.raises(InvalidToken):
        store.write_key(added["uuid"], "note", 3, "0123456789abcdef")
    for name in ("uuid", "_salt", "a.b"):
        with pytest.raises(ValueError, match="cannot be written"):
            store.write_key(added["uuid"], name, 1)


def test_a_merge_keeps_what_is_not_given_and_a_replacement_drops_it(
    kind: Kind, added: Document, store: Any
) -> None:
    token = added["_update_token"]
    merged = store.add_update_document({"note": 1}, added["uuid"], token)
    assert public(merged) == {**public(added), "note": 1} | _next_version(merged)
    replaced = store.add_update_document(kind.document, None, token, strategies.REPLACE)
    assert public(replaced) == public(added) | _next_version(replaced)
    assert (replaced["uuid"], replaced["_update_token"]) == (added["uuid"], token)
    assert replaced["_properties"]["revision"] == 2


def _next_version(changed: Document) -> Document:
    return {"version": changed["_properties"]["revision"] + 1} if "version" in changed else {}


def test_an_administrative_token_changes_every_document(
    admin_token: str, kind: Kind, added: Document, store: Any
) -> None:
    changed = store.add_update_document({**kind.document, "note": 1}, token=admin_token)
    assert (changed["note"], changed["_update_token"]) == (1, added["_update_token"])


@pytest.mark.parametrize("by", ["argument", "field"])
def test_where_tokens_are_enforced_who_only_knows_the_uuid_is_not_told_the_token(
    by: str, added: Document, store: Any, db: Db, kind: Kind
) -> None:
    before = in_collection(db, kind)
    uuid = added["uuid"]
    given = ({}, uuid) if by == "argument" else ({"uuid": uuid},)
    token = added["_update_token"]
    assert store.add_update_document(*given)["_update_token"] == token
    store.catalog = store.catalog._replace(enforce_tokens=True)
    found = store.add_update_document(*given)
    assert public(found) == public(added)
    assert "_update_token" not in found
    assert in_collection(db, kind) == before
    assert store.add_update_document(*given, token=token)["_update_token"] == token


@of_each_kind
def test_a_document_stays_what_its_uuid_says(
    name: str, kind: Kind, added: Document, store: Any, db: Db
) -> None:
    before = in_collection(db, kind)
    field = kind.uuid_of or "id"
    other = {field: f"{kind.document[field]}-2"}
    for strategy in (strategies.MERGE, strategies.REPLACE):
        for given, uuid in (
            (other, added["uuid"]),
            ({**kind.document, **other, "uuid": added["uuid"]}, None),
        ):
            with pytest.raises(CatalogUpdateFailure) as refused:
                store.add_update_document(
                    {**kind.document, **given}, uuid, added["_update_token"], strategy
                )
            assert str(refused.value) == (
                f"{store.noun} {added['uuid']}: what its UUID is made of cannot be changed: "
                f"add another {store.noun}"
            )
    assert in_collection(db, kind) == before


def test_an_update_of_an_unknown_document_is_refused(
    name: str, kind: Kind, store: Any, db: Db
) -> None:
    unknown = typeduuid.catalog_uuid("unknown", name)
    with pytest.raises(CatalogUpdateFailure, match=f"exists with UUID {unknown}$"):
        store.add_update_document(kind.document, uuid=unknown)
    assert in_collection(db, kind) == []


def test_a_strategy_that_does_not_exist_is_named(kind: Kind, store: Any) -> None:
    with pytest.raises(ValueError, match=r"^there is no strategy 'overwrite': "):
        store.add_update_document(kind.document, strategy="overwrite")


@pytest.mark.parametrize("value", [float("nan"), 2**64, datetime.datetime.now, {1: 2}])
def test_what_cannot_be_stored_is_refused(value: Any, kind: Kind, store: Any, db: Db) -> None:
    with pytest.raises(DocumentError):
        store.add_update_document({**kind.document, "note": value})
    assert in_collection(db, kind) == []


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("child_of", {"a": 1}, "is {'a': 1}: give a typed UUID or a list of them"),
        ("child_of", [1, None], "is [1, None]: give a typed UUID or a list of them"),
        ("", 7, "is 7: give a string that is not empty"),
        ("", " ", "is ' ': give a string that is not empty"),
        ("", ["x"], "is ['x']: give a string that is not empty"),
        ("uuid", {"$ne": None}, "is {'$ne': None}: give a string"),
    ],
)
def test_what_nothing_could_be_found_by_is_refused(
    field: str, value: Any, problem: str, kind: Kind, store: Any, db: Db
) -> None:
    field = field or kind.identifiers[1]
    with pytest.raises(CatalogUpdateFailure) as refused:
        store.add_update_document({**kind.document, field: value})
    assert str(refused.value) == f"{field} of a {store.noun} {problem}"
    assert in_collection(db, kind) == []


@pytest.mark.parametrize("which", ["file", "fixity"])
def test_a_storage_system_is_a_text(which: str, mongodb: dict[str, Any]) -> None:
    store: Any = KINDS[which](mongodb)
    with pytest.raises(CatalogUpdateFailure, match=r"^storage_system of a \w+ is \['x'\]: give a"):
        store.add_update_document({"name": "/a.csv", "storage_system": ["x"]})


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_what_is_no_document_is_refused(document: Any, store: Any) -> None:
    with pytest.raises(CatalogUpdateFailure, match=r"^.* is not a document: give the fields of"):
        store.add_update_document(document)


def test_names_of_fields_are_texts(kind: Kind, store: Any) -> None:
    document: dict[Any, Any] = {**kind.document, 1: 2}
    with pytest.raises(DocumentError, match="has the key 1, and only strings can be keys"):
        store.add_update_document(document)


def test_an_operator_of_the_database_is_no_uuid(added: Document, store: Any) -> None:
    anything: Any = {"$ne": None}
    with pytest.raises(CatalogUpdateFailure, match=r"^{'\$ne': None} is not the UUID of a "):
        store.add_update_document({}, uuid=anything)
    assert store.find_one_by_uuid(anything) is None
    for call in (store.load, store.delete_document, store.get_links):
        with pytest.raises(CatalogUpdateFailure, match="exists with UUID"):
            call(anything)


def test_of_many_who_add_the_same_document_one_does(kind: Kind, store: Any, db: Db) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(store.add_update_document, [kind.document] * 16))
    assert len({document["uuid"] for document in made}) == 1
    assert len(in_collection(db, kind)) == 1
    assert len({document["_update_token"] for document in made}) == 1


def test_of_many_who_change_a_document_all_are_heard(
    kind: Kind, added: Document, store: Any
) -> None:
    def change(number: int) -> None:
        store.add_update_document({f"n{number}": True}, added["uuid"], added["_update_token"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(16)))
    found = store.find_one_by_uuid(added["uuid"])
    assert all(found[f"n{number}"] for number in range(16))
    assert found["_properties"]["revision"] == 16


# Deleting


def test_a_deleted_document_is_hidden_until_it_is_undeleted(
    kind: Kind, added: Document, store: Any, db: Db
) -> None:
    token = added["_update_token"]
    hidden = store.delete_document(added["uuid"], token)
    assert (hidden["uuid"], hidden["_update_token"]) == (added["uuid"], token)
    assert store.find_one_by_uuid(added["uuid"]) is None
    assert store.find() == []
    with pytest.raises(CatalogUpdateFailure, match=r"is hidden: undelete it first$"):
        store.add_update_document({**kind.document, "note": 1}, token=token)
    with pytest.raises(CatalogUpdateFailure, match="exists with UUID"):
        store.add_link(added["uuid"], SAMPLE_UUID)
    store.undelete(added["uuid"], token)
    assert public(store.find_one_by_uuid(added["uuid"])) == public(added)
    rows = list(db["updates"].find({"uuid": added["uuid"]}, sort=[("date", 1)]))
    assert [row["action"] for row in rows] == ["create", "delete", "undelete"]


def test_a_document_is_removed_for_good_with_force(
    kind: Kind, added: Document, store: Any, db: Db
) -> None:
    before = in_collection(db, kind)
    removed = store.delete_document(added["uuid"], added["_update_token"], force=True)
    assert public(removed) == public(added)
    assert in_collection(db, kind) == []
    (row,) = db["updates"].find(
        {"uuid": added["uuid"], "action": "delete", "document": {"$exists": True}}
    )
    assert public(row["document"]) == public(before[0])
    assert store.add_update_document(kind.document)["_properties"]["revision"] == 0


@pytest.mark.parametrize("token", [None, *WRONG_TOKENS])
def test_a_document_is_deleted_with_its_token_only(
    token: str | None, kind: Kind, added: Document, store: Any, db: Db
) -> None:
    before = in_collection(db, kind)
    for force in (True, False):
        with pytest.raises(InvalidToken):
            store.delete_document(added["uuid"], token, force)
    assert in_collection(db, kind) == before


def test_what_is_not_there_cannot_be_deleted(name: str, store: Any) -> None:
    unknown = typeduuid.catalog_uuid("unknown", name)
    for call in (store.delete_document, store.undelete):
        with pytest.raises(CatalogUpdateFailure, match=f"exists with UUID {unknown}$"):
            call(unknown, "0123456789abcdef")


# Links


def test_links_are_added_and_taken_away_and_it_does_not_matter_how_often(
    added: Document, store: Any
) -> None:
    uuid = added["uuid"]
    assert store.get_links(uuid) == []
    for _ in range(2):
        assert store.add_link(uuid, SAMPLE_UUID)["child_of"] == [SAMPLE_UUID]
    store.add_link(uuid, [OTHER_UUID, SAMPLE_UUID])
    assert store.get_links(uuid) == sorted([SAMPLE_UUID, OTHER_UUID])
    assert store.find_one_by_uuid(uuid)["_properties"]["revision"] == 2
    for _ in range(2):
        assert store.remove_link(uuid, SAMPLE_UUID)["child_of"] == [OTHER_UUID]
    assert store.get_links(uuid) == [OTHER_UUID]
    assert store.find_one_by_uuid(uuid)["_properties"]["revision"] == 3


def test_links_are_kept_by_a_merge_and_dropped_by_a_replacement(files: FileStore) -> None:
    given = {"name": "/uploads/a.csv"}
    added = files.add_update_document(given)
    files.add_link(added["uuid"], SAMPLE_UUID)
    token = added["_update_token"]
    assert files.add_update_document({**given, "note": 1}, token=token)["child_of"] == [SAMPLE_UUID]
    replaced = files.add_update_document(given, token=token, strategy=strategies.REPLACE)
    assert replaced["child_of"] == []


def test_links_of_many_writers_are_all_kept(added: Document, store: Any) -> None:
    uuids = [typeduuid.catalog_uuid(f"sample {number}", "sample") for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda uuid: store.add_link(added["uuid"], uuid), uuids * 2))
    assert store.get_links(added["uuid"]) == sorted(uuids)


def test_only_relations_of_the_store_and_typed_uuids_are_links(added: Document, store: Any) -> None:
    for call in (store.add_link, store.remove_link):
        with pytest.raises(ValueError, match="has no links 'friend_of': use child_of"):
            call(added["uuid"], SAMPLE_UUID, "friend_of")
        with pytest.raises(ValueError, match=r"^sample\.tacc\.1 is not a typed UUID$"):
            call(added["uuid"], "sample.tacc.1")
    with pytest.raises(ValueError, match="has no links '_salt'"):
        store.get_links(added["uuid"], "_salt")


def test_a_token_that_is_shown_for_a_link_has_to_be_right(added: Document, store: Any) -> None:
    with pytest.raises(InvalidToken):
        store.add_link(added["uuid"], SAMPLE_UUID, "child_of", "0123456789abcdef")
    store.add_link(added["uuid"], SAMPLE_UUID, "child_of", added["_update_token"])
    assert store.get_links(added["uuid"]) == [SAMPLE_UUID]


def test_a_job_has_links_and_keeps_its_history_and_its_token(
    jobs: PipelineJobStore, job: Document
) -> None:
    jobs.add_link(job["uuid"], SAMPLE_UUID, "acted_on")
    assert jobs.get_links(job["uuid"], "acted_on") == [SAMPLE_UUID]
    ran = jobs.handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"])
    assert (ran["state"], ran["acted_on"]) == ("RUNNING", [SAMPLE_UUID])
    assert [entry["name"] for entry in jobs.history(job["uuid"])] == ["create", "run"]


def test_a_job_can_be_deleted_as_other_documents_are(jobs: PipelineJobStore, job: Document) -> None:
    jobs.delete_document(job["uuid"], job["_update_token"])
    assert jobs.find_one_by_uuid(job["uuid"]) is None
    jobs.delete_document(job["uuid"], job["_update_token"], force=True)
    with pytest.raises(UnknownJob):
        jobs.undelete(job["uuid"], job["_update_token"])
