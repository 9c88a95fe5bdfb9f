from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from datacatalog import tokens
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import (
    EventRefused,
    JobCreateFailure,
    JobError,
    JobUpdateFailure,
    PipelineJobStore,
    UnknownJob,
    UnknownPipeline,
)
from datacatalog.mongo import Db, Document
from datacatalog.paths import PRODUCTS
from tests.datacatalog.conftest import OTHER_UUID, Send
from tests.datacatalog.jobs import LIFE, PATH, audit, date_of, fields, stored
from tests.datacatalog.vectors import VECTORS, cases, check

# Identifiers


@cases("job_uuid")
def test_a_job_has_the_uuid_that_the_original_gave_it(
    vector: dict[str, Any], jobs: PipelineJobStore, db: Db
) -> None:
    known = [{"uuid": uuid} for kind, _, uuid, _ in VECTORS["catalog"] if kind == "pipelines"]
    db["pipelines"].insert_many(known)
    if vector["call"] == "get_typeduuid":
        check(vector, lambda: jobs.get_typeduuid(vector["input"]))
    else:
        check(vector, lambda: jobs.uuid_from_properties(**vector["input"]))


@cases("job_uuid")
def test_a_job_is_created_under_that_uuid(
    vector: dict[str, Any], jobs: PipelineJobStore, db: Db
) -> None:
    given = {"archive_path": PATH, **vector["input"]}
    if "output" not in vector or None in (given.get("data"), given.get("pipeline_uuid")):
        with pytest.raises(JobCreateFailure):
            jobs.create(given)
    else:
        db["pipelines"].insert_one({"uuid": given["pipeline_uuid"]})
        assert jobs.create(given)["uuid"] == vector["output"]


# Creating


def test_a_new_job_has_all_fields_of_a_job(jobs: PipelineJobStore, pipeline: Document) -> None:
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(milliseconds=1)
    created = jobs.create(fields(pipeline, data={"tacos": 3}))
    after = datetime.datetime.now(datetime.timezone.utc)
    properties = created.pop("_properties")
    salt, token, history = created.pop("_salt"), created.pop("_update_token"), created["history"]
    assert created == {
        "uuid": jobs.get_typeduuid(fields(pipeline, data={"tacos": 3}, child_of=[])),
        "pipeline_uuid": pipeline["uuid"],
        "archive_path": PATH,
        "archive_system": "data-sd2e-community",
        "archive_patterns": [],
        "product_patterns": [],
        "data": {"tacos": 3},
        "session": None,
        "agent": None,
        "task": None,
        "generated_by": [pipeline["uuid"]],
        "child_of": [],
        "acted_on": [],
        "acted_using": [],
        "state": "CREATED",
        "last_event": "create",
        "updated": properties["created_date"],
        "history": history,
        "_visible": True,
        "_admin": {"owner": "sd2eadm", "project": "SD2E-Community", "tenant": "sd2e"},
    }
    assert before <= properties["created_date"] == properties["modified_date"] <= after
    assert (properties["revision"], properties["source"]) == (0, "jobs-manager")
    assert token == tokens.get_token(salt, [created["uuid"], created["_admin"]])
    (first,) = history
    assert (first["name"], first["data"], first["date"]) == (
        "create",
        {"tacos": 3},
        date_of(first),
    )
    assert first["date"] == created["updated"]
    assert typeduuid.get_uuidtype(first["uuid"]) == "pipelinejob_event"
    assert typeduuid.validate(created["uuid"])


def test_given_fields_are_kept(jobs: PipelineJobStore, pipeline: Document) -> None:
    parent = VECTORS["catalog"][2][3]
    given = {
        "archive_system": "data-tacos",
        "archive_patterns": [{"level": "1", "patterns": ["\\.csv$"]}],
        "product_patterns": [{"patterns": [], "derived_from": ["./a"]}],
        "session": "solid-snake",
        "agent": "https://api.example.org/actors/v2/cook",
        "task": "https://api.example.org/actors/v2/cook/executions/7",
        "child_of": [parent],
        "acted_on": [VECTORS["catalog"][-1][3]],
        "acted_using": [VECTORS["catalog"][-3][3]],
        "generated_by": [pipeline["uuid"], parent],
    }
    created = jobs.create(fields(pipeline, **given))
    assert {name: created[name] for name in given} == given


