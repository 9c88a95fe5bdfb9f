from __future__ import annotations

import datetime
import importlib
import inspect
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datacatalog.identifiers import interestinganimal, typeduuid
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.managers.pipelinejobs import (
    ManagedPipelineJob,
    ManagedPipelineJobError,
    ReactorManagedPipelineJob,
)
from datacatalog.mongo import Db, Document
from datacatalog.settings import CatalogSettings
from reactors.runtime import Reactor
from tests.conftest import ROOT
from tests.datacatalog.conftest import EXPERIMENT, PIPELINES, SAMPLE, SAMPLE_2, Make
from tests.datacatalog.storage import Storage
from tests.datacatalog.vectors import VECTORS, cases, check

UUIDS = {name: uuid for _, _, name, uuid in VECTORS["catalog"]}
UNRESOLVED = "Unable to resolve any identifers to UUIDs"


# What the original computed


@cases("managed_job")
def test_a_job_is_what_the_original_made_of_it(vector: dict[str, Any], make: Make) -> None:
    given = {"session": "solid-snake", **vector["input"]}
    if vector.get("message") == UNRESOLVED and given.get("experiment_design_id"):
        # decision: an identifier that is not found is named
        vector = {**vector, "message": f"{UNRESOLVED}: {given['experiment_design_id']}"}

    def describe() -> dict[str, Any]:
        job = make(**given)
        called = {"archive_uri": job.archive_uri(), "serialize_data": job.serialize_data()}
        return {**{name: getattr(job, name, None) for name in vector["output"]}, **called}

    check(vector, describe)


@cases("instanced_job")
def test_an_instanced_job_has_a_folder_of_the_form_that_the_original_made(
    vector: dict[str, Any], make: Make
) -> None:
    folder, _, name = vector["output"].rpartition("/")
    moment = datetime.datetime.strptime(vector["instanced_at"], "%Y-%m-%dT%H:%M:%S%z")
    assert interestinganimal.instanced("snake", moment) == name
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    job = make(instanced=True, **vector["input"])
    after = datetime.datetime.now(datetime.timezone.utc)
    parts = re.fullmatch(rf"{folder}/snake-(\d{{8}}T\d{{6}}Z)", job.archive_path)
    assert parts is not None
    assert before <= datetime.datetime.strptime(parts[1], "%Y%m%dT%H%M%S%z") <= after


@cases("serialize_data")
def test_data_are_serialized_as_the_original_did(vector: dict[str, Any], make: Make) -> None:
    (data,) = vector["input"]
    if "raises" in vector:
        data = {"d": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)}
    job = make()
    job.data = data
    check(vector, job.serialize_data)


# What other actors rely on


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            "datacatalog.managers.pipelinejobs",
            """
            ManagedPipelineJob ReactorManagedPipelineJob ManagedPipelineJobInstance
            ManagedPipelineJobError Manager
            """,
        ),
        ("datacatalog.managers.pipelinejobs.jobmanager", "JobManager"),
        ("datacatalog.managers.common", "Manager"),
        ("datacatalog.linkedstores.pipelinejob", "PipelineJobStore AgaveEvents fsm exceptions"),
        (
            "datacatalog.linkedstores.pipelinejob.exceptions",
            "JobError JobCreateFailure JobUpdateFailure DuplicateJobError UnknownPipeline UnknownJob",
        ),
        (
            "datacatalog.linkedstores.pipeline",
            "PipelineStore PipelineCreateFailure PipelineUpdateFailure",
        ),
        ("datacatalog.linkedstores.basestore", "strategies"),
        (
            "datacatalog.tokens",
            """
            get_token validate_token get_admin_token validate_admin_token get_admin_lifetime
            generate_salt InvalidToken InvalidAdminToken
            """,
        ),
        ("datacatalog.identifiers", "typeduuid abaco agave interestinganimal"),
        ("reactors.runtime", "Reactor agaveutils"),
    ],
)
def test_names_are_where_other_actors_import_them_from(module: str, names: str) -> None:
    imported = importlib.import_module(module)
    for name in names.split():
        if not hasattr(imported, name):
            importlib.import_module(f"{module}.{name}")
    assert all(hasattr(imported, name) for name in names.split())


