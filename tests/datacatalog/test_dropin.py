"""What actors of the original call, under the names and in the ways in which they call it."""

from __future__ import annotations

import base64
import importlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audit import toml
from datacatalog import agavehelpers, mongo, tokens, utils
from datacatalog.identifiers import abaco, random_string, typeduuid
from datacatalog.linkedstores.fixity import FixityStore
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import (
    EventRefused,
    JobError,
    PipelineJobStore,
    UnknownJob,
)
from datacatalog.managers.pipelinejobs import (
    ManagedPipelineJob,
    ManagedPipelineJobError,
    ManagedPipelineJobInstance,
    NotStored,
    StorageError,
)
from datacatalog.managers.pipelinejobs.indexer import Indexer
from datacatalog.managers.pipelinejobs.jobmanager import JobManager
from datacatalog.stores import StorageSystem
from datacatalog.tokens import InvalidToken
from tests.conftest import ADMIN, ROOT
from tests.datacatalog.conftest import Make, in_both_places
from tests.datacatalog.places import SYSTEM, Here, Place, Remote
from tests.datacatalog.storage import ROOT as ROOT_DIR
from tests.datacatalog.storage import Storage

UNKNOWN = "10704d54-03e2-5f4b-8c2c-d5d9a4e5e1a1"


@pytest.mark.parametrize(
    "statement",
    [
        "import datacatalog; datacatalog.linkedstores.fixity.FixityStore",
        "import datacatalog; datacatalog.managers.pipelinejobs.ManagedPipelineJob",
        "import datacatalog; datacatalog.tokens.admin.get_admin_key",
        "from datacatalog import linkedstores; linkedstores.basestore.strategies.REPLACE",
        "from datacatalog import identifiers; identifiers.abaco.execid.mock",
        "from datacatalog.linkedstores import pipelinejob; pipelinejob.fsm.STATES",
    ],
)
def test_modules_are_there_as_attributes_of_their_packages(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)


def test_what_is_no_module_is_no_attribute_either() -> None:
    for package in ("datacatalog", "datacatalog.linkedstores"):
        module = importlib.import_module(package)
        assert not hasattr(module, "tacos")
        with pytest.raises(ImportError, match="cannot import name 'tacos'"):
            exec(f"from {package} import tacos")  # noqa: S102 - as an actor would


def test_an_instance_knows_the_state_and_the_last_event(
    mongodb: dict[str, Any], managed: ManagedPipelineJob
) -> None:
    managed.run()
    instance = ManagedPipelineJobInstance(mongodb, str(managed.uuid))
    assert (instance.state, instance.last_event) == ("RUNNING", "run")
    for form in ("urn:uuid:{}", "uri:urn:{}", "URN:UUID:{}"):
        urn = form.format(managed.uuid)
        assert ManagedPipelineJobInstance(mongodb, urn).uuid == managed.uuid
        event = {"uuid": urn, "name": "update", "token": managed.token}
        assert managed.store.handle(event)["uuid"] == managed.uuid
        assert (managed.store.find_one_by_uuid(urn) or {})["uuid"] == managed.uuid


def test_an_instance_handles_a_document_or_a_name(
    mongodb: dict[str, Any], managed: ManagedPipelineJob
) -> None:
    instance = ManagedPipelineJobInstance(mongodb, str(managed.uuid))
    document = {"uuid": managed.uuid, "name": "run", "data": {"cost": 1}}
    assert instance.handle(event_doc=document)["state"] == "RUNNING"
    assert instance.handle({"name": "update", "token": managed.token}, "null")["last_event"] == (
        "update"
    )
    assert instance.handle("finish", {"cost": 2})["state"] == "FINISHED"
    with pytest.raises(ManagedPipelineJobError, match=f"is about job {UNKNOWN}"):
        instance.handle({"uuid": UNKNOWN, "name": "validate"})
    with pytest.raises(InvalidToken):
        instance.handle({"name": "validate"}, "0123456789abcdef")
    data = [entry["data"] for entry in instance.history()][1:]
    assert data == [{"cost": 1}, {}, {"cost": 2}]


def test_an_instance_may_be_given_the_token(
    mongodb: dict[str, Any], managed: ManagedPipelineJob
) -> None:
    instance = ManagedPipelineJobInstance(mongodb, str(managed.uuid), token=managed.token)
    assert instance.run()["state"] == "RUNNING"
    wrong = ManagedPipelineJobInstance(mongodb, str(managed.uuid), token="0123456789abcdef")
    with pytest.raises(InvalidToken):
        wrong.finish()


