from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from reactors import logtypes
from reactors.exceptions import SettingsError
from reactors.logs import REDACTED, Redactor
from reactors.logtypes import get_file_logger, get_screen_logger, get_slack_logger
from reactors.runtime import Reactor
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


def test_an_actor_with_a_full_file_ends_well(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("logs: {file: /dev/full}")
    code = f"from pathlib import Path; folder = Path({str(tmp_path)!r})\n"
    code += "from reactors.runtime import Reactor; Reactor(folders=[folder]).on_success('done')"
    child = run(code, **PLATFORM)
    assert child.returncode == 0
    assert re.fullmatch(r"\S+ INFO done\n", child.stderr)


# Where a file may be


ALLOWED = "logs: {folders: [logs, /var/log/none]}"
OUTSIDE = "logs.file: a variable can only name a file in one of the folders that logs.folders in config.yml lists"
NO_PLAIN_FILE = "logs.file: in the folders of logs.folders, only a plain file is written to"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of logs, beside `config.yml`, with ways out of it."""
    folder = tmp_path / "logs"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").write_text("kept\n")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "link.log").symlink_to(tmp_path / "elsewhere" / "kept.txt")
    (folder / "dangling.log").symlink_to(tmp_path / "elsewhere" / "new.txt")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("name", ["actor.log", "inner/actor.log"])
def test_a_variable_names_a_file_in_a_folder_of_the_configuration(
    make_reactor: MakeReactor, folder: Path, name: str
) -> None:
    rx, stream = make_reactor({"_REACTOR_LOGS_FILE": str(folder / name)}, ALLOWED)
    rx.logger.info("it is here")
    assert (folder / name).read_text() == stream.getvalue() != ""


@pytest.mark.parametrize("config", ["", "debug: false", "logs: {folders: []}", ALLOWED])
@pytest.mark.parametrize(
    "name", ["elsewhere/kept.txt", "elsewhere/new.txt", "logs/../elsewhere/kept.txt"]
)
def test_a_variable_names_no_file_outside_of_them(
    make_reactor: MakeReactor, folder: Path, config: str, name: str
) -> None:
    environ = {"_REACTOR_LOGS_FILE": f"{folder.parent}/{name}"}
    with pytest.raises(SettingsError, match=re.escape(OUTSIDE)):
        make_reactor(environ, config)
    assert {path.name for path in (folder.parent / "elsewhere").iterdir()} == {"kept.txt"}


@pytest.mark.parametrize(
    "name", ["link.log", "dangling.log", "link/kept.txt", "link/new.txt", "pipe", "inner"]
)
def test_nothing_in_them_leads_out(make_reactor: MakeReactor, folder: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(NO_PLAIN_FILE)):
        make_reactor({"_REACTOR_LOGS_FILE": str(folder / name)}, ALLOWED)
    kept = folder.parent / "elsewhere"
    assert [path.read_text() for path in kept.iterdir()] == ["kept\n"]


def test_a_link_that_comes_later_is_not_followed(make_reactor: MakeReactor, folder: Path) -> None:
    file = folder / "actor.log"
    rx, _ = make_reactor({"_REACTOR_LOGS_FILE": str(file)}, ALLOWED)
    rx.logger.info("first")
    file.unlink()
    file.symlink_to(folder.parent / "elsewhere" / "kept.txt")
    rx.logger.info("second")
    assert (folder.parent / "elsewhere" / "kept.txt").read_text() == "kept\n"


@pytest.mark.parametrize("variable", ["_REACTOR_LOGS_FOLDERS", "_REACTOR_Logs_Folders"])
@pytest.mark.parametrize("config", ["", "logs: {level: INFO}", ALLOWED])
def test_no_variable_allows_a_folder(
    make_reactor: MakeReactor, folder: Path, variable: str, config: str
) -> None:
    for more in ({}, {"_REACTOR_LOGS_FILE": str(folder / "actor.log")}):
        with pytest.raises(SettingsError, match=r"logs\.folders can only be set in config\.yml"):
            make_reactor({**more, variable: "/"}, config)


def test_the_configuration_may_name_any_file_and_a_variable_the_same(
    make_reactor: MakeReactor, folder: Path
) -> None:
    own = folder.parent / "elsewhere" / "own.txt"
    config = f"logs: {{file: '{own}', folders: [logs]}}"
    for environ in ({}, {"_REACTOR_LOGS_FILE": str(own)}):
        make_reactor(environ, config)[0].logger.info("mine")
    assert len(own.read_text().splitlines()) == 2
    with pytest.raises(SettingsError, match=re.escape(OUTSIDE)):
        make_reactor({"_REACTOR_LOGS_FILE": f"{own}.more"}, config)


def test_the_last_configuration_that_lists_folders_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for each, config in ((first, "logs: {folders: [.]}"), (second, "logs: {level: INFO}")):
        each.mkdir()
        (each / "config.yml").write_text(config)
    environ = {"_REACTOR_LOGS_FILE": str(first / "actor.log")}
    Reactor(environ, folders=[first, second]).logger.info("allowed by the first")
    assert "allowed" in (first / "actor.log").read_text()
    (second / "config.yml").write_text("logs: {folders: [.]}")
    with pytest.raises(SettingsError, match=re.escape(OUTSIDE)):
        Reactor(environ, folders=[first, second])


@pytest.mark.parametrize("folders", ["logs", "{a: b}", "[1]", "['']"])
def test_folders_that_are_no_list_of_folders(make_reactor: MakeReactor, folders: str) -> None:
    with pytest.raises(SettingsError, match=r"logs\.folders must be a list of folders"):
        make_reactor({}, f"logs: {{folders: {folders}}}")


def test_a_logger_for_a_file_writes_to_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "actor.log"
    logger = get_file_logger("actor", None, {"logs": {"file": str(path)}}, [SECRET])
    logger.warning("it is %s", SECRET)
    get_file_logger("actor").warning("there is no file")
    assert path.read_text().endswith(f"WARNING it is {REDACTED}\n")
    assert capsys.readouterr() == ("", "")