METHODS = """
    setup run resource update fail finish index indexed validate validated reject finalize retire
    reset ready cancel delete load attach archive_uri agave_notifications tapis_notifications serialize_data
    canonicalize_agent_and_task canonicalize_product_patterns
    get_by_uuid get_by_identifier get_uuid_from_identifier
"""


@pytest.mark.parametrize("name", METHODS.split())
def test_a_job_has_the_methods_that_other_actors_call(name: str) -> None:
    assert callable(getattr(ManagedPipelineJob, name))


ARGUMENTS = """
    experiment_id sample_id measurement_id experiment_design_id data archive_path archive_system
    archive_patterns product_patterns session agent task inputs pipeline_uuid setup_archive_path
"""


@pytest.mark.parametrize("name", ARGUMENTS.split())
def test_a_job_takes_the_arguments_that_other_actors_give(name: str) -> None:
    signature = inspect.signature(ManagedPipelineJob)
    bound = signature.bind({}, PIPELINES, True, "a client", **{name: None})
    assert (bound.arguments["instanced"], bound.arguments["agave"]) == (True, "a client")


# Setting up


def test_setup_creates_the_job(make: Make, db: Db) -> None:
    given = {
        "sample_id": [SAMPLE_2, SAMPLE],
        "data": {"tacos": 3},
        "inputs": ["/uploads/tacc/a.csv"],
        "archive_system": "data-tacos",
        "archive_patterns": [{"level": "1", "patterns": ["\\.csv$"]}],
        "product_patterns": [{"patterns": [], "derived_from": ["./a"]}],
        "session": "solid-snake",
        "agent": "https://api.example.org/actors/v2/cook",
        "task": "https://api.example.org/actors/v2/cook/executions/7",
    }
    job = make(**given)
    assert (job.uuid, job.token, job.job, job.callback) == (None, None, None, None)
    assert job.setup() is job
    stored = db["jobs"].find_one({"uuid": job.uuid})
    assert stored is not None
    expected = {
        **{name: value for name, value in given.items() if name not in ("sample_id", "inputs")},
        "archive_path": job.archive_path,
        "pipeline_uuid": PIPELINES["pipeline_uuid"],
        "generated_by": [PIPELINES["pipeline_uuid"]],
        "child_of": sorted([UUIDS[SAMPLE], UUIDS[SAMPLE_2]]),
        "acted_on": [UUIDS["/uploads/tacc/a.csv"]],
        "acted_using": [],
        "state": "CREATED",
    }
    assert {name: stored[name] for name in expected} == expected
    assert job.archive_path.startswith(
        f"/products/v2/{PIPELINES['pipeline_uuid'].replace('-', '')}/"
    )
    assert job.job is not None
    assert job.job["uuid"] == job.uuid
    assert job.job["_update_token"] == job.token


def test_the_token_of_a_set_up_job_works_in_the_store(
    managed: ManagedPipelineJob, jobs: PipelineJobStore
) -> None:
    assert jobs.handle({"uuid": managed.uuid, "name": "run"}, managed.token)["state"] == "RUNNING"


def test_setup_merges_its_data_over_the_first(make: Make) -> None:
    job = make(data={"tacos": 3, "salsa": {"hot": True}})
    before = job.archive_path
    job.setup({"salsa": {"mild": True}, "lime": 1, "inputs": ["/products/v2/b.json"]})
    assert job.job is not None
    assert job.job["data"] == {
        "tacos": 3,
        "salsa": {"mild": True},
        "lime": 1,
        "inputs": ["/products/v2/b.json"],
    }
    assert job.job["acted_on"] == [UUIDS["/products/v2/b.json"]]
    assert job.archive_path == job.job["archive_path"] != before
    same = make(data=job.job["data"])
    assert same.archive_path == job.archive_path
    assert same.setup().uuid == job.uuid


def test_setup_leaves_the_data_of_the_caller_alone(make: Make) -> None:
    data = {"tacos": 3}
    make(data=data).setup({"lime": 1})
    assert data == {"tacos": 3}


def test_the_same_inputs_give_the_same_job(make: Make, db: Db) -> None:
    first = make(experiment_id=EXPERIMENT, data={"a": 1, "b": 2}).setup()
    first.run()
    again = make(experiment_id=[EXPERIMENT, UUIDS[EXPERIMENT]], data={"b": 2, "a": 1}).setup()
    assert (again.uuid, again.token) == (first.uuid, first.token)
    assert again.job is not None
    assert again.job["state"] == "RUNNING"
    assert db["jobs"].count_documents({}) == 1
    assert again.finish()["state"] == "FINISHED"


