from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import pymongo
import pytest
from pymongo.errors import AutoReconnect

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD
from datacatalog.linkedstores.statistics import sums
from datacatalog.linkedstores.statistics.reader import Period, Statistics, merged
from datacatalog.linkedstores.statistics.tally import CELLS, RUNS, Tally
from datacatalog.mongo import Db, Document
from tests.datacatalog.conftest import Recorder, Send
from tests.datacatalog.jobs import fields


@pytest.fixture
def tally(jobs: PipelineJobStore) -> Tally:
    made = Tally(jobs)
    assert made.rebuild()
    return made


def cells(db: Db) -> dict[str, Document]:
    """Return what is counted, without the numbers of batches."""
    return {each.pop("_id"): {**each, "batch": 0} for each in db[CELLS].find()}


def ever(db: Db) -> Document:
    (found,) = db[CELLS].find({"span": sums.EVER})
    return found


def moves(db: Db) -> dict[str, int]:
    return {name: sum(found.values()) for name, found in ever(db)["moves"].items()}


def hand_out(jobs: PipelineJobStore, tally: Tally, *, advance: bool = True) -> None:
    """Count what is new, and hand it out, as a dispatcher does."""
    heads = jobs.untold.fresh(99)
    found = tally.count(heads)
    if advance:
        jobs.untold.advance([(job, 999, True) for job in found])
        jobs.untold.advance([(head, 999, True) for head in heads if head.get("_removed")])
        tally.was_handed_out({head["_id"]: 999 for head in heads})


def test_what_happens_is_counted_by_hour_day_and_in_all(
    jobs: PipelineJobStore, tally: Tally, job: Document, send: Send, db: Db
) -> None:
    for event in ("run", "update", "finish"):
        send(event)
    hand_out(jobs, tally)
    found = cells(db)
    assert sorted(each["span"] for each in found.values()) == ["day", "ever", "hour"]
    for each in found.values():
        assert each["pipeline"] == job["pipeline_uuid"]
        assert each["events"] == {"create": 1, "run": 1, "update": 1, "finish": 1}
        assert sorted(each["moves"]) == ["CREATED>RUNNING", "RUNNING>FINISHED"]
    (run,) = db[RUNS].find()
    assert (run["uuid"], run["state"]) == (job["uuid"], "FINISHED")


def test_how_long_a_job_has_run_is_looked_up_only_where_it_ends(
    recorded_jobs: PipelineJobStore, recorder: Recorder, pipeline: Document, db: Db
) -> None:
    jobs = recorded_jobs
    tally = Tally(jobs)
    assert tally.rebuild()
    job = jobs.create(fields(pipeline))

    def send(event: str) -> Document:
        return jobs.handle({"uuid": job["uuid"], "name": event}, job["_update_token"])

    begun = send("run")["updated"]
    for _ in range(60):
        send("update")
    hand_out(jobs, tally)
    send("update")
    recorder.events.clear()
    hand_out(jobs, tally)
    assert "find jobs_history" not in recorder.commands
    ended = send("finish")["updated"]
    hand_out(jobs, tally)
    (run,) = db[RUNS].find()
    assert run["seconds"] == (ended - begun).total_seconds()


def test_an_entry_is_counted_once_however_often_it_is_handed_out(
    jobs: PipelineJobStore, tally: Tally, job: Document, send: Send, db: Db
) -> None:
    send("run")
    hand_out(jobs, tally, advance=False)
    hand_out(jobs, tally, advance=False)
    hand_out(jobs, Tally(jobs), advance=False)
    send("finish")
    hand_out(jobs, Tally(jobs))
    send("index")
    hand_out(jobs, tally)
    assert ever(db)["events"] == {"create": 1, "run": 1, "finish": 1, "index": 1}
    assert moves(db) == {"CREATED>RUNNING": 1, "RUNNING>FINISHED": 1, "FINISHED>INDEXING": 1}


@pytest.mark.parametrize("collection", ["statistics_journal", CELLS, RUNS])
def test_what_a_crash_has_interrupted_is_added_once(
    jobs: PipelineJobStore,
    tally: Tally,
    send: Send,
    db: Db,
    monkeypatch: pytest.MonkeyPatch,
    collection: str,
) -> None:
    send("run")
    send("finish")
    for done in (False, True):
        _break(monkeypatch, collection, done=done)
        with pytest.raises(AutoReconnect):
            hand_out(jobs, Tally(jobs))
        monkeypatch.undo()
        send("index")
        send("indexed")
    hand_out(jobs, Tally(jobs))
    counted = Counter({"create": 1, "run": 1, "finish": 1, "index": 2, "indexed": 2})
    assert ever(db)["events"] == counted
    assert db[RUNS].count_documents({}) == 1


