from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.untold import Left
from datacatalog.mongo import Db, Document
from tests.abaco.running import SECONDS
from tests.pipelinejobs.running import Result, Run, Screen, interrupted, started

UNKNOWN = "10704d54-03e2-5f4b-8c2c-d5d9a4e5e1a1"


@pytest.fixture
def three(jobs: PipelineJobStore, pipeline: Document) -> list[str]:
    """The UUIDs of three jobs: CREATED, RUNNING, and FINISHED but hidden."""
    uuids = []
    for number, events in enumerate(([], ["run"], ["run", "finish"])):
        job = jobs.create(
            {
                "pipeline_uuid": pipeline["uuid"],
                "archive_path": f"/products/v2/{number}",
                "data": {"number": number, "sample": f"s-{number}"},
                "session": "\x1b[31mred\nsnake",
            }
        )
        for event in events:
            jobs.handle({"uuid": job["uuid"], "name": event}, job["_update_token"])
        uuids.append(str(job["uuid"]))
    jobs.delete(uuids[2], jobs.get_token(jobs.load(uuids[2])))
    return uuids


def uuids_in(result: Result) -> list[str]:
    assert result.code == 0, result.err
    return [row["uuid"] for row in result.rows]


def test_a_table_has_what_people_look_for_and_nothing_that_moves_the_cursor(
    cli: Run, three: list[str]
) -> None:
    shown = cli("jobs", "ls")
    head, *lines = shown.out.splitlines()
    assert head.split()[:2] == ["UUID", "STATE"]
    assert [line.split()[:3] for line in lines] == [
        [three[1], "RUNNING", "run"],
        [three[0], "CREATED", "create"],
    ]
    assert "Tacobot 9000" in lines[0]
    assert "\x1b" not in shown.out
    assert r"\x1b[31mred\nsnake" in shown.out


def test_json_and_csv_have_all_fields(cli: Run, three: list[str]) -> None:
    rows = cli("jobs", "ls", "--output", "json").rows
    table = list(csv.DictReader(io.StringIO(cli("jobs", "ls", "--output", "csv").out)))
    assert list(table[0]) == list(rows[0])
    assert [row["uuid"] for row in table] == [row["uuid"] for row in rows] == three[1::-1]
    assert rows[0]["updated"].endswith("Z")
    assert table[0]["updated"] == rows[0]["updated"]
    assert rows[0]["archive_path"] == "/products/v2/1"
    assert rows[0]["revision"] == 1


def test_no_text_is_a_formula_in_csv(cli: Run, three: list[str], db: Db) -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        db["jobs"].update_one({"uuid": three[1]}, {"$set": {"session": text}})
        table = list(csv.DictReader(io.StringIO(cli("jobs", "ls", "-o", "csv").out)))
        assert table[0]["session"] == f"'{text}"
        assert cli("jobs", "ls", "-o", "json").rows[0]["session"] == text


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_a_terminal_gets_no_control_characters(
    screen: Screen, three: list[str], db: Db, form: str
) -> None:
    session = "red\x1b[31m\x7f\x9b32mé"
    db["jobs"].update_one({"uuid": three[1]}, {"$set": {"session": session}})
    shown = screen(80, "jobs", "show", three[1], "-o", form)
    assert "red" in shown
    assert all(raw not in shown for raw in ("\x1b[31m", "\x7f", "\x9b"))


def test_jobs_are_filtered(
    cli: Run, three: list[str], pipeline: Document, jobs: PipelineJobStore
) -> None:
    jobs_owner = jobs.public(jobs.load(three[1]))["_admin"]["owner"]

    def found(*options: str) -> list[str]:
        return uuids_in(cli("jobs", "ls", *options, "-o", "json"))

    assert found("--state", "running") == [three[1]]
    assert found("--state", "RUNNING", "--state", "CREATED") == three[1::-1]
    assert found("--hidden") == [three[2]]
    assert found("--pipeline", "tacobot") == three[1::-1]
    assert found("--pipeline", pipeline["uuid"]) == three[1::-1]
    assert found("--text", "S-1") == [three[1]]
    assert found("--newer", "1h") == three[1::-1]
    assert found("--older", "1h") == []
    assert found("--idle", "1.5d") == []
    assert found("--active", "1h") == three[1::-1]
    assert found("--active", "9999-01-01") == []
    assert found("--since", "2020-01-31T18:00Z", "--until", "9999-01-01") == three[1::-1]
    assert found("--until", "2020-01-31") == []
    assert found("--session", "\x1b[31mred\nsnake", "--owner", jobs_owner) == three[1::-1]
    assert found("--session", "red") == found("--owner", "somebody") == []
    assert found("--sort", "updated", "--limit", "1") == [three[1]]