def test_other_inputs_give_another_job(make: Make) -> None:
    given: list[dict[str, Any]] = [
        {},
        {"data": {"a": 1}},
        {"experiment_id": EXPERIMENT},
        {"sample_id": SAMPLE},
        {"pipeline_uuid": VECTORS["catalog"][1][3]},
    ]
    jobs = [make(**arguments).setup() for arguments in given]
    assert len({job.uuid for job in jobs}) == len({job.archive_path for job in jobs}) == len(given)


def test_setting_up_twice_changes_nothing(managed: ManagedPipelineJob, db: Db) -> None:
    before = list(db["jobs"].find({}))
    uuid = managed.uuid
    assert managed.setup().uuid == uuid
    assert list(db["jobs"].find({})) == before


def test_a_given_archive_path_is_kept(make: Make) -> None:
    job = make(archive_path="/products/v2/mine", instanced=True).setup({"a": 1})
    assert job.archive_path == "/products/v2/mine"
    assert job.archive_uri() == "agave://data-sd2e-community/products/v2/mine"


def test_an_instanced_job_keeps_its_folder(make: Make) -> None:
    first = make(instanced=True, session="solid-snake").setup()
    again = make(instanced=True, session="liquid-snake").setup()
    assert again.uuid == first.uuid
    assert again.archive_path == first.archive_path
    assert re.search(r"/solid-snake-\d{8}T\d{6}Z$", again.archive_path)


def test_a_session_has_a_name_of_its_own_unless_one_is_given(make: Make) -> None:
    job = make().setup()
    assert job.job is not None
    assert re.fullmatch(r"[a-z]+-[a-z]+", job.job["session"])


def test_the_catalog_decides_the_default_storage_and_server(make: Make) -> None:
    catalog = CatalogSettings(storage_system="data-tacos", api_server="https://api.example.org/")
    job = make(catalog=catalog).setup()
    assert job.archive_uri().startswith("agave://data-tacos/products/v2/")
    assert (job.callback or "").startswith("https://api.example.org/actors/v2/")


@pytest.mark.parametrize(
    ("pipelines", "text"),
    [
        ({}, "There is no pipeline_uuid: give it, or set pipelines.pipeline_uuid"),
        (
            {"pipeline_uuid": ""},
            "There is no pipeline_uuid: give it, or set pipelines.pipeline_uuid",
        ),
        (
            {"pipeline_uuid": "nope"},
            "Failed to verify pipeline_uuid:nope exists in store pipeline",
        ),
    ],
)
def test_a_job_without_a_known_pipeline_is_refused(
    pipelines: dict[str, str], text: str, make: Make
) -> None:
    with pytest.raises(ManagedPipelineJobError) as refused:
        make(pipelines=pipelines)
    assert str(refused.value) == text


def test_the_pipeline_of_the_call_wins_over_the_settings(make: Make) -> None:
    other = VECTORS["catalog"][1][3]
    job = make(pipeline_uuid=other).setup()
    assert job.job is not None
    assert (job.job["pipeline_uuid"], job.job["generated_by"]) == (other, [other])


# What the job is about


def test_identifiers_are_sorted_and_without_duplicates(make: Make) -> None:
    given = [SAMPLE_2, SAMPLE, UUIDS[SAMPLE], SAMPLE_2]
    assert make(sample_id=given).child_of == sorted([UUIDS[SAMPLE], UUIDS[SAMPLE_2]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"measurement_id": "measurement.tacc.0xDEADBEEF", "sample_id": SAMPLE}, SAMPLE),
        ({"sample_id": SAMPLE, "experiment_id": EXPERIMENT}, EXPERIMENT),
        ({"experiment_id": EXPERIMENT, "experiment_design_id": SAMPLE_2}, SAMPLE_2),
    ],
)
def test_the_first_kind_that_is_given_counts(
    given: dict[str, str], expected: str, make: Make
) -> None:
    assert make(**given).child_of == [UUIDS[expected]]


