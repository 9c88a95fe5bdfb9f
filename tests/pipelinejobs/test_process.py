"""The command line as a process: colours, pipes, completion, where it is run from."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from local.database import LocalDatabase
from tests.conftest import ROOT
from tests.pipelinejobs.running import (
    COMMAND,
    Run,
    Screen,
    environment,
    execute,
    interrupted,
    read_until,
)

ESCAPE = "\x1b["


@contextlib.contextmanager
def terminal_of(
    *arguments: str, variables: dict[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a command in a terminal; yield it and the descriptor that shows what it shows."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment({"TERM": "xterm-256color", "COLUMNS": "200", **variables}),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        yield process, controller
        os.close(controller)


def in_terminal(*arguments: str, variables: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run a command whose output is a terminal; return its exit code and what it shows."""
    with terminal_of(*arguments, variables=variables, folder=folder) as (process, controller):
        shown = read_until(controller, None)
    return process.returncode, shown


def test_colours_are_for_terminals(
    job: Document, cli: Run, variables: dict[str, str], tmp_path: Path
) -> None:
    code, shown = in_terminal("jobs", "ls", variables=variables, folder=tmp_path)
    assert code == 0
    assert ESCAPE in shown
    assert job["uuid"] in shown
    plain = in_terminal("jobs", "ls", variables={**variables, "NO_COLOR": "1"}, folder=tmp_path)[1]
    assert f"{ESCAPE}36m" in shown
    assert f"{ESCAPE}36m" not in plain
    piped = cli("jobs", "ls")
    assert ESCAPE not in piped.out + piped.err


def lines_of(shown: str) -> list[str]:
    """Return the lines that a terminal shows, without bold and the like."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()


def test_at_80_columns_nothing_is_cut_that_one_needs_to_copy(
    jobs: PipelineJobStore, pipeline: Document, cli: Run, screen: Screen
) -> None:
    title = "alignment-of-the-samples-of-the-third-flow-cell-2030-01-31"
    job = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/a", "data": {"name": title}}
    )
    jobs.keep_unread(
        jobs.load(job["uuid"]), {"step": 1}, "of another time", key=None, execution_id=None
    )
    lines = lines_of(screen(80, "jobs", "ls"))
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["UUID", "STATE", "UPDATED", "TITLE", "PIPELINE"]
    assert re.match(rf"{job['uuid'][:13]} +CREATED +(now|\d+ s ago) ", lines[1])
    start, end = lines[0].index("TITLE"), lines[0].index("PIPELINE")
    assert "".join(line[start:end].strip() for line in lines[1:]) == title
    head, row = lines_of(screen(80, "refused", "ls"))
    (rejected,) = jobs.rejected.find()
    shown = row[head.index("ID") :].strip()
    assert shown == rejected["_id"][:13]
    assert jobs.rejected_beginning_with(shown, 2) == [rejected["_id"]]
    assert row.startswith(job["uuid"][:13])
    head, row = lines_of(screen(80, "pipelines", "ls"))
    assert pipeline["uuid"] in cli("pipelines", "show", row.split()[0]).out


def test_watching_in_a_terminal_draws_again_and_ends_clean(
    job: Document, variables: dict[str, str], jobs: PipelineJobStore, tmp_path: Path
) -> None:
    watch = ("jobs", "watch", "--interval", "0.1")
    with terminal_of(*watch, variables=variables, folder=tmp_path) as (process, controller):
        shown = read_until(controller, "CREATED")
        jobs.apply(jobs.load(job["uuid"]), "run", {})
        shown += read_until(controller, "RUNNING")
        process.send_signal(signal.SIGINT)
        shown += read_until(controller, None)
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert "Ctrl-C ends" in shown
    # the cursor is there again
    assert shown.rindex(f"{ESCAPE}?25h") > shown.rindex(f"{ESCAPE}?25l")


def test_what_reads_a_pipe_may_stop(
    job: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" jobs ls --output json | true', "-", *COMMAND],  # noqa: S607 - found by PATH
        env=environment(variables),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def in_shell(
    redirected: str, *arguments: str, variables: dict[str, str], folder: Path
) -> tuple[int, str, str]:
    """Run a command with the redirections of a shell; return its exit code and what it wrote."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "-", *COMMAND, *arguments],  # noqa: S607 - found by PATH
        env=environment(variables),
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_streams_may_be_closed(job: Document, variables: dict[str, str], tmp_path: Path) -> None:
    def run(redirected: str, *arguments: str) -> tuple[int, str, str]:
        return in_shell(redirected, *arguments, variables=variables, folder=tmp_path)

    assert run("<&- >&- 2>&-", "jobs", "ls") == (0, "", "")
    assert run("<&-", "jobs", "send", "update", "-", "--output", "json") == (0, "[]\n", "")
    code, out, err = run("<&-", "jobs", "delete", job["uuid"], "--force")
    assert (code, out) == (2, "")
    assert "add --yes where nobody can be asked" in err


