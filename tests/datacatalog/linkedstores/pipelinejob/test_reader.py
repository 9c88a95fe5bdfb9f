from __future__ import annotations

from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore, UnknownJob
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Send

EVENTS = 60
SKIPS = [None, 0, 1, 19, 20, 21, 39, 40, 41, 50, 59, 60, 61, 500]
LIMITS = [None, 0, 1, 2, 20, 21, 40, 61, 500]


@pytest.fixture
def three(jobs: PipelineJobStore, pipeline: Document) -> list[str]:
    """Three jobs, the second of them RUNNING and the third hidden."""
    made = [
        jobs.create(
            {
                "pipeline_uuid": pipeline["uuid"],
                "archive_path": f"/products/v2/{number}",
                "data": {"number": number, "a.b": {"$c": number}},
                "session": "solid-snake",
            }
        )
        for number in range(3)
    ]
    jobs.handle({"uuid": made[1]["uuid"], "name": "run"}, made[1]["_update_token"])
    jobs.delete(made[2]["uuid"], made[2]["_update_token"])
    return [job["uuid"] for job in made]


def test_every_slice_of_a_long_history_is_that_of_the_whole(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(EVENTS):
        send("run", {"number": number})
    whole = jobs.history(job["uuid"])
    assert [entry["data"] for entry in whole[1:]] == [{"number": n} for n in range(EVENTS)]
    assert db["jobs_history"].count_documents({}) >= 2
    for skip in SKIPS:
        for limit in LIMITS:
            begin = skip or 0
            end = None if limit is None else begin + limit
            shown = jobs.history(job["uuid"], limit=limit, skip=skip)
            assert shown == whole[begin:end], f"limit={limit} skip={skip}"


def test_the_job_comes_with_its_whole_history(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    for number in range(30):
        send("run", {"number": number})
    found = jobs.find_one_by_uuid(job["uuid"])
    assert found is not None
    assert found["history"] == jobs.history(job["uuid"])
    assert len(found["history"]) == 31


def test_what_only_the_store_needs_is_not_shown(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    loaded = jobs.load(job["uuid"])
    for number in range(25):
        loaded = jobs.apply(loaded, "run", {"number": number}).job
    found = jobs.find_one_by_uuid(job["uuid"])
    assert found is not None
    (queried,) = jobs.query({})
    for shown in (found, queried, send("run")):
        private = {name for name in shown if name.startswith("_")} - {"_update_token"}
        assert private == {"_admin", "_properties", "_salt", "_visible"}
        assert {name for entry in shown["history"] for name in entry} == {
            "date",
            "name",
            "data",
            "uuid",
        }


def test_jobs_are_found_by_their_fields(jobs: PipelineJobStore, three: list[str]) -> None:
    def found(**fields: Any) -> list[str]:
        return [job["uuid"] for job in jobs.find(**fields)]

    assert found(state="RUNNING") == [three[1]]
    assert found(archive_path="/products/v2/0") == [three[0]]
    assert sorted(found(session="solid-snake")) == sorted(three[:2])
    assert found(state="RUNNING", archive_path="/products/v2/0") == []
    assert sorted(found()) == sorted(three[:2])


def test_jobs_are_found_by_a_query(jobs: PipelineJobStore, three: list[str]) -> None:
    query = {"data.number": {"$gte": 0}}
    backwards = jobs.query(query, sort=[("data.number", -1)])
    assert [job["uuid"] for job in backwards] == [three[1], three[0]]
    assert [job["uuid"] for job in jobs.query(query, sort=[("data.number", 1)], skip=1)] == three[
        1:2
    ]
    assert [job["uuid"] for job in jobs.query(query, sort=[("data.number", 1)], limit=1)] == three[
        :1
    ]
    assert backwards[0]["data"] == {"number": 1, "a.b": {"$c": 1}}


def test_a_query_cannot_look_at_hidden_jobs(jobs: PipelineJobStore, three: list[str]) -> None:
    for query in ({"_visible": False}, {"$or": [{"uuid": three[2]}]}, {"uuid": three[2]}):
        assert jobs.query(query) == []


def test_an_unknown_job_has_no_history(jobs: PipelineJobStore) -> None:
    unknown = "107deadb-dead-5ead-8ead-deaddeaddead"
    assert jobs.find_one_by_uuid(unknown) is None
    with pytest.raises(UnknownJob):
        jobs.history(unknown)


def test_histories_of_different_jobs_do_not_mix(
    jobs: PipelineJobStore, job: Document, pipeline: Document, send: Send
) -> None:
    other = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/b", "data": {}}
    )
    for number in range(25):
        send("run", {"tacos": number})
        event = {"uuid": other["uuid"], "name": "run", "data": {"burritos": number}}
        jobs.handle(event, other["_update_token"])
    for uuid, dish in ((job["uuid"], "tacos"), (other["uuid"], "burritos")):
        assert [e["data"] for e in jobs.history(uuid, skip=1)] == [{dish: n} for n in range(25)]


def test_a_job_that_others_have_spoilt_can_be_read(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    uuid = job["uuid"]
    odd = [7, None, {"name": "run"}, {"data": {"a%2Eb": 1}, "_state": "X"}]
    db["jobs"].update_one({"uuid": uuid}, {"$set": {"history": odd}})
    expected = [{"data": 7}, {"data": None}, {"name": "run"}, {"data": {"a%2Eb": 1}}]
    assert jobs.history(uuid) == expected
    found = jobs.find_one_by_uuid(uuid)
    assert found is not None
    assert found["history"] == expected
    assert jobs.find(uuid=uuid)[0]["history"] == expected
    assert jobs.find_entry(jobs.load(uuid), "execution:1") is None
    for spoilt in (
        {"history": None, "_history": None},
        {"history": "x", "_history": {}},
    ):
        db["jobs"].update_one({"uuid": uuid}, {"$set": spoilt})
        assert jobs.history(uuid) == jobs.find(uuid=uuid)[0]["history"] == []
