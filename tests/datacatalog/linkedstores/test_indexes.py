"""The indexes of the jobs: each answers a question that is asked, and there is no other."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from datacatalog.linkedstores.basestore import CatalogUpdateFailure
from datacatalog.linkedstores.basestore.store import CREATED
from datacatalog.linkedstores.condition import missing_indexes, superfluous_indexes
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from tests.conftest import TACOBOT

_LATELY = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
QUESTIONS: dict[str, tuple[Document, str]] = {
    "a job": ({"uuid": "107"}, "uuid_1"),
    "jobs by age": ({CREATED: {"$gte": _LATELY}}, f"{CREATED}_1"),
    "jobs without a date": ({CREATED: None}, f"{CREATED}_1"),
    "jobs by their last event": ({"updated": {"$gte": _LATELY}}, "updated_1"),
    "jobs in states": ({"state": {"$in": ["FAILED", "RETIRED"]}}, f"state_1_{CREATED}_1"),
    "jobs in a state by age": (
        {"state": "FAILED", CREATED: {"$gte": _LATELY}},
        f"state_1_{CREATED}_1",
    ),
    "jobs of pipelines": ({"pipeline_uuid": {"$in": ["106"]}}, f"pipeline_uuid_1_{CREATED}_1"),
    "jobs of a pipeline by age": (
        {"pipeline_uuid": "106", CREATED: {"$gte": _LATELY}},
        f"pipeline_uuid_1_{CREATED}_1",
    ),
    "hidden jobs": ({"_visible": False}, f"_visible_1_{CREATED}_1"),
    "jobs about a job": ({"child_of": "107"}, "child_of_1"),
    "jobs by the beginning of their uuid": (
        {"uuid": {"$gte": "1074d54a", "$lt": "1074d54ag"}},
        "uuid_1",
    ),
    "what was not handed out": ({"_untold": {"$gte": 0}}, "_untold_1"),
}
FORMER = (
    "state",
    "pipeline_uuid",
    "archive_path",
    "_visible",
    "generated_by",
    "acted_on",
    "acted_using",
)


def index_used(db: Db, question: Document) -> str | None:
    """Return the index that the server takes for a question."""
    plan: Any = db["jobs"].find(question).explain()["queryPlanner"]["winningPlan"]
    while plan is not None:
        if "indexName" in plan:
            return str(plan["indexName"])
        plan = plan.get("inputStage")
    return None


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_question_has_its_index(name: str, job: Document, db: Db) -> None:
    question, index = QUESTIONS[name]
    assert index_used(db, question) == index


def test_there_is_no_index_without_a_question(job: Document, db: Db) -> None:
    asked = {index for _, index in QUESTIONS.values()}
    assert set(db["jobs"].index_information()) == asked | {"_id_"}
    assert len(asked) == 8


def test_the_children_of_a_job_are_found_by_their_index(
    jobs: PipelineJobStore, recorded_jobs: PipelineJobStore, recorder: Any, db: Db
) -> None:
    recorded_jobs.query({"child_of": "107"}, limit=5)
    (event,) = recorder.events
    # the first condition is the one whose index a server takes
    assert next(iter(event.command["filter"])) == "child_of"


def test_of_a_former_version_what_nobody_asks_is_dropped_and_nothing_else(
    jobs: PipelineJobStore, db: Db
) -> None:
    for field in FORMER:
        db["jobs"].create_index(field)
    db["jobs"].create_index("session")
    db["jobs"].create_index("task", name="agent_1")
    db["jobs"].create_index([("archive_path", 1), ("state", 1)])
    db["jobs"].create_index("acted_by", name="acted_on_1_")
    # it leads to what a former version had yet to announce
    db["jobs"].create_index("_outbox_due", sparse=True)
    assert set(superfluous_indexes(jobs)) == {f"jobs.{field}_1" for field in FORMER}
    jobs.ensure_indexes()
    assert missing_indexes(jobs) == superfluous_indexes(jobs) == []
    theirs = {"session_1", "agent_1", "archive_path_1_state_1", "acted_on_1_", "_outbox_due_1"}
    asked = {index for _, index in QUESTIONS.values()}
    assert set(db["jobs"].index_information()) == asked | theirs | {"_id_"}


def test_an_index_of_the_same_name_that_is_not_ours_stays(jobs: PipelineJobStore, db: Db) -> None:
    db["jobs"].create_index("archive_path", unique=True)
    db["jobs"].create_index([("acted_on", -1)], name="acted_on_1")
    jobs.ensure_indexes()
    assert {"archive_path_1", "acted_on_1"} <= set(db["jobs"].index_information())


def test_where_all_are_there_nothing_is_asked_to_be_made(
    recorded_jobs: PipelineJobStore, recorder: Any
) -> None:
    recorded_jobs.ensure_indexes()
    recorder.events.clear()
    recorded_jobs.ensure_indexes()
    assert {command.split()[0] for command in recorder.commands} == {"listIndexes"}


def test_pipelines_that_others_wrote_without_an_id_do_not_count_as_alike(
    mongodb: dict[str, Any], db: Db
) -> None:
    without: list[Document] = [{}, {}, {"id": None}, {"id": None}]
    db["pipelines"].insert_many([{"uuid": f"106{n}", **each} for n, each in enumerate(without)])
    store = PipelineStore(mongodb)
    store.add_update_document(TACOBOT)
    assert missing_indexes(store) == []
    assert store.find_one_by_id(id="tacobot") is not None
    with pytest.raises(DuplicateKeyError):
        db["pipelines"].insert_one({"uuid": "1069", "id": "tacobot"})
    plan = db["pipelines"].find({"id": "tacobot"}).explain()["queryPlanner"]["winningPlan"]
    assert plan["inputStage"]["indexName"] == "id_1"


def test_documents_that_have_one_identifier_are_named(mongodb: dict[str, Any], db: Db) -> None:
    db["pipelines"].insert_many([{"uuid": f"106{n}", "id": "tacobot"} for n in range(2)])
    with pytest.raises(
        CatalogUpdateFailure, match=r"collection pipelines.*tacobot.*remove all but"
    ):
        PipelineStore(mongodb).add_update_document({**TACOBOT, "id": "another"})


def test_the_index_of_a_former_version_does(mongodb: dict[str, Any], db: Db) -> None:
    db["pipelines"].create_index("id", unique=True)
    PipelineStore(mongodb).ensure_indexes()
    assert db["pipelines"].index_information()["id_1"] == {
        "v": 2,
        "key": [("id", 1)],
        "unique": True,
    }