def test_a_typed_uuid_is_taken_as_it_is(make: Make) -> None:
    unknown = typeduuid.catalog_uuid("not in the catalog", "experiment")
    assert make(experiment_id=unknown).child_of == [unknown]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("experiment.tacc.unknown", "experiment.tacc.unknown"),
        (["experiment.tacc.unknown"], "experiment.tacc.unknown"),
        ([EXPERIMENT, "experiment.tacc.unknown"], "experiment.tacc.unknown"),
        (["unknown.1", EXPERIMENT, "unknown.2"], "unknown.1, unknown.2"),
        ("102-tacos", "102-tacos"),
        ([EXPERIMENT, "102e95e6"], "102e95e6"),
        ("102e95e6-67a8-5a06-9484-3131c690789", "102e95e6-67a8-5a06-9484-3131c690789"),
        ("102E95E6-67A8-5A06-9484-3131C6907890", "102E95E6-67A8-5A06-9484-3131C6907890"),
        ("102e95e6-67a8-4a06-9484-3131c6907890", "102e95e6-67a8-4a06-9484-3131c6907890"),
        ([EXPERIMENT, SAMPLE, "unknown.1"], "unknown.1"),
        ([EXPERIMENT, 7], "7"),
        ([EXPERIMENT, None], "None"),
    ],
)
def test_an_identifier_that_is_not_found_is_named(name: Any, named: str, make: Make) -> None:
    # decision: the original drops it, and takes any text that begins with 102
    with pytest.raises(ValueError) as refused:
        make(experiment_id=name)
    assert str(refused.value) == f"{UNRESOLVED}: {named}"


def test_a_hidden_sample_is_not_found(make: Make, db: Db) -> None:
    db["samples"].update_one({"sample_id": SAMPLE}, {"$set": {"_visible": False}})
    with pytest.raises(ValueError, match=SAMPLE):
        make(sample_id=[SAMPLE, SAMPLE_2])


# What the job works on


def test_files_and_references_are_found_in_inputs_and_data(make: Make, db: Db) -> None:
    url = "https://tacos.example.org/7"
    reference = typeduuid.catalog_uuid(url, "reference")
    db["references"].insert_one({"uuid": reference, "uri": url, "reference_id": "tacos"})
    job = make(
        inputs=["agave://data-sd2e-community/uploads/tacc/a.csv"],
        data={"inputs": ["/products/v2/b.json"], "parameters": {"reference": url}},
    )
    files = [UUIDS["/uploads/tacc/a.csv"], UUIDS["/products/v2/b.json"]]
    assert (job.acted_on, job.acted_using) == (sorted(files), [reference])


def test_values_that_are_not_text_are_skipped(make: Make) -> None:
    # decision: the original fails on them
    odd = [None, 7, True, [1.5], {"a": None}]
    job = make(
        inputs=[*odd, "/uploads/tacc/a.csv"],
        data={"inputs": odd, "parameters": {"p": odd, "q": 1}},
    )
    assert (job.acted_on, job.acted_using) == ([UUIDS["/uploads/tacc/a.csv"]], [])


# The callback


@pytest.mark.parametrize("base", ["https://api.example.org", "https://api.example.org/"])
def test_the_callback_names_the_manager_and_the_job(base: str, make: Make) -> None:
    job = make(session="solid-snake", api_server=base).setup()
    assert job.callback == (
        f"https://api.example.org/actors/v2/{PIPELINES['job_manager_id']}/messages"
        f"?x-nonce=TEST_nonce&token={job.token}&uuid={job.uuid}&session=solid-snake"
    )


@pytest.mark.parametrize("nonce", [{}, {"job_manager_nonce": ""}, {"job_manager_nonce": None}])
def test_without_a_nonce_the_callback_has_none(nonce: dict[str, Any], make: Make) -> None:
    job = make(pipelines={**VECTORS["pipelines"], **nonce}).setup()
    assert job.callback is not None
    assert set(parse_qs(urlsplit(job.callback).query)) == {"token", "uuid", "session"}


def test_the_indexer_has_a_callback_of_its_own(make: Make) -> None:
    indexer = {"job_indexer_id": "jobs-indexer", "job_indexer_nonce": "OTHER_nonce"}
    job = make(pipelines={**PIPELINES, **indexer}, session="solid-snake").setup()
    assert job.indexer_callback == (
        "https://api.sd2e.org/actors/v2/jobs-indexer/messages"
        f"?x-nonce=OTHER_nonce&token={job.token}&uuid={job.uuid}&session=solid-snake"
    )
    assert make().setup().indexer_callback is None