def test_the_oldest_jobs_come_first_page_by_page(cli: Run, three: list[str]) -> None:
    first = cli("jobs", "ls", "--oldest-first", "--limit", "1", "-o", "json")
    assert uuids_in(first) == [three[0]]
    cursor = first.err.split()[-1]
    second = cli("jobs", "ls", "--oldest-first", "--limit", "1", "--cursor", cursor, "-o", "json")
    assert uuids_in(second) == [three[1]]
    updated = cli("jobs", "ls", "--oldest-first", "--sort", "updated", "-o", "json")
    assert uuids_in(updated) == three[:2]


def test_the_columns_that_are_named_are_shown_and_no_others(cli: Run, three: list[str]) -> None:
    shown = cli("jobs", "list", "--columns", "revision, UUID", "--state", "RUNNING")
    assert [line.split() for line in shown.out.splitlines()] == [
        ["REVISION", "UUID"],
        ["1", three[1]],
    ]
    (row,) = cli("jobs", "ls", "--columns", "uuid", "--state", "RUNNING", "-o", "json").rows
    assert row == {"uuid": three[1]}


def test_pages_follow_from_the_cursor_that_is_told(cli: Run, three: list[str]) -> None:
    first = cli("jobs", "ls", "--limit", "1", "-o", "json")
    assert first.err.startswith("there may be more: add --cursor ")
    second = cli("jobs", "ls", "--limit", "1", "-o", "json", *first.err.split()[-2:])
    assert uuids_in(first) + uuids_in(second) == three[1::-1]
    assert second.err == ""


def test_nothing_found_is_said_and_is_no_error(cli: Run) -> None:
    assert cli("jobs", "ls") == (0, "", "no job matches these filters\n")
    assert cli("jobs", "ls", "-o", "json")[:2] == (0, "[]\n")


def test_csv_has_the_same_fields_without_jobs(cli: Run, three: list[str]) -> None:
    full = cli("jobs", "ls", "-o", "csv").out.splitlines()[0]
    assert cli("jobs", "ls", "--text", "no such", "-o", "csv").out == f"{full}\n"
    assert cli("jobs", "stuck", "-o", "csv").out == f"{full},quiet_seconds,usual_seconds\n"
    chosen = cli("jobs", "ls", "--text", "no such", "--columns", "owner,uuid", "-o", "csv")
    assert chosen.out == "owner,uuid\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jobs", "ls", "--state", "NAPPING"], "there is no state 'NAPPING': use one of CREATED,"),
        (["jobs", "ls", "--newer", "soon"], "--since: 'soon' is not an age: give a number"),
        (
            ["jobs", "ls", "--idle", "soon"],
            "--idle: 'soon' is not an age: give a number and a unit",
        ),
        (["refused", "ls", "--until", "soon"], "--until: 'soon' is not an age: give a number"),
        (["jobs", "ls", "--older", "999999w"], "is before 1970: give a smaller number"),
        (["jobs", "ls", "--pipeline", "burrito"], "no pipeline has the uuid or id 'burrito'"),
        (["jobs", "ls", "--since", "2030-13-01"], "'2030-13-01' is not a date: give one such as"),
        (["stats", "--since", "0001-01-01"], "--since: '0001-01-01' is before 1970: no job"),
        (["jobs", "ls", "--columns", "uuid,taco"], "there is no column 'taco': use some of uuid,"),
        (["jobs", "ls", "--cursor", "zzz"], "'zzz' is not a cursor that a listing has given"),
        (["jobs", "show", "x"], "no job is called 'x': give a uuid, at least 8 characters of its"),
        (["jobs", "history", UNKNOWN, "--follow", "-o", "csv"], "No job exists with UUID"),
        (["refused", "ls", "--event", "nap"], "there is no event 'nap': use one of run,"),
    ],
)
def test_wrong_arguments_are_named_with_what_to_do(
    cli: Run, arguments: list[str], said: str
) -> None:
    done = cli(*arguments)
    assert done.code in (1, 2)
    assert done.out == ""
    assert done.err.startswith("ERROR ")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_unknown_options_and_bounds_are_usage_errors(cli: Run) -> None:
    for arguments in (["jobs", "ls", "--colour"], ["jobs", "ls", "--limit", "0"], ["jobs", "fly"]):
        assert cli(*arguments).code == 2