def _break(monkeypatch: pytest.MonkeyPatch, collection: str, *, done: bool) -> None:
    """Let the next write to a collection lose its connection, before or after it is done."""
    for name in ("update_one", "bulk_write", "insert_many"):
        right = getattr(pymongo.collection.Collection, name)

        def write(self: Any, *given: Any, right: Any = right, **named: Any) -> Any:
            if self.name != collection:
                return right(self, *given, **named)
            if done:
                right(self, *given, **named)
            raise AutoReconnect

        monkeypatch.setattr(pymongo.collection.Collection, name, write)


def test_a_rebuild_counts_what_was_counted_one_by_one(
    jobs: PipelineJobStore, tally: Tally, pipeline: Document, db: Db
) -> None:
    made = [jobs.create(fields(pipeline, data={"number": number})) for number in range(4)]

    def send(number: int, *events: str) -> None:
        for name in events:
            uuid, token = made[number]["uuid"], made[number]["_update_token"]
            jobs.handle({"uuid": uuid, "name": name}, token)
            if name == "run":
                hand_out(jobs, tally)

    send(0, "run", *["update"] * 25, "finish", "index", "indexed")
    send(1, "run", "fail")
    send(2, *["resource"] * 10, "run")
    hand_out(jobs, tally)
    jobs.delete(made[0]["uuid"], made[0]["_update_token"], force=True)
    jobs.delete(made[1]["uuid"], made[1]["_update_token"])
    hand_out(jobs, tally)
    counted, runs = cells(db), list(db[RUNS].find(sort=[("_id", 1)]))
    assert len(runs) == 2
    assert tally.rebuild()
    assert cells(db) == counted
    assert list(db[RUNS].find(sort=[("_id", 1)])) == runs


@pytest.mark.long
def test_a_rebuild_takes_away_much_that_was_counted_in_good_time(tally: Tally, db: Db) -> None:
    former = [{"_id": str(n), "uuid": str(n), "ended": now()} for n in range(4000)]
    db[RUNS].insert_many(former, ordered=False)
    # to drop so many takes the embedded server longer than an answer may take
    assert tally.rebuild()
    assert db[RUNS].find_one() is None


def test_a_rebuild_leaves_nothing_out_and_counts_nothing_twice_that_is_yet_to_be_handed_out(
    jobs: PipelineJobStore, tally: Tally, send: Send, db: Db
) -> None:
    send("run")
    tally.rebuild()
    send("finish")
    hand_out(jobs, Tally(jobs))
    assert ever(db)["events"] == {"create": 1, "run": 1, "finish": 1}


def test_who_has_lost_the_lease_counts_nothing_twice(
    jobs: PipelineJobStore, tally: Tally, send: Send, db: Db
) -> None:
    late, heads = Tally(jobs), jobs.untold.fresh(9)
    late.count(heads)
    hand_out(jobs, tally)
    send("run")
    late.count(heads)
    hand_out(jobs, tally)
    assert ever(db)["events"] == {"create": 1, "run": 1}