def test_an_owner_can_be_named(jobs: PipelineJobStore, pipeline: Document) -> None:
    created = jobs.create(fields(pipeline), owner="cook")
    assert created["_admin"]["owner"] == "cook"
    jobs.handle({"uuid": created["uuid"], "name": "run"}, created["_update_token"])


def test_a_caller_cannot_set_what_the_catalog_keeps(
    jobs: PipelineJobStore, pipeline: Document
) -> None:
    forged = {
        "uuid": "107deadb-dead-5ead-8ead-deaddeaddead",
        "state": "FINALIZED",
        "last_event": "finalize",
        "history": [{"name": "finalize"}],
        "updated": "tomorrow",
        "_admin": {"owner": "me"},
        "_salt": "known",
        "_visible": False,
        "_properties": {"revision": 7},
        "_update_token": "x",
        "_untold": 7,
    }
    created, plain = jobs.create(fields(pipeline, **forged)), jobs.get_typeduuid(fields(pipeline))
    assert created["uuid"] == jobs.get_typeduuid(fields(pipeline, child_of=[])) != plain
    assert (created["state"], created["last_event"]) == ("CREATED", "create")
    assert [entry["name"] for entry in created["history"]] == ["create"]
    assert created["_admin"]["owner"] == "sd2eadm"
    assert created["_properties"]["revision"] == 0
    assert created["_salt"] != "known"
    assert jobs.find_one_by_uuid(created["uuid"]) is not None