def test_a_job_manager_takes_a_job_over_and_runs_it_again(
    mongodb: dict[str, Any],
    managed: ManagedPipelineJob,
    admin_token: str,
    client: Any,
    storage: Storage,
) -> None:
    managed.run()
    uuid, output = str(managed.uuid), f"{managed.archive_system}:{managed.archive_path}/a.csv"
    storage.put(output)
    job = JobManager(mongodb, agave=client).load(uuid)
    assert (job.state, job.archive_uri()) == ("RUNNING", managed.archive_uri())
    assert job.reset(token=admin_token)["state"] == "CREATED"
    assert output not in storage.paths
    with pytest.raises(ManagedPipelineJobError, match="ready event: not allowed"):
        job.ready(token=admin_token)
    assert job.run({"launched": "7"})["state"] == job.state == "RUNNING"
    assert JobManager(mongodb, uuid=uuid).attach().finish()["state"] == "FINISHED"
    wrong = JobManager(mongodb, uuid=uuid, token="0123456789abcdef").attach()
    with pytest.raises(InvalidToken):
        wrong.validate()
    assert wrong.index(token=managed.token)["state"] == "INDEXING"
    assert wrong.load(uuid, token=managed.token).indexed()["state"] == "FINISHED"
    with pytest.raises(ManagedPipelineJobError, match=f"No job exists with UUID {UNKNOWN}"):
        JobManager(mongodb).load(UNKNOWN)


def test_what_a_store_refuses_is_an_error_of_both_kinds(
    mongodb: dict[str, Any], managed: ManagedPipelineJob
) -> None:
    for expected in (ManagedPipelineJobError, EventRefused):
        with pytest.raises(expected, match="not allowed in state CREATED") as refused:
            managed.finish()
    assert isinstance(refused.value, EventRefused)
    assert refused.value.state == "CREATED"
    for other in (ManagedPipelineJobError, InvalidToken, ValueError):
        with pytest.raises(other, match="Token was not valid"):
            managed.run(token="0123456789abcdef")
    for unknown in (ManagedPipelineJobError, ValueError):
        with pytest.raises(unknown, match=UNKNOWN):
            ManagedPipelineJobInstance(mongodb, UNKNOWN)
    managed.cancel()
    with pytest.raises(UnknownJob):
        managed.run()


