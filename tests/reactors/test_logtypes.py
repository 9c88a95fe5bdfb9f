from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from reactors import logtypes
from reactors.exceptions import SettingsError
from reactors.logs import REDACTED, Redactor
from reactors.logtypes import get_file_logger, get_screen_logger, get_slack_logger
from tests.reactors.conftest import PLATFORM, MakeReactor, run

SECRET = "access-token-of-the-tests"
ALL = [get_file_logger, get_screen_logger, get_slack_logger]


def test_there_is_a_logger_for_screen_file_and_slack() -> None:
    assert logtypes.__all__ == ["get_file_logger", "get_screen_logger", "get_slack_logger"]


@pytest.mark.parametrize("get_logger", ALL)
def test_loggers_have_a_name_and_the_level_of_the_settings(get_logger: Any) -> None:
    logger = get_logger("actor", "slack", {"logs": {"level": "warning"}})
    assert logger.name == "actor slack"
    assert [logger.isEnabledFor(level) for level in (20, 30)] == [False, True]
    assert get_logger("actor").name == "actor"
    assert get_logger("actor", settings={"debug": True}).isEnabledFor(10)


@pytest.mark.parametrize("get_logger", ALL)
def test_a_level_that_there_is_not_is_named(get_logger: Any) -> None:
    with pytest.raises(SettingsError, match=r"logs\.level is 'LOUD'"):
        get_logger("actor", settings={"logs": {"level": "LOUD"}})


# The screen


def test_the_screen_blacks_out_and_tells_its_fields_in_json() -> None:
    stream = io.StringIO()
    settings = {"logs": {"format": "json"}}
    fields = {"actor_id": "actor1"}
    logger = get_screen_logger("actor", None, settings, [SECRET], fields, stream=stream)
    logger.info("it is %s", SECRET)
    line = json.loads(stream.getvalue())
    assert (line["message"], line["actor_id"]) == (f"it is {REDACTED}", "actor1")


def test_a_line_with_the_wrong_arguments_shows_no_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = get_screen_logger("actor", redactions=Redactor([SECRET]))
    for text in ("%s and %s", "%d"):
        logger.info(text, SECRET)
    captured = capsys.readouterr()
    assert SECRET not in captured.err
    assert [line.split(" ", 2)[2] for line in captured.err.splitlines()] == [
        f"%s and %s ('{REDACTED}',)",
        f"%d ('{REDACTED}',)",
    ]


# A file


def log_to(make_reactor: MakeReactor, path: Path, form: str = "text") -> tuple[Any, io.StringIO]:
    config = f"logs: {{file: '{path}', format: {form}}}"
    return make_reactor({**PLATFORM, "_REACTOR_A_SECRET": SECRET}, config)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_file_gets_the_lines_of_the_screen(
    make_reactor: MakeReactor, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "actor.log"
    rx, stream = log_to(make_reactor, path, form)
    rx.logger.info("it is %s 🌮", SECRET)
    rx.loggers.screen.warning("second\nline")
    written = path.read_text(encoding="utf-8")
    assert written == stream.getvalue()
    assert SECRET not in written
    assert REDACTED in written
    assert len(written.splitlines()) == 2


def test_a_file_is_appended_to(make_reactor: MakeReactor, tmp_path: Path) -> None:
    path = tmp_path / "actor.log"
    for number in range(2):
        log_to(make_reactor, path)[0].logger.info("line %d", number)
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["0", "1"]


def test_a_file_that_cannot_be_opened_is_named_once_and_done_without(
    make_reactor: MakeReactor, tmp_path: Path
) -> None:
    path = tmp_path / "none" / "actor.log"
    rx, stream = log_to(make_reactor, path)
    rx.logger.info("first")
    rx.logger.info("second")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        f"WARNING logs.file {path} cannot be written: No such file or directory",
        "INFO first",
        "INFO second",
    ]


def test_a_file_that_is_full_stops_nothing(
    make_reactor: MakeReactor, capsys: pytest.CaptureFixture[str]
) -> None:
    rx, stream = log_to(make_reactor, Path("/dev/full"))
    rx.logger.info("the job is running")
    assert stream.getvalue().endswith("INFO the job is running\n")
    assert capsys.readouterr().err == ""


def test_an_actor_with_a_full_file_ends_well() -> None:
    code = "from reactors.runtime import Reactor; Reactor().on_success('done')"
    child = run(code, _REACTOR_LOGS_FILE="/dev/full", **PLATFORM)
    assert child.returncode == 0
    assert re.fullmatch(r"\S+ INFO done\n", child.stderr)


def test_a_logger_for_a_file_writes_to_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "actor.log"
    logger = get_file_logger("actor", None, {"logs": {"file": str(path)}}, [SECRET])
    logger.warning("it is %s", SECRET)
    get_file_logger("actor").warning("there is no file")
    assert path.read_text().endswith(f"WARNING it is {REDACTED}\n")
    assert capsys.readouterr() == ("", "")