@pytest.mark.parametrize("command", ["jobs graph --to", "pipelines add", "export", "import"])
def test_an_empty_name_of_a_file_is_a_usage_error(cli: Run, command: str) -> None:
    done = cli(*command.split(), "")
    assert (done.code, done.out) == (2, "")
    assert "it names no file: give the name of one" in done.err


def test_a_drawing_goes_to_standard_output_by_its_usual_name(cli: Run, elsewhere: Path) -> None:
    assert cli("jobs", "graph", "--to", "-") == cli("jobs", "graph")
    assert not (elsewhere / "-").exists()


@pytest.mark.parametrize("command", ["show", "history", "graph"])
def test_an_unknown_job_is_exit_code_1(cli: Run, command: str) -> None:
    done = cli("jobs", command, UNKNOWN)
    remedy = "`pipelinejobs jobs ls` lists those that exist, and it may have been removed"
    assert done == (1, "", f"ERROR No job exists with UUID {UNKNOWN}: {remedy}\n")


def test_a_job_is_shown_with_what_comes_next(
    cli: Run, three: list[str], jobs: PipelineJobStore
) -> None:
    applied = jobs.apply(jobs.load(three[1]), "update", {"n": 1})
    place = {"lab": {"told": 1}}
    jobs.untold.leave_behind([Left(applied.job, applied.entry["date"], place)])
    shown = cli("jobs", "show", three[1], "-o", "json").rows
    assert shown["allowed"] == ["run", "update", "resource", "fail", "finish", "reset"]
    assert (shown["entries"], shown["waiting"], shown["refused"]) == (3, 1, 0)
    assert shown["data"] == {"number": 1, "sample": "s-1"}
    assert cli("jobs", "show", three[2], "-o", "json").rows["hidden"]
    table = cli("jobs", "show", three[1].upper()).out
    assert cli("jobs", "show", f"urn:uuid:{three[1]}").out == table
    assert ["state", "RUNNING"] in [line.split() for line in table.splitlines()]
    assert jobs.get_token(jobs.load(three[1])) not in table + json.dumps(shown)


def test_a_history_is_shown_across_buckets(
    cli: Run, three: list[str], jobs: PipelineJobStore, db: Db
) -> None:
    job = jobs.load(three[1])
    for number in range(30):
        job = jobs.apply(job, "update", {"number": number, "$a": "\x1b[2J"}).job
    assert db["jobs_history"].count_documents({}) == 1
    lines = cli("jobs", "history", three[1], "--all").out.splitlines()
    assert [line.split()[0] for line in lines] == [str(number) for number in range(32)]
    assert lines[1].split()[2:4] == ["run", "RUNNING"]
    assert json.loads(lines[31][lines[31].index("{") :]) == {"number": 29, "$a": "\x1b[2J"}
    newest = cli("jobs", "history", three[1], "--limit", "2", "-o", "json").rows
    assert [entry["position"] for entry in newest] == [30, 31]
    assert newest[1]["data"] == {"number": 29, "$a": "\x1b[2J"}
    table = csv.DictReader(io.StringIO(cli("jobs", "history", three[1], "-o", "csv").out))
    assert [row["revision"] for row in table] == [str(number) for number in range(32)]


