from __future__ import annotations

import datetime
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused, JobUpdateFailure, PipelineJobStore
from datacatalog.managers.pipelinejobs import (
    ManagedPipelineJob,
    ManagedPipelineJobError,
    ManagedPipelineJobInstance,
    UnknownInstance,
)
from datacatalog.managers.pipelinejobs.instance import KEPT
from datacatalog.mongo import Db
from datacatalog.tokens import InvalidToken
from tests.datacatalog.conftest import EXPERIMENT, Make

EVENTS = [
    ("run", "RUNNING"),
    ("resource", "RUNNING"),
    ("update", "RUNNING"),
    ("finish", "FINISHED"),
    ("index", "INDEXING"),
    ("indexed", "FINISHED"),
    ("validate", "VALIDATING"),
    ("validated", "VALIDATED"),
    ("finalize", "FINALIZED"),
    ("retire", "RETIRED"),
]


# Events


def test_each_event_has_a_method(managed: ManagedPipelineJob, admin_token: str) -> None:
    for number, (event, state) in enumerate(EVENTS):
        result = getattr(managed, event)({"number": number})
        assert (result["state"], result["last_event"]) == (state, event)
        assert result["history"][-1]["data"] == {"number": number}
        assert managed.job == result
    assert [entry["name"] for entry in managed.history()] == ["create", *(e for e, _ in EVENTS)]


def test_a_job_can_be_rejected(managed: ManagedPipelineJob) -> None:
    for event in ("run", "finish", "validate"):
        getattr(managed, event)()
    assert managed.reject({"because": "cold"})["state"] == "REJECTED"


def test_a_job_that_has_begun_can_fail(managed: ManagedPipelineJob) -> None:
    managed.run()
    assert managed.fail({"because": "burnt"})["state"] == "FAILED"


def test_reset_and_ready_need_an_administrative_token(admin_token: str, make: Make) -> None:
    job = make().setup()
    job.run()
    with pytest.raises(InvalidToken):
        job.reset()
    assert job.reset(token=admin_token)["state"] == "CREATED"
    assert [entry["name"] for entry in job.history()][-2:] == ["reset", "ready"]
    with pytest.raises(InvalidToken):
        job.ready()
    assert job.run()["state"] == "RUNNING"


def test_an_event_may_be_sent_with_another_token(managed: ManagedPipelineJob) -> None:
    with pytest.raises(InvalidToken):
        managed.run(token="0123456789abcdef")
    assert managed.run(token=managed.token)["state"] == "RUNNING"


def test_the_answer_of_the_platform_may_be_the_data_of_an_event(
    managed: ManagedPipelineJob,
) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-6))
    moment = datetime.datetime(2026, 11, 23, 10, 0, 0, 5000, zone)
    job = managed.run({"launched": {"submitTime": moment, "id": "7"}, "days": (moment.date(),)})
    assert job["history"][-1]["data"] == {
        "launched": {"submitTime": "2026-11-23T10:00:00.005000-06:00", "id": "7"},
        "days": ["2026-11-23"],
    }


def test_data_that_contains_itself_is_refused(managed: ManagedPipelineJob) -> None:
    data: dict[str, Any] = {}
    data["again"] = [data]
    with pytest.raises(JobUpdateFailure, match="is nested more than 64 levels deep"):
        managed.run(data)


def test_a_refused_event_leaves_the_job_as_it_was(managed: ManagedPipelineJob) -> None:
    managed.run()
    with pytest.raises(EventRefused):
        managed.index()
    assert managed.job is not None
    assert managed.job["state"] == "RUNNING"
    assert managed.finish()["state"] == "FINISHED"


@pytest.mark.parametrize("call", ["run", "fail", "cancel", "delete", "history"])
def test_a_job_that_is_not_set_up_says_so(call: str, make: Make) -> None:
    with pytest.raises(ManagedPipelineJobError) as refused:
        getattr(make(), call)()
    assert str(refused.value) == "The job is not set up yet: call setup() first"


def test_the_history_can_be_read_in_parts(managed: ManagedPipelineJob) -> None:
    for number in range(4):
        managed.run({"number": number})
    assert [e["data"] for e in managed.history(limit=2, skip=2)] == [{"number": 1}, {"number": 2}]


# Cancelling and deleting


@pytest.mark.parametrize("call", ["cancel", "fail"])
def test_a_job_without_events_is_cancelled_and_gone(
    call: str, managed: ManagedPipelineJob, db: Db
) -> None:
    removed = getattr(managed, call)()
    assert removed["uuid"] == managed.uuid
    assert db["jobs"].count_documents({}) == 0
    assert (
        db["updates"].count_documents(
            {"uuid": managed.uuid, "action": "delete", "document": {"$exists": True}}
        )
        == 1
    )


def test_a_cancelled_job_can_be_set_up_again(managed: ManagedPipelineJob) -> None:
    managed.cancel()
    assert managed.setup().run()["state"] == "RUNNING"
    assert [entry["name"] for entry in managed.history()] == ["create", "run"]