def test_notifications_report_the_status_of_the_platform_job(managed: ManagedPipelineJob) -> None:
    assert managed.agave_notifications() == [
        {
            "event": "RUNNING",
            "persistent": True,
            "url": f"{managed.callback}&status=${{JOB_STATUS}}&job_id=${{JOB_ID}}",
        },
        {
            "event": "FINISHED",
            "persistent": False,
            "url": f"{managed.callback}&status=FINISHED&job_id=${{JOB_ID}}",
        },
        {
            "event": "FAILED",
            "persistent": False,
            "url": f"{managed.callback}&status=${{JOB_STATUS}}&job_id=${{JOB_ID}}",
        },
    ]


def test_the_subscription_of_a_tapis_job_is_to_the_callback(managed: ManagedPipelineJob) -> None:
    (subscription,) = managed.tapis_notifications()
    assert subscription["deliveryTargets"] == [
        {"deliveryMethod": "WEBHOOK", "deliveryAddress": managed.callback}
    ]


@pytest.mark.parametrize("pipelines", [PIPELINES, {"pipeline_uuid": PIPELINES["pipeline_uuid"]}])
def test_there_are_no_notifications_without_a_callback(
    pipelines: dict[str, str], make: Make
) -> None:
    job = make(pipelines=pipelines)
    if "job_manager_id" not in pipelines:
        job.setup()
    for notifications in (job.agave_notifications, job.tapis_notifications):
        with pytest.raises(ManagedPipelineJobError, match=r"^There is no callback: "):
            notifications()


# A job that is there already


def test_attach_finds_the_job_that_setup_would(make: Make, managed: ManagedPipelineJob) -> None:
    managed.run()
    job = make(experiment_id=EXPERIMENT, data={"tacos": 3}).attach()
    assert (job.uuid, job.token, job.callback) == (managed.uuid, managed.token, managed.callback)
    assert job.archive_uri() == managed.archive_uri()
    assert job.finish()["state"] == "FINISHED"


def test_attach_does_not_create_a_job(make: Make, db: Db) -> None:
    with pytest.raises(ManagedPipelineJobError, match=r"^No job exists with UUID 107"):
        make(experiment_id=EXPERIMENT).attach()
    assert db["jobs"].count_documents({}) == 0


def test_load_takes_over_a_job(make: Make, managed: ManagedPipelineJob) -> None:
    job = make(data={"burritos": 1}, session="liquid-snake").load(str(managed.uuid))
    assert (job.uuid, job.token, job.callback) == (managed.uuid, managed.token, managed.callback)
    assert (job.archive_uri(), job.data) == (managed.archive_uri(), {"tacos": 3})
    assert job.run()["state"] == "RUNNING"


@pytest.mark.parametrize("path", ["agave://data-sd2e-community/products/v2/a", 5])
def test_an_archive_path_that_is_none_is_refused(path: Any, make: Make) -> None:
    with pytest.raises(ManagedPipelineJobError, match=r"^'archive_path' is "):
        make(archive_path=path)


def test_what_its_giver_changes_later_in_the_data_is_not_the_jobs(make: Make) -> None:
    data: dict[str, Any] = {"salsa": {"hot": True}}
    job = make(data=data)
    data["salsa"]["hot"] = False
    assert job.setup().data == {"salsa": {"hot": True}}
    assert job.archive_path == make(data={"salsa": {"hot": True}}).archive_path

    more = {"tortilla": ["corn"]}
    job.setup(more)
    more["tortilla"].append("wheat")
    assert job.data["tortilla"] == ["corn"]


@pytest.mark.parametrize("data", [[1, 2], "text", 7])
def test_load_takes_over_a_job_with_any_data(data: Any, make: Make, jobs: PipelineJobStore) -> None:
    stored = jobs.create(
        {
            "pipeline_uuid": PIPELINES["pipeline_uuid"],
            "archive_path": "/products/v2/a",
            "data": data,
        }
    )
    job = make().load(stored["uuid"])
    assert job.run()["data"] == data