@pytest.mark.parametrize("form", ["table", "json"])
def test_following_shows_what_comes_and_ends_with_ctrl_c(
    three: list[str],
    jobs: PipelineJobStore,
    variables: dict[str, str],
    form: str,
    tmp_path: Path,
) -> None:
    arguments = ["jobs", "history", three[0], "--follow", "--interval", "0.1", "-o", form]
    with started(*arguments, folder=tmp_path, variables=variables) as process:
        assert process.stdout is not None
        assert "create" in process.stdout.readline()
        jobs.apply(jobs.load(three[0]), "run", {"step": 1})
        line = process.stdout.readline()
        assert "run" in line
        if form == "json":
            assert json.loads(line)["data"] == {"step": 1}
        done = interrupted(process)
    assert done == (130, "", "")


def test_a_history_that_cannot_be_read_any_more_ends_the_following_in_a_line(
    job: Document, jobs: PipelineJobStore, variables: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["jobs", "history", job["uuid"], "--follow", "--interval", "0.1"]
    with started(*arguments, folder=tmp_path, variables=variables) as process:
        assert process.stdout is not None
        assert "create" in process.stdout.readline()
        jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": {"_history": {"moved": "x"}}})
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert err.startswith(f"ERROR job {job['uuid']} cannot be read")


def test_watching_in_a_pipe_prints_a_line_for_each_change(
    three: list[str], jobs: PipelineJobStore, variables: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["jobs", "watch", "--interval", "0.1"]
    with started(*arguments, folder=tmp_path, variables=variables) as process:
        assert process.stdout is not None
        first = [process.stdout.readline().split("\t")[:3] for _ in range(2)]
        assert first == [[three[0], "CREATED", "create"], [three[1], "RUNNING", "run"]]
        jobs.apply(jobs.load(three[0]), "run", {})
        assert process.stdout.readline().split("\t")[:3] == [three[0], "RUNNING", "run"]
        done = interrupted(process)
    assert done == (130, "", "")


def test_watching_in_a_pipe_misses_none_of_many_and_repeats_none(
    three: list[str], jobs: PipelineJobStore, variables: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["jobs", "watch", "--limit", "1", "--interval", "1"]
    with started(*arguments, folder=tmp_path, variables=variables) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(three[1])
        for uuid in three[:2]:
            jobs.apply(jobs.load(uuid), "run", {})
        assert [process.stdout.readline().split("\t")[0] for _ in range(2)] == three[:2]
        # what is not the last one any more has not changed by that
        jobs.delete(three[1], jobs.get_token(jobs.load(three[1])))
        jobs.apply(jobs.load(three[0]), "update", {})
        assert process.stdout.readline().split("\t")[2] == "update"
        done = interrupted(process)
    assert done == (130, "", "")


def test_a_database_that_is_away_is_said_in_one_line(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_REACTOR_MONGODB_AUTHN", "mongodb://joe:s3cretword@127.0.0.1:9/")
    monkeypatch.setenv("_REACTOR_MONGODB_TIMEOUT", "1")
    done = cli("jobs", "ls")
    assert done.code == 3
    assert done.err == (
        "ERROR the database at 127.0.0.1:9 did not answer within 1 s: try again later\n"
    )


def test_an_unexpected_error_is_one_line_and_with_debug_a_trace(
    cli: Run, three: list[str], db: Db
) -> None:
    db["jobs"].update_one({"uuid": three[0]}, {"$unset": {"uuid": ""}})
    done = cli("jobs", "ls")
    assert done.code == 1
    remedy = "`pipelinejobs --debug`, and the command behind it, shows where"
    assert done.err == f"ERROR unexpected KeyError: {remedy}\n"
    assert "Traceback" in cli("--debug", "jobs", "ls").err


def test_documents_that_something_else_has_written_are_listed(
    cli: Run, job: Document, db: Db
) -> None:
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$set": {"_admin": "x", "state": None}})
    listed = cli("jobs", "ls", "-o", "json")
    assert listed.code == 0, listed.err
    assert [(row["uuid"], row["owner"]) for row in listed.rows] == [(job["uuid"], None)]
