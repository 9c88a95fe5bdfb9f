"""`pipelinejobs stats`: how the pipelines do, on the command line."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.mongo import Db, Document
from pipelinejobs import figures
from tests.datacatalog.jobs import fields
from tests.pipelinejobs.running import Run


@pytest.fixture
def history(jobs: PipelineJobStore, pipeline: Document) -> None:
    """Four jobs: three finish, one of them after it was refused an event; one fails."""
    for number, end in enumerate(("finish", "finish", "finish", "fail")):
        job = jobs.create(fields(pipeline, data={"number": number}))
        for event in ("run", "update", end):
            jobs.handle({"uuid": job["uuid"], "name": event}, job["_update_token"])
    with pytest.raises(EventRefused):
        jobs.handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"])


def test_pipelines_are_told_apart(history: None, pipeline: Document, cli: Run) -> None:
    (row,) = cli("stats", "--output", "json").rows
    shown = {name: row[name] for name in ("created", "started", "finished", "failed", "refused")}
    assert shown == {"created": 4, "started": 4, "finished": 3, "failed": 1, "refused": 1}
    assert (row["pipeline"], row["failure_rate"], row["events"]) == (pipeline["name"], 0.25, 16)
    assert (len(row["ended"]), sum(row["ended"])) == (25, 4)
    table = cli("stats", "--pipeline", pipeline["uuid"]).out
    assert "25.0 %" in table
    assert "█" in table


def test_hours_and_days_are_told_apart(history: None, cli: Run) -> None:
    hours = cli("stats", "--by", "hour", "--since", "3h", "--output", "json").rows
    assert [row["created"] for row in hours if row["created"]] == [4]
    assert len(hours) == 4
    days = cli("stats", "--by", "hour", "--since", "6d", "--output", "json").rows
    assert (len(days), sum(row["failed"] for row in days)) == (7, 1)


def test_a_time_may_end_with_the_calendar(cli: Run, job: Document) -> None:
    for by in ("pipeline", "hour", "state"):
        assert cli("stats", "--until", "9999-12-31T23:59", "--by", by).code == 0


def test_a_time_in_the_past_is_counted_alone(history: None, cli: Run) -> None:
    assert cli("stats", "--since", "3d", "--until", "1d", "-o", "json").rows == []
    soon = f"{now() + datetime.timedelta(hours=12):%Y-%m-%dT%H:%M}"
    asked = ["stats", "--since", "3d", "--until", soon]
    found = cli(*asked, "-o", "json")
    assert (found.rows[0]["created"], found.err) == (4, "")
    assert cli(*asked).err.endswith(f" to {soon.replace('T', ' ')} UTC, in whole days\n")
    wrong = cli("stats", "--since", "1d", "--until", "2d")
    assert (wrong.code, wrong.err) == (2, "ERROR --since 1d is after --until 2d\n")


def test_states_are_told_apart(history: None, cli: Run) -> None:
    rows = {row["state"]: row for row in cli("stats", "--by", "state", "-o", "json").rows}
    assert {state: row["jobs"] for state, row in rows.items() if row["jobs"]} == {
        "FINISHED": 3,
        "FAILED": 1,
    }
    assert (rows["RUNNING"]["came"], rows["RUNNING"]["left"]) == (4, 4)
    assert rows["RUNNING"]["p95_seconds"] is not None


def test_jobs_that_are_quiet_for_unusually_long_are_listed(
    history: None, jobs: PipelineJobStore, pipeline: Document, db: Db, cli: Run
) -> None:
    late = jobs.create(fields(pipeline, data={"number": 4}))
    jobs.handle({"uuid": late["uuid"], "name": "run"}, late["_update_token"])
    an_hour_ago = now() - datetime.timedelta(hours=1)
    db["jobs"].update_one({"uuid": late["uuid"]}, {"$set": {"updated": an_hour_ago}})
    assert cli("jobs", "stuck").err == "no job is quiet for unusually long\n"
    # with this one, what is usual is known of five
    fifth = jobs.create(fields(pipeline, data={"number": 5}))
    for event in ("run", "finish"):
        jobs.handle({"uuid": fifth["uuid"], "name": event}, fifth["_update_token"])
    (row,) = cli("jobs", "stuck", "-o", "json").rows
    found = (row["uuid"], row["state"], row["pipeline"])
    assert found == (late["uuid"], "RUNNING", pipeline["name"])
    assert row["quiet_seconds"] >= 3600 > row["usual_seconds"] > 0
    shown = cli("jobs", "stuck", "--pipeline", "tacobot").out
    assert (late["uuid"] in shown, " 1 h " in shown) == (True, True)


def test_a_rebuild_says_what_it_has_counted(history: None, cli: Run) -> None:
    before = cli("stats", "--output", "json").rows
    assert cli("stats", "rebuild", "--output", "json").rows == {"jobs": 4, "events": 16}
    assert cli("stats", "--output", "json").rows == before


def test_what_was_imported_is_counted_although_it_was_handed_out(
    history: None, cli: Run, db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cli("stats", "--output", "json").rows
    assert db["jobs"].count_documents({"_untold": {"$gte": 0}}) == 0
    assert cli("export", str(tmp_path / "catalog")).code == 0
    other = f"{db.name}_2"
    monkeypatch.setenv("_REACTOR_MONGODB_DATABASE", other)
    assert cli("stats").out == ""
    assert cli("import", str(tmp_path / "catalog")).code == 0
    assert cli("stats", "--output", "json").rows == before


def test_nothing_is_nothing(cli: Run) -> None:
    shown = cli("stats")
    assert (shown.code, shown.out) == (0, "")
    assert shown.err.startswith("nothing has happened from 20")
    assert shown.err.endswith(" UTC, in whole hours\n")


def test_a_sparkline_is_as_high_as_its_numbers() -> None:
    assert figures.sparkline([0, 1, 4, 8]) == "▁▂▅█"
    assert figures.sparkline([0, 0]) == "▁▁"
    # of many numbers, some stand together, the newest in the last bar
    assert figures.sparkline([0, 0, 0, 4, 4, 4, 0], most_bars=3) == "▁▅█"
    assert len(figures.sparkline([1] * 400)) == 29