def test_load_of_an_unknown_job_is_an_error(make: Make, managed: ManagedPipelineJob) -> None:
    managed.delete()
    for uuid in ("107deadb-dead-5ead-8ead-deaddeaddead", str(managed.uuid)):
        with pytest.raises(ManagedPipelineJobError) as refused:
            make().load(uuid)
        assert str(refused.value) == f"No job exists with UUID {uuid}"


# The job of a running actor


@pytest.fixture
def environ(mongodb: dict[str, Any], make: Make) -> dict[str, str]:
    """What the platform gives to an actor."""
    return {
        "MSG": "{}",
        "_abaco_actor_id": "G56vjoAVzGkkq",
        "_abaco_execution_id": "D0ZxR0wPLpoJA",
        "_abaco_api_server": "https://api.example.org/",
        "x_session": "solid-snake",
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
        "_REACTOR_PIPELINES_PIPELINE_UUID": PIPELINES["pipeline_uuid"],
        "_REACTOR_PIPELINES_JOB_MANAGER_ID": "jobs",
        "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": "TEST_nonce",
    }


def reactor(environ: dict[str, str]) -> Reactor:
    return Reactor(environ, folders=[ROOT])


def test_an_actor_tells_its_job_who_runs_it(environ: dict[str, str], db: Db) -> None:
    job = ReactorManagedPipelineJob(reactor(environ), {"tacos": 3}, sample_id=SAMPLE).setup()
    stored: Document = db["jobs"].find_one({}) or {}
    agent = "https://api.example.org/actors/v2/G56vjoAVzGkkq"
    assert stored["uuid"] == job.uuid
    assert (stored["agent"], stored["task"]) == (agent, f"{agent}/executions/D0ZxR0wPLpoJA")
    assert stored["session"] == "solid-snake"
    assert stored["data"] == {"tacos": 3}
    assert stored["child_of"] == [UUIDS[SAMPLE]]
    assert job.callback == (
        "https://api.example.org/actors/v2/jobs/messages"
        f"?x-nonce=TEST_nonce&token={job.token}&uuid={job.uuid}&session=solid-snake"
    )
    assert job.run()["state"] == "RUNNING"


def test_an_actor_clears_the_archive_path_of_its_job(
    environ: dict[str, str], storage: Storage, admin_token: str
) -> None:
    job = ReactorManagedPipelineJob(reactor({**environ, **storage.environ}), {"tacos": 3}).setup()
    place = f"{job.archive_system}:{job.archive_path}"
    assert place in storage.paths
    storage.put(f"{place}/a.csv")
    job.reset(token=admin_token)
    assert place in storage.paths
    assert f"{place}/a.csv" not in storage.paths


def test_without_an_agent_a_job_is_of_the_actor_that_this_is(
    environ: dict[str, str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_abaco_actor_id", "_abaco_execution_id", "_abaco_api_server"):
        monkeypatch.setenv(name, environ[name])
    job = make().setup()
    agent = "https://api.example.org/actors/v2/G56vjoAVzGkkq"
    assert (job.agent, job.task) == (agent, f"{agent}/executions/D0ZxR0wPLpoJA")
    other = make(agent="bbq-brisket-0.5.0", data={"tacos": 4}).setup()
    assert (other.agent, other.task) == ("https://api.example.org/apps/v2/bbq-brisket-0.5.0", None)


def test_an_actor_has_the_same_job_as_any_other_with_these_inputs(
    environ: dict[str, str], make: Make
) -> None:
    theirs = ReactorManagedPipelineJob(reactor(environ), {"tacos": 3}).setup()
    assert make(data={"tacos": 3}).setup().uuid == theirs.uuid


def test_what_an_actor_says_itself_wins(environ: dict[str, str]) -> None:
    job = ReactorManagedPipelineJob(reactor(environ), session="liquid-snake", agent="me").setup()
    assert job.job is not None
    assert (job.job["session"], job.job["agent"]) == ("liquid-snake", "me")


def test_an_actor_without_a_session_makes_one_up(environ: dict[str, str]) -> None:
    del environ["x_session"]
    job = ReactorManagedPipelineJob(reactor(environ)).setup()
    assert job.job is not None
    assert re.fullmatch(r"[a-z]+-[a-z]+", job.job["session"])