def test_durations_are_those_of_the_states(
    jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    """Also where the entry that began the state has moved from the document."""
    for event in ("run", *["update"] * 50, "finish"):
        send(event)
    created, ran = datetime.timedelta(hours=3), datetime.timedelta(minutes=1)
    bucket = db["jobs_history"].find_one(sort=[("first", 1)])
    assert bucket is not None
    first, second, *others = bucket["entries"]
    end = jobs.load(job["uuid"])["history"][-1]["date"]
    first["date"], second["date"] = end - ran - created, end - ran
    db["jobs_history"].update_one(
        {"_id": bucket["_id"]}, {"$set": {"entries": [first, second, *others]}}
    )
    stored = jobs.load(job["uuid"])
    db["jobs"].update_one({"_id": stored["_id"]}, {"$set": {UNTOLD: 51}})
    tally = Tally(jobs)
    db[CELLS].delete_many({})
    db["statistics_journal"].insert_one(
        {"_id": "the last batch", "batch": 0, "ahead": [], "cells": [], "runs": []}
    )
    tally.count(jobs.untold.fresh(9))
    assert ever(db)["moves"] == {"RUNNING>FINISHED": {str(sums.bucket(60)): 1}}


def test_a_batch_costs_the_same_for_many_jobs_as_for_one(
    recorded_jobs: PipelineJobStore, recorder: Recorder, pipeline: Document
) -> None:
    tally, counts = Tally(recorded_jobs), []
    tally.rebuild()
    for number in (1, 10):
        for each in range(number):
            made = recorded_jobs.create(fields(pipeline, data={"number": number, "each": each}))
            recorded_jobs.handle({"uuid": made["uuid"], "name": "run"}, made["_update_token"])
        heads = recorded_jobs.untold.fresh(99)
        recorder.events.clear()
        tally.count(heads)
        counts.append(recorder.commands)
    assert counts == [["find jobs", "update statistics_journal", "update statistics"]] * 2


def test_what_something_else_has_written_into_a_history_is_left_out(
    jobs: PipelineJobStore, tally: Tally, job: Document, send: Send, db: Db
) -> None:
    send("run")
    odd = ["tacos", {"name": "eat.$it", "date": 5}, {"name": "update", "date": None}]
    stored = jobs.load(job["uuid"])
    history = [stored["history"][0], *odd, stored["history"][1]]
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"history": history}})
    hand_out(jobs, tally)
    assert ever(db)["events"] == {"create": 1, "run": 1}


def test_a_job_that_cannot_be_read_keeps_no_other_from_being_counted(
    jobs: PipelineJobStore, tally: Tally, job: Document, pipeline: Document, db: Db
) -> None:
    jobs.create(fields(pipeline, data={"other": 1}))
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"_history": {"moved": "tacos"}}})
    hand_out(jobs, tally)
    assert ever(db)["events"] == {"create": 1}
    assert tally.rebuild()
    assert ever(db)["events"] == {"create": 1}


@pytest.mark.parametrize("seconds", [0.0004, 0.02, 1.0, 75.0, 86_400.0, 40_000_000.0])
def test_a_quantile_is_at_most_five_percent_off(seconds: float) -> None:
    found = sums.quantile({sums.bucket(seconds): 3}, 0.5)
    assert found == pytest.approx(max(seconds, 0.001), rel=0.05)


def test_quantiles_are_those_of_all_times() -> None:
    histogram = Counter(sums.bucket(seconds) for seconds in range(1, 1001))
    assert sums.quantile(histogram, 0.5) == pytest.approx(500, rel=0.06)
    assert sums.quantile(histogram, 0.95) == pytest.approx(950, rel=0.06)
    assert sums.quantile({}, 0.5) is None


def test_jobs_are_counted_by_the_state_that_they_are_in(
    jobs: PipelineJobStore, tally: Tally, pipeline: Document, db: Db
) -> None:
    made = [jobs.create(fields(pipeline, data={"number": number})) for number in range(4)]
    for job, event in zip(made, ("run", "fail", "run"), strict=False):
        jobs.handle({"uuid": job["uuid"], "name": event}, job["_update_token"])
    jobs.delete(made[2]["uuid"], made[2]["_update_token"], force=True)
    jobs.keep_removed(jobs.load(made[0]["uuid"]))  # a removal that was not completed
    hand_out(jobs, tally)
    for _ in range(2):
        states = Statistics(db).states()
        assert states == {pipeline["uuid"]: {"CREATED": 1, "RUNNING": 1, "FAILED": 1}}
        tally.rebuild()


def test_refusals_are_counted_by_hour_and_pipeline(
    jobs: PipelineJobStore, tally: Tally, job: Document, send: Send, db: Db
) -> None:
    period = Period.of(now() - datetime.timedelta(days=1), now() + datetime.timedelta(hours=1))
    for number in (1, 2):
        for _ in range(2):
            with pytest.raises(EventRefused):
                send("finish", {"number": number}, key=f"{number}")
        tally.count_refused()
        (figures,) = Statistics(db).cells(period).values()
        assert figures.refused == number
    db["rejected_events"].update_one({}, {"$set": {"date": now() - datetime.timedelta(hours=5)}})
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    tally.rebuild()
    found = Statistics(db).cells(period)
    assert [each.refused for each in found.values() if each.refused] == [1, 1]
    assert {pipeline for _, pipeline in found} == {job["pipeline_uuid"]}