@pytest.mark.parametrize("command", ["jobs ls --session", "jobs ls --pipeline"])
def test_an_argument_that_is_not_utf_8_is_said_to_be_so(cli: Run, command: str) -> None:
    done = cli(*command.split(), os.fsdecode(b"sals\xe1"))
    problem = "an argument has the byte 0xe1, which is not UTF-8: write it in UTF-8"
    assert done == (2, "", f"ERROR {problem}\n")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_full_disk_behind_standard_output_is_said(
    form: str, cli: Run, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        done = cli("jobs", "ls", "-o", form)
        monkeypatch.undo()
        # the interpreter is not to try again
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    problem = "standard output cannot be written: No space left on device"
    assert done == (1, "", f"ERROR {problem}\n")


def test_a_full_disk_is_said_without_a_buffer_too(
    cli: Run, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
        monkeypatch.setattr("sys.stdout", full)
        done = cli("jobs", "ls")
        monkeypatch.undo()
    problem = "nothing more can be written: No space left on device: make room"
    assert done == (1, "", f"ERROR {problem}\n")


def test_output_is_utf_8_in_every_locale(
    jobs: PipelineJobStore, pipeline: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    name = "piñata 🌮"
    jobs.create({"pipeline_uuid": pipeline["uuid"], "archive_path": "/a", "data": {"name": name}})
    given = {**variables, "PYTHONIOENCODING": "latin-1"}
    code, out, err = in_shell(
        "", "jobs", "ls", "--columns", "title", "--output", "csv", variables=given, folder=tmp_path
    )
    assert (code, out, err) == (0, f"title\n{name}\n", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pipelinejobs jo", "jobs"),
        ("pipelinejobs jobs und", "undelete"),
        ("pipelinejobs jobs ls --state RUN", "RUNNING"),
        ("pipelinejobs jobs send fini", "finish"),
    ],
)
def test_the_shell_completes_commands_states_and_events(
    words: str, expected: str, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in asked(words).items():
        monkeypatch.setenv(name, value)
    assert bare().out.split() == [expected]


def test_the_program_answers_when_a_shell_asks_for_what_may_follow(tmp_path: Path) -> None:
    done = execute(folder=tmp_path, variables=asked("pipelinejobs jobs send fini"))
    assert (done.code, done.out.split(), done.err) == (0, ["finish"], "")


def asked(words: str) -> dict[str, str]:
    """Return the variables by which bash asks what may follow some words."""
    return {
        "_PIPELINEJOBS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }


def test_the_version_is_the_project_s(bare: Run) -> None:
    shown = bare("--version")
    version = next(
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version")
    )
    assert shown == (0, f"pipelinejobs {version}\n", "")


def test_nothing_is_done_without_a_command(bare: Run) -> None:
    shown = bare()
    assert "Usage: pipelinejobs" in shown.out + shown.err
    assert "Usage: pipelinejobs jobs" in (seen := bare("jobs")).out + seen.err


def test_a_local_database_that_is_there_and_silent_is_not_called_missing(
    bare: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("_REACTOR_MONGODB_AUTHN", raising=False)
    monkeypatch.setattr(LocalDatabase, "has_process", lambda _: True)
    done = bare("--local", str(tmp_path), "jobs", "ls")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"ERROR the local database in {tmp_path} does not answer: try again later. "
        "`make up` starts it again after a minute\n"
    )


def test_a_file_that_this_user_may_not_read_is_named_with_what_to_do(
    bare: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: LocalDatabase) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "database.json")

    monkeypatch.delenv("_REACTOR_MONGODB_AUTHN", raising=False)
    monkeypatch.setattr(LocalDatabase, "status", refuse)
    done = bare("--local", str(tmp_path), "jobs", "ls")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "ERROR database.json: Permission denied: run it as a user who may use this\n"
    )


NOWHERE = "127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("jobs", "ls"), {"_REACTOR_MONGODB_AUTHN": ""}),
        (("jobs", "ls"), {"_REACTOR_MONGODB_AUTHN": f"mongodb://{NOWHERE}"}),
        (("page",), {}),
        (("page",), {"_abaco_api_server": f"http://{NOWHERE}", "_abaco_access_token": "a"}),
    ],
    ids=["no database", "database is away", "no gateway", "gateway is away"],
)
def test_what_is_not_there_and_what_does_not_answer_end_alike(
    arguments: tuple[str, ...],
    given: dict[str, str],
    cli: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_REACTOR_MONGODB_TIMEOUT", "1")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    done = cli(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1), done.err


@pytest.mark.parametrize(
    ("module", "loaded"), [("pipelinejobs", "datacatalog.mongo"), ("abaco", "abaco.exceptions")]
)
def test_ctrl_c_ends_a_program_that_is_still_being_loaded_without_a_trace(
    module: str, loaded: str, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-v", "-m", module, "--help"],
        cwd=tmp_path,
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith(f"import {loaded!r}"):
            pass
        done = interrupted(process)
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err


def test_where_nothing_is_up_it_is_said_how_to_begin(bare: Run, tmp_path: Path) -> None:
    done = bare("jobs", "ls")
    assert (done.code, done.out) == (3, "")
    assert done.err == (
        f"ERROR no database: start the local one with `make up`, which is looked for in "
        f"{tmp_path}/.local (for another folder, --local or PIPELINEJOBS_LOCAL), "
        "or give a MongoDB URI in _REACTOR_MONGODB_AUTHN\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("_REACTOR_MONGODB_AUTHN", "s3cret-nonsense", "neither a MongoDB URI nor the base64"),
        ("_REACTOR_STATE_EXIT", "perhaps", "_REACTOR_STATE_EXIT must be true or false"),
        ("CATALOG_ADMIN_TOKEN_LIFETIME", "0", "give a positive number of seconds"),
    ],
)
def test_settings_that_mean_nothing_are_named(
    cli: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    done = cli("jobs", "ls")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert "s3cret" not in done.err


def test_a_config_file_in_the_folder_is_read(
    job: Document, bare: Run, variables: dict[str, str], tmp_path: Path
) -> None:
    uri, name, _ = variables.values()
    (tmp_path / "config.yml").write_text(f"mongodb:\n  authn: {uri}\n  database: {name}\n")
    done = bare("jobs", "ls")
    assert (done.code, job["uuid"] in done.out) == (0, True)


def test_in_a_narrow_terminal_no_number_is_cut(
    jobs: PipelineJobStore, pipeline: Document, screen: Screen
) -> None:
    made = [
        jobs.create(
            {"pipeline_uuid": pipeline["uuid"], "archive_path": "/a", "data": {"n": number}}
        )
        for number in range(11)
    ]
    for job in made:
        jobs.apply(jobs.load(job["uuid"]), "run", {})
    for width in (60, 200):
        shown = screen(width, "stats")
        head, row, *_ = lines_of(shown)
        assert head.split()[:3] == ["PIPELINE", "CREATED", "STARTED"]
        assert row[head.index("CREATED") :].split()[:2] == ["11", "11"]
        assert ("more columns need a wider terminal" in shown) == (width != 200)


def test_in_a_narrow_terminal_data_of_a_history_stays_in_its_column(
    jobs: PipelineJobStore, job: Document, screen: Screen
) -> None:
    jobs.apply(jobs.load(job["uuid"]), "run", {"host": "login1", "command": "align --sort " * 4})
    lines = [line.rstrip() for line in lines_of(screen(80, "jobs", "history", job["uuid"]))]
    column = lines[0].index('{"tacos": 3}')
    assert column < 60
    assert max(map(len, lines)) <= 80
    assert len(lines) > 3
    assert [line[:column].strip() for line in lines[2:]] == [""] * len(lines[2:])