def test_unknown_keywords_are_named_in_the_log_and_not_used(
    make: Make, mongodb: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        job = make(salsa="verde", config={}).setup()
        assert job.uuid is not None
        assert ManagedPipelineJobInstance(mongodb, job.uuid, session="x").uuid == job.uuid
        PipelineStore(mongodb, config={})
    assert "a managed job takes no 'config', 'salsa'" in caplog.text
    assert "a managed job takes no 'session'" in caplog.text
    assert "the store of pipelines takes no 'config'" in caplog.text


def test_a_relative_archive_path_is_in_the_store_of_products(
    make: Make, jobs: PipelineJobStore
) -> None:
    job = make(archive_path="tacos/../salsa").setup()
    assert job.archive_path == "/products/v2/salsa"
    fields = {"pipeline_uuid": job.pipeline_uuid, "archive_path": "../x", "data": {"a": 1}}
    assert jobs.create(fields)["archive_path"] == "/products/v2/x"


def test_a_job_tells_whether_it_can_be_cancelled_and_where_it_is_reported_to(
    managed: ManagedPipelineJob,
) -> None:
    assert managed.cancelable
    assert managed.build_webhook() == managed.callback
    managed.run()
    assert not managed.cancelable


def test_agent_and_task_are_made_urls_one_by_one(make: Make) -> None:
    job = make(agent="bbq-brisket-0.5.0", task="8381155107425120746-242ac11b-0001-007")
    job.canonicalize_actor()
    assert str(job.agent).endswith("/apps/v2/bbq-brisket-0.5.0")
    job.canonicalize_job()
    assert str(job.task).endswith("/jobs/v2/8381155107425120746-242ac11b-0001-007")
    other = "6f2c7b9e-3b5d-4f7e-9a11-0f1e2d3c4b5a-007"
    assert str(job.canonicalize_job(other)).endswith(f"/jobs/v2/{other}")
    assert other not in str(job.task)
    assert job.canonicalize_actor("https://example.org") == "https://example.org"


def test_a_store_tells_its_name_type_and_indexes(mongodb: dict[str, Any]) -> None:
    jobs = PipelineJobStore(mongodb, agave=object())
    assert (jobs.name, jobs.get_uuid_type()) == ("jobs", "pipelinejob")
    assert jobs.get_indexes()[0] == "uuid"
    assert {"archive_path", "pipeline_uuid", "child_of"} <= {*jobs.get_indexes()}


def test_the_state_of_a_job_can_be_drawn(managed: ManagedPipelineJob) -> None:
    managed.run()
    running = managed.store.fsm_state_png(str(managed.uuid))
    assert base64.b64decode(running).startswith(b"\x89PNG")
    managed.finish()
    assert managed.store.fsm_state_png(str(managed.uuid)) != running
    with pytest.raises(UnknownJob):
        managed.store.fsm_state_png(UNKNOWN)


def test_without_the_package_that_draws_its_extra_is_named(
    managed: ManagedPipelineJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(JobError, match=r"pip install 'pipelinejobs-manager\[pictures\]'"):
        managed.store.fsm_state_png(str(managed.uuid))
    project = toml.read(ROOT / "pyproject.toml")["project"]
    assert "pygraphviz" in project["optional-dependencies"]["pictures"][0]


def test_the_administrative_token_is_made_as_it_always_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)
    key = tokens.get_admin_key()
    assert key == ADMIN["CATALOG_ADMIN_TOKEN_KEY"]
    assert tokens.get_admin_token(key, True) == tokens.get_admin_token(key, previous=True)
    assert tokens.get_admin_token(key, False) != tokens.get_admin_token(key, True)
    assert tokens.validate_admin_token(tokens.get_admin_token(key, True))


def test_identifiers_have_their_small_helpers() -> None:
    for module in (abaco, abaco.actorid, abaco.execid):
        assert module.validate(module.generate())
    assert abaco.execid.validate(abaco.execid.mock())
    assert abaco.nonceid.validate(abaco.nonceid.mock())
    assert not abaco.nonceid.validate("salsa", permissive=True)
    with pytest.raises(ValueError, match="not the id of a nonce") as refused:
        abaco.nonceid.validate("salsa-secret")
    assert "secret" not in str(refused.value)
    assert len(random_string.generate(12)) == 12
    assert random_string.generate() != random_string.generate()
    assert typeduuid.validate_uuid5(UNKNOWN)
    assert not typeduuid.validate_uuid5("salsa")
    assert utils.listify_uuid(UNKNOWN) == utils.listify_uuid([UNKNOWN]) == [UNKNOWN]
    with pytest.raises(ValueError, match="salsa"):
        utils.listify_uuid(["salsa"])
    assert typeduuid.uuid_to_hashid(UNKNOWN, "salt") != typeduuid.uuid_to_hashid(UNKNOWN)


def test_directories_and_paths_are_named_as_storage_systems_like_it() -> None:
    assert utils.instanced_directory("solid-snake-").startswith("solid-snake-2")
    assert (
        utils.safen_path("/uploads//Jalapeño & (salsa)\t1.csv") == "/uploads/Jalapeno--salsa-1.csv"
    )
    assert utils.safen_path("a ñ", no_unicode=False, no_spaces=False) == "a ñ"


def test_uris_are_taken_apart_and_made() -> None:
    uri = "agave://data/uploads/tacos/x.csv"
    assert agavehelpers.from_agave_uri("agave://data//uploads/tacos/x.csv") == (
        ("data", "/uploads/tacos", "x.csv")
    )
    assert agavehelpers.to_agave_uri("data", "/uploads/tacos", "x.csv") == uri
    assert agavehelpers.to_agave_uri("data", "/uploads/tacos/x.csv") == uri
    folder = ("data", "/uploads/tacos", "")
    assert agavehelpers.from_agave_uri(uri="agave://data/uploads/tacos/") == folder
    assert agavehelpers.from_agave_uri("agave://data/") == ("data", "/", "")
    with pytest.raises(ValueError, match="not an agave:// URI"):
        agavehelpers.from_agave_uri("/uploads/x")


@in_both_places
def test_a_helper_tells_what_is_on_a_storage_system(place: Place) -> None:
    for name in ("a/1.csv", "a/b/2.csv"):
        place.put(f"/uploads/{name}", b"taco")
    helper = agavehelpers.AgaveHelper(place.client, catalog=place.catalog)
    files = ["/uploads/a/1.csv", "/uploads/a/b/2.csv"]
    assert helper.listdir("/uploads/a", storage_system=SYSTEM) == files
    assert helper.listdir("/uploads/a", recurse=False) == files[:1]
    assert helper.listdir("/uploads", directories=True) == [
        "/uploads/a",
        "/uploads/a/1.csv",
        "/uploads/a/b",
        "/uploads/a/b/2.csv",
    ]
    told = {
        name: (helper.exists(name), helper.isfile(name), helper.isdir(name))
        for name in ("/uploads/a/1.csv", "/uploads//a", "/uploads/none")
    }
    assert list(told.values()) == [(True, True, False), (True, False, True), (False, False, False)]
    with pytest.raises(agavehelpers.AgaveHelperException, match="/uploads/none was not listed"):
        helper.listdir("/uploads/none")


def test_a_helper_maps_and_makes_directories_of_this_machine(here: Here, remote: Remote) -> None:
    helper = agavehelpers.AgaveHelper(catalog=here.catalog)
    helper.mkdir("/uploads/new/one")
    assert helper.mapped_posix_path("/uploads/new") == f"{here.folder}/uploads/new"
    assert (here.folder / "uploads/new/one").is_dir()
    assert helper.isdir("/uploads/new/one")
    with pytest.raises(agavehelpers.AgaveHelperError, match="there is no way to the files of"):
        agavehelpers.AgaveHelper(catalog=remote.catalog).mkdir("/uploads/new")
    with pytest.raises(agavehelpers.AgaveHelperError, match="is in no folder here"):
        agavehelpers.AgaveHelper(remote.client, catalog=remote.catalog).mapped_posix_path("/x")


def test_a_helper_maps_paths_to_where_the_platform_has_mounted_them(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.datacatalog.storage.ROOT", str(tmp_path))
    helper = agavehelpers.AgaveHelper(remote.client, catalog=remote.catalog)
    assert helper.mapped_posix_path("/uploads//x.csv") == f"{tmp_path}/uploads/x.csv"
    assert helper.mapped_posix_path("/x", "data-other") == f"{tmp_path}/x"
    for client in (None, remote.client):
        monkeypatch.setattr("tests.datacatalog.storage.ROOT", f"{tmp_path}/none")
        with pytest.raises(agavehelpers.AgaveHelperError, match="is in no folder here"):
            agavehelpers.AgaveHelper(client, catalog=remote.catalog).mapped_posix_path("/x")
    remote.storage.failing = 500
    with pytest.raises(agavehelpers.AgaveHelperError, match="not known: HTTP status 500"):
        helper.mapped_posix_path("/x")


@in_both_places
def test_the_files_of_a_job_are_listed_by_its_store_and_by_itself(
    mongodb: dict[str, Any], managed: ManagedPipelineJob, place: Place
) -> None:
    place.put(f"{managed.archive_path}/a/1.csv", b"taco")
    jobs = PipelineJobStore(mongodb, agave=place.client, catalog=place.catalog)
    uuid, names = str(managed.uuid), [f"{managed.archive_path}/a/1.csv"]
    assert jobs.list_job_archive_path(uuid) == names
    assert jobs.list_job_archive_path(uuid, recurse=False, directories=True) == [
        f"{managed.archive_path}/a"
    ]
    job = ManagedPipelineJobInstance(mongodb, uuid, place.client, catalog=place.catalog)
    assert job.list_job_archive_path() == job.stores["pipelinejob"].list_job_archive_path(uuid)


def test_a_storage_system_tells_where_it_begins(here: Here, remote: Remote) -> None:
    assert StorageSystem(SYSTEM, catalog=here.catalog).root_dir == str(here.folder)
    system = StorageSystem(SYSTEM, agave=remote.client, catalog=remote.catalog)
    assert system.root_dir == ROOT_DIR
    with pytest.raises(StorageError, match=f"the root of {SYSTEM} is not known"):
        StorageSystem(SYSTEM, catalog=remote.catalog).root_dir  # noqa: B018 - it is asked for


@in_both_places
def test_an_upload_is_indexed_when_it_is_there(mongodb: dict[str, Any], place: Place) -> None:
    indexer = Indexer(mongodb, place.client, catalog=place.catalog)
    with pytest.raises(NotStored, match=r"/uploads/tacos\.csv was not"):
        indexer.index_if_exists("/uploads/tacos.csv")
    place.put("/uploads/tacos.csv", b"taco,count\n")
    assert issubclass(NotStored, ValueError)
    with pytest.raises(NotStored, match="is not a file"):
        indexer.index_if_exists("/uploads")
    document = indexer.index_if_exists("/uploads//tacos.csv", storage_system=SYSTEM)
    assert (document["name"], document["type"]) == ("/uploads/tacos.csv", "CSV")
    fixity = FixityStore(mongodb).find_one_by_id(name="/uploads/tacos.csv")
    assert fixity is not None
    assert (fixity["size"], fixity["child_of"]) == (11, [document["uuid"]])
    assert indexer.index_if_exists("/uploads/tacos.csv")["uuid"] == document["uuid"]
    later = indexer.index_if_exists("/uploads/later.csv", check_exists=False)
    assert later["storage_system"] == SYSTEM


def test_settings_may_name_the_parts_of_a_server() -> None:
    settings = {"host": "db.example.org", "port": 27018, "username": "ann e", "password": "a/b@c"}
    uri = "mongodb://ann+e:a%2Fb%40c@db.example.org:27018/?authSource=admin"
    assert mongo.uri_of(settings) == uri
    assert mongo.get_mongo_uri(settings) == uri
    assert mongo.hosts(settings) == "db.example.org:27018"
    assert mongo.uri_of({"host": "db"}) == "mongodb://db:27017/"
    assert mongo.uri_of({"host": "db", "authn": "mongodb://other"}) == "mongodb://other"