@pytest.mark.parametrize("missing", ["pipeline_uuid", "archive_path", "data"])
@pytest.mark.parametrize("present", [False, True])
def test_a_missing_field_is_named(
    missing: str,
    present: bool,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    given = {**fields(pipeline), missing: None}
    if not present:
        del given[missing]
    with pytest.raises(JobCreateFailure) as refused:
        jobs.create(given)
    assert f"'{missing}' missing" in str(refused.value)
    assert db["jobs"].count_documents({}) == 0


@pytest.mark.parametrize(
    "uuid", ["106deadb-dead-5ead-8ead-deaddeaddead", "nope", "", 7, {"$ne": None}, ["x"]]
)
def test_a_job_of_an_unknown_pipeline_is_refused(
    uuid: Any, jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    with pytest.raises(JobCreateFailure) as refused:
        jobs.create({**fields(pipeline), "pipeline_uuid": uuid})
    reason, cause = refused.value.args
    assert reason == "Failed to validate pipeline UUID"
    assert isinstance(cause, UnknownPipeline)
    assert str(cause) == f"No pipeline exists with UUID {uuid}"
    assert db["jobs"].count_documents({}) == 0


def test_a_job_of_a_hidden_pipeline_is_refused(
    jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    db["pipelines"].update_one({}, {"$set": {"_visible": False}})
    with pytest.raises(JobCreateFailure):
        jobs.create(fields(pipeline))


def test_the_same_job_again_is_the_existing_one_with_all_its_events(
    jobs: PipelineJobStore, job: Document, pipeline: Document, send: Send, db: Db
) -> None:
    send("run", {"step": 1})
    before = stored(db, job)
    again = jobs.create({**fields(pipeline, data={"tacos": 3}), "session": "another-snake"})
    assert stored(db, job) == before
    assert db["jobs"].count_documents({}) == 1
    assert (again["state"], again["last_event"], again["session"]) == ("RUNNING", "run", None)
    assert [entry["name"] for entry in again["history"]] == ["create", "run"]
    assert again["_update_token"] == job["_update_token"]
    assert [row["action"] for row in audit(db, job)] == ["create"]


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("archive_path", 5, "a string"),
        ("archive_system", ["x"], "a string"),
        ("archive_patterns", 7, "a list"),
        ("product_patterns", {"patterns": []}, "a list"),
        ("child_of", 7, "a list of UUIDs"),
        ("child_of", [7], "a list of UUIDs"),
        ("generated_by", {}, "a list of UUIDs"),
        ("acted_on", False, "a list of UUIDs"),
        ("acted_using", 0, "a list of UUIDs"),
        ("session", 5, "a string"),
        ("agent", [], "a string"),
        ("task", {}, "a string"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(
    field: str, value: Any, wanted: str, jobs: PipelineJobStore, pipeline: Document, db: Db
) -> None:
    with pytest.raises(JobCreateFailure) as refused:
        jobs.create(fields(pipeline, **{field: value}))
    kind = type(value).__name__
    assert str(refused.value) == f"'{field}' is {value!r} ({kind}), and has to be {wanted}"
    assert db["jobs"].count_documents({}) == 0


@pytest.mark.parametrize("uri", ["agave://data-tacos/a", " s3://bucket/a", "HTTPS://x.org/a"])
def test_an_archive_path_that_is_a_uri_is_refused(
    uri: str, jobs: PipelineJobStore, pipeline: Document
) -> None:
    problem = (
        f"'archive_path' is the URI {uri!r}: give its path, and its system as 'archive_system'"
    )
    with pytest.raises(JobCreateFailure, match=f"^{re.escape(problem)}$"):
        jobs.create(fields(pipeline, archive_path=uri))


@pytest.mark.parametrize(
    ("given", "kept"), [("a/b", f"{PRODUCTS}/a/b"), ("/a:/b", "/a:/b"), ("a:b", f"{PRODUCTS}/a:b")]
)
def test_an_archive_path_that_is_not_absolute_is_below_the_products(
    given: str, kept: str, jobs: PipelineJobStore, pipeline: Document
) -> None:
    assert jobs.create(fields(pipeline, archive_path=given))["archive_path"] == kept


def test_one_link_is_stored_as_a_list(jobs: PipelineJobStore, pipeline: Document) -> None:
    links = ("child_of", "acted_on", "acted_using", "generated_by")
    one = jobs.create(fields(pipeline, **dict.fromkeys(links, OTHER_UUID)))
    assert [one[link] for link in links] == [[OTHER_UUID]] * 4


def test_what_is_none_is_as_if_it_was_not_given(jobs: PipelineJobStore, pipeline: Document) -> None:
    names = ("archive_system", "archive_patterns", "acted_on", "session")
    job = jobs.create(fields(pipeline, **dict.fromkeys(names)))
    assert [job[name] for name in names] == ["data-sd2e-community", [], [], None]


def test_find_or_create_tells_whether_the_job_is_new(
    jobs: PipelineJobStore, pipeline: Document
) -> None:
    first, new = jobs.find_or_create(fields(pipeline))
    again, new_again = jobs.find_or_create(fields(pipeline))
    assert (new, new_again) == (True, False)
    assert first["uuid"] == again["uuid"]


def test_other_data_is_another_job(jobs: PipelineJobStore, pipeline: Document) -> None:
    values: list[Any] = [{}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, [1], "text", 0, False]
    made = {jobs.create(fields(pipeline, data=value))["uuid"] for value in values}
    assert len(made) == len(values)


# Events


def test_each_event_leads_through_the_life_of_a_job(
    job: Document, jobs: PipelineJobStore, send: Send
) -> None:
    for number, (event, state) in enumerate(LIFE, start=1):
        result = send(event, {"number": number})
        assert (result["state"], result["last_event"]) == (state, event)
        assert result["_properties"]["revision"] == number
        assert result["history"][-1]["data"] == {"number": number}
        assert result["updated"] == result["history"][-1]["date"] == date_of(result["history"][-1])
        assert result["_update_token"] == job["_update_token"]
    history = jobs.history(job["uuid"])
    assert [entry["name"] for entry in history] == ["create", *(event for event, _ in LIFE)]
    assert [set(entry) for entry in history] == [{"date", "name", "data", "uuid"}] * len(history)
    assert len({entry["uuid"] for entry in history}) == len(history)
    assert all(typeduuid.get_uuidtype(e["uuid"]) == "pipelinejob_event" for e in history)


def test_the_dates_of_events_do_not_go_back(job: Document, send: Send, db: Db) -> None:
    # as if the event before had been written by a machine whose clock is ahead
    ahead = job["updated"] + datetime.timedelta(hours=1)
    db["jobs"].update_one({}, {"$set": {"updated": ahead}})
    result = send("run")
    assert result["history"][-1]["date"] == result["updated"] == ahead


@pytest.mark.parametrize(
    ("life", "state"),
    [
        (["fail"], "FAILED"),
        (["run", "fail", "retire"], "RETIRED"),
        (["run", "finish", "validate", "reject", "retire"], "RETIRED"),
        (["run", "finish", "retire"], "RETIRED"),
    ],
)
def test_a_job_can_end_badly(life: list[str], state: str, send: Send) -> None:
    results = [send(event) for event in life]
    assert [result["last_event"] for result in results] == life
    assert results[-1]["state"] == state


def test_what_is_returned_is_what_is_stored(
    job: Document, jobs: PipelineJobStore, send: Send
) -> None:
    result = send("run", {"a.b": {"$c": None}})
    assert result.pop("_update_token") == job["_update_token"]
    assert jobs.find_one_by_uuid(job["uuid"]) == result


@pytest.mark.parametrize("name", ["RUN", "Run", "rUN"])
def test_names_of_events_are_taken_in_any_case(name: str, send: Send) -> None:
    result = send(name)
    assert (result["last_event"], result["history"][-1]["name"]) == ("run", "run")


@pytest.mark.parametrize("name", ["explode", "", "run ", "$set", None, 7])
def test_an_unknown_event_is_refused(name: Any, jobs: PipelineJobStore, job: Document) -> None:
    with pytest.raises(JobUpdateFailure, match=r"there is no event .*: use one of create, run, "):
        jobs.handle({"uuid": job["uuid"], "name": name}, job["_update_token"])


def test_an_event_without_data_has_an_empty_object(jobs: PipelineJobStore, job: Document) -> None:
    for event in ({"name": "run"}, {"name": "run", "data": None}):
        result = jobs.handle({"uuid": job["uuid"], **event}, job["_update_token"])
        assert result["history"][-1]["data"] == {}


@pytest.mark.parametrize("data", [[], [1], "", "text", 0, 7, 1.5, False, True])
def test_the_data_of_an_event_may_be_any_json(data: Any, send: Send) -> None:
    kept = send("run", data)["history"][-1]["data"]
    assert (kept, type(kept)) == (data, type(data))


@pytest.mark.parametrize("uuid", ["107deadb-dead-5ead-8ead-deaddeaddead", "", None, {"$ne": None}])
def test_an_event_of_an_unknown_job_is_refused(
    uuid: Any, jobs: PipelineJobStore, job: Document
) -> None:
    with pytest.raises(UnknownJob) as refused:
        jobs.handle({"uuid": uuid, "name": "run"}, job["_update_token"])
    assert str(refused.value) == f"No job exists with UUID {uuid}"
    assert isinstance(refused.value, JobError)


def test_a_refused_event_leaves_the_job_alone_and_is_kept(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    send("run")
    send("finish")
    before, logged = stored(db, job), audit(db, job)
    event = {
        "uuid": job["uuid"],
        "name": "run",
        "data": {"late.$": [None]},
        "token": job["_update_token"],
    }
    with pytest.raises(EventRefused) as refused:
        jobs.handle(event)
    assert str(refused.value) == (
        "run event: not allowed in state FINISHED, "
        "which allows only finish, index, indexed, validate, retire, reset"
    )
    assert stored(db, job) == before
    assert audit(db, job) == logged
    (row,) = db["rejected_events"].find({})
    assert row["uuid"] == job["uuid"]
    assert row["event"]["name"] == "run"
    assert row["event"]["data"] == {"late.$": [None]}
    assert (row["state"], row["reason"]) == ("FINISHED", str(refused.value))
    assert row["date"] >= before["updated"]
    assert job["_update_token"] not in str(row)


def test_a_refusal_names_the_execution_that_brought_the_event(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    with pytest.raises(EventRefused):
        jobs.apply(jobs.load(job["uuid"]), "finish", {}, key="k", execution_id="D0ZxR0wPLpoJA")
    (row,) = db["rejected_events"].find({})
    assert row["execution_id"] == "D0ZxR0wPLpoJA"


def test_each_refused_event_is_kept(job: Document, send: Send, db: Db) -> None:
    for number in range(3):
        with pytest.raises(EventRefused):
            send("finish", {"number": number})
    assert db["rejected_events"].count_documents({"uuid": job["uuid"]}) == 3


def test_a_redelivered_refused_event_is_kept_once(send: Send, db: Db) -> None:
    for _ in range(3):
        with pytest.raises(EventRefused):
            send("finish", {"number": 7}, key="7")
    assert db["rejected_events"].count_documents({}) == 1


def test_another_refused_event_with_the_same_key_is_kept_too(send: Send, db: Db) -> None:
    for name in ("finish", "index"):
        with pytest.raises(EventRefused):
            send(name, key="7")
    kept = [row["event"]["name"] for row in db["rejected_events"].find({})]
    assert sorted(kept) == ["finish", "index"]


def test_a_refused_event_can_come_again_when_its_time_has_come(send: Send) -> None:
    with pytest.raises(EventRefused):
        send("finish", key="7")
    send("run")
    assert send("finish", key="7")["state"] == "FINISHED"


# A connection that breaks


class Breaking(PipelineJobStore):
    """A store whose connection breaks once, when an event is committed."""

    breaks_before = False
    broken = False

    def commit(self, *args: Any, **operators: Any) -> bool:
        first, self.broken = not self.broken, True
        if first and self.breaks_before:
            raise AutoReconnect
        done = super().commit(*args, **operators)
        if first:
            raise AutoReconnect
        return done


@pytest.mark.parametrize("before", [False, True], ids=["after the write", "before the write"])
def test_an_event_arrives_once_though_the_connection_broke(
    before: bool,
    mongodb: dict[str, Any],
    job: Document,
    db: Db,
) -> None:
    store = Breaking(mongodb)
    store.breaks_before = before
    event = {"uuid": job["uuid"], "name": "run", "data": {"step": 1}}
    result = store.handle(event, job["_update_token"])
    assert store.broken
    assert (result["state"], result["_properties"]["revision"]) == ("RUNNING", 1)
    assert [entry["name"] for entry in store.history(job["uuid"])] == ["create", "run"]
    assert [entry["name"] for entry in result["history"]] == ["create", "run"]
    assert stored(db, job)["_properties"]["revision"] == 1


# The audit log


def test_every_change_is_in_the_audit_log(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    send("run")
    send("finish")
    for _ in range(2):
        jobs.delete(job["uuid"], job["_update_token"])
    jobs.undelete(job["uuid"], job["_update_token"])
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    rows = audit(db, job)
    actions = [row["action"] for row in rows]
    assert actions == ["create", "event", "event", "delete", "undelete", "hide", "delete"]
    assert [row.get("name") for row in rows[:3]] == ["create", "run", "finish"]
    assert [row.get("state") for row in rows[:3]] == ["CREATED", "RUNNING", "FINISHED"]
    assert all(row["_admin"] == job["_admin"] for row in rows)
    assert all(row["date"].utcoffset() == datetime.timedelta(0) for row in rows)