def test_figures_say_how_pipelines_do(
    jobs: PipelineJobStore, tally: Tally, pipeline: Document, db: Db
) -> None:
    ends = ("finish", "finish", "finish", "fail")
    for number, end in enumerate(ends):
        job = jobs.create(fields(pipeline, data={"number": number}))
        for event in ("run", end):
            jobs.handle({"uuid": job["uuid"], "name": event}, job["_update_token"])
    hand_out(jobs, tally)
    period = Period.of(now() - datetime.timedelta(hours=5), now() + datetime.timedelta(seconds=1))
    statistics = Statistics(db)
    figures = merged(statistics.cells(period, [pipeline["uuid"]]).values())
    assert (figures.created, figures.started, figures.failure_rate) == (4, 4, 0.25)
    assert figures.ended == {"FINISHED": 3, "FAILED": 1, "REJECTED": 0, "RESET": 0}
    assert figures.run_time(0.95) is not None
    assert figures.waiting_time(0.5) is not None
    assert len(statistics.runs(period, 9, [pipeline["uuid"]])) == 4
    assert statistics.cells(period, ["of another"]) == {}
    assert len(statistics.runs(period, 2)) == 2


def test_a_period_has_whole_hours_or_days() -> None:
    moment = datetime.datetime(2026, 11, 28, 13, 40, tzinfo=datetime.timezone.utc)
    day = Period.of(moment - datetime.timedelta(days=1), moment)
    assert (len(day.spans()), day.since.hour, day.since.minute) == (25, 13, 0)
    week = Period.of(moment - datetime.timedelta(days=7), moment)
    assert (len(week.spans()), week.since.hour, week.spans()[-1].day) == (8, 0, 28)


@pytest.mark.parametrize("asked", [CELLS, RUNS])
def test_what_was_counted_is_read_again_only_after_something_was_counted(
    asked: str,
    pipeline: Document,
    jobs: PipelineJobStore,
    tally: Tally,
    send: Send,
    db: Db,
    recorded_jobs: PipelineJobStore,
    recorder: Recorder,
) -> None:
    reader = Statistics(recorded_jobs.db)

    def counted() -> tuple[int, bool]:
        """Return how many runs there were until now, and whether the server was asked for that."""
        period = Period.of(now() - datetime.timedelta(hours=3), now())
        recorder.events.clear()
        if asked == CELLS:
            found = sum(merged(reader.cells(period).values()).ended.values())
        else:
            found = len(reader.runs(period, 10))
        return found, f"find {asked}" in recorder.commands

    send("run")
    send("finish")
    hand_out(jobs, tally)
    # what was counted just now may not be in all of it
    assert [counted(), counted()] == [(1, True), (1, True)]
    earlier = {"$set": {"date": now() - datetime.timedelta(seconds=10)}}
    db["statistics_journal"].update_one({}, earlier)
    assert [counted(), counted()] == [(1, True), (1, False)]
    another = jobs.create(fields(pipeline, data={"number": 2}))
    for name in ("run", "fail"):
        jobs.apply(jobs.load(another["uuid"]), name, {})
    hand_out(jobs, tally)
    assert counted() == (2, True)


def test_who_changes_what_was_read_changes_it_for_nobody_else(
    jobs: PipelineJobStore, tally: Tally, send: Send, db: Db
) -> None:
    send("run")
    hand_out(jobs, tally)
    earlier = {"$set": {"date": now() - datetime.timedelta(seconds=10)}}
    db["statistics_journal"].update_one({}, earlier)
    reader = Statistics(db)
    period = Period.of(now() - datetime.timedelta(hours=3), now())
    reader.cells(period)[period.since, "p"].refused += 1
    reader.runs(period, 10).append({})
    assert merged(reader.cells(period).values()).refused == 0
    assert reader.runs(period, 10) == []


def test_of_two_times_that_begin_alike_each_has_its_own_runs(
    jobs: PipelineJobStore, tally: Tally, send: Send, db: Db
) -> None:
    send("run")
    between = now()
    send("finish")
    hand_out(jobs, tally)
    later = now() + datetime.timedelta(seconds=20)
    db["statistics_journal"].update_one(
        {}, {"$set": {"date": now() - datetime.timedelta(seconds=6)}}
    )
    reader = Statistics(db)
    since = between - datetime.timedelta(hours=3)
    for _ in range(2):
        assert len(reader.runs(Period.of(since, later), 10)) == 1
        assert reader.runs(Period.of(since, between - datetime.timedelta(minutes=1)), 10) == []