def test_a_job_with_events_cannot_be_cancelled(managed: ManagedPipelineJob) -> None:
    managed.run()
    with pytest.raises(ManagedPipelineJobError, match=r"it has had events already; use fail\(\)"):
        managed.cancel()
    assert managed.finish()["state"] == "FINISHED"


def test_a_job_is_cancelled_with_a_token_only(managed: ManagedPipelineJob, db: Db) -> None:
    with pytest.raises(InvalidToken):
        managed.cancel("0123456789abcdef")
    assert db["jobs"].count_documents({}) == 1


def test_a_deleted_job_is_hidden_or_with_force_removed(
    managed: ManagedPipelineJob, jobs: PipelineJobStore, db: Db
) -> None:
    managed.run()
    managed.delete()
    assert jobs.find_one_by_uuid(str(managed.uuid)) is None
    assert db["jobs"].count_documents({}) == 1
    managed.delete(force=True)
    assert db["jobs"].count_documents({}) == 0


# A job that exists


def test_an_existing_job_is_followed_by_its_uuid(
    managed: ManagedPipelineJob, mongodb: dict[str, Any]
) -> None:
    managed.run()
    job = ManagedPipelineJobInstance(mongodb, str(managed.uuid))
    assert (job.uuid, job.token) == (managed.uuid, managed.token)
    assert job.archive_uri() == managed.archive_uri()
    assert job.finish({"tacos": 3})["state"] == "FINISHED"
    assert [entry["name"] for entry in job.history()] == ["create", "run", "finish"]


def test_an_existing_job_has_what_it_was_made_with(make: Make, mongodb: dict[str, Any]) -> None:
    patterns = [{"patterns": [r"\.csv$"], "level": "1"}]
    made = make(
        experiment_id=EXPERIMENT,
        data={"tacos": 3, "$salsa": "hot"},
        session="solid-snake",
        archive_patterns=patterns,
    ).setup()
    job: Any = ManagedPipelineJobInstance(mongodb, str(made.uuid))
    assert {name: getattr(job, name) for name in KEPT} == {
        name: getattr(made, name) for name in KEPT
    }
    assert (job.data, job.session) == ({"tacos": 3, "$salsa": "hot"}, "solid-snake")
    assert (job.archive_patterns, job.product_patterns) == (patterns, [])


def test_an_existing_job_without_events_is_cancelled(
    managed: ManagedPipelineJob, mongodb: dict[str, Any], db: Db
) -> None:
    ManagedPipelineJobInstance(mongodb, str(managed.uuid)).fail()
    assert db["jobs"].count_documents({}) == 0


def test_a_job_that_does_not_exist_cannot_be_followed(
    mongodb: dict[str, Any], managed: ManagedPipelineJob
) -> None:
    unknown = "107deadb-dead-5ead-8ead-deaddeaddead"
    with pytest.raises(ManagedPipelineJobError, match=unknown):
        ManagedPipelineJobInstance(mongodb, unknown)
    managed.delete()
    with pytest.raises(ManagedPipelineJobError, match=str(managed.uuid)):
        ManagedPipelineJobInstance(mongodb, str(managed.uuid))


@pytest.mark.parametrize("uuid", [None, 107, {}])
def test_what_is_no_string_names_no_job(
    uuid: Any, mongodb: dict[str, Any], managed: ManagedPipelineJob
) -> None:
    with pytest.raises(
        UnknownInstance, match=r"^No job exists with UUID .*, which is not a string$"
    ):
        ManagedPipelineJobInstance(mongodb, uuid)
    with pytest.raises(UnknownInstance):
        managed.load(uuid)


def test_state_and_last_event_follow_the_job(
    managed: ManagedPipelineJob, mongodb: dict[str, Any]
) -> None:
    assert (managed.state, managed.last_event) == ("CREATED", "create")
    managed.run()
    assert (managed.state, managed.last_event) == ("RUNNING", "run")
    instance = ManagedPipelineJobInstance(mongodb, str(managed.uuid))
    assert (instance.state, instance.last_event) == ("RUNNING", "run")
    instance.finish()
    assert (instance.state, instance.last_event) == ("FINISHED", "finish")


def test_a_job_that_is_gone_has_no_state(managed: ManagedPipelineJob, make: Make) -> None:
    assert (make().state, make().last_event) == (None, None)
    managed.cancel()
    assert (managed.state, managed.last_event) == (None, None)


@pytest.mark.parametrize("data", [0, False, [], "", 0.0])
def test_data_that_are_false_are_kept(data: Any, managed: ManagedPipelineJob) -> None:
    for event in (("run", data), ({"name": "run", "data": data},)):
        kept = managed.handle(*event)["history"][-1]["data"]
        assert (kept, type(kept)) == (data, type(data))
    assert managed.handle("run")["history"][-1]["data"] == {}
