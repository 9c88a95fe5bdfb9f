from __future__ import annotations

import datetime
import io
import json
import logging
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from reactors.exceptions import SettingsError
from reactors.logs import REDACTED, Redactor
from reactors.logtypes import get_screen_logger
from reactors.runtime import Reactor
from tests.reactors.conftest import MakeReactor

FORMS = ("text", "json")
PASSWORD = "p%40ssword"
ENVIRON = {
    "token": "0123456789abcdef",
    "x-nonce": "TACC_QJ5mPW/8+w=",
    "_abaco_access_token": "b8c3d5e7f9a1b2c3",
    "_REACTOR_MONGODB_AUTHN": f"mongodb://catalog:{PASSWORD}@db.example.org/x",
    "_REACTOR_PIPELINES_JOB_MANAGER_NONCE": "manager-nonce/+=",
    "_REACTOR_PIPELINES_PROCESS_UUID": "117-of-the-process",
    "_REACTOR_OF_NO_KNOWN_SECTION": "something-else",
    "CATALOG_ADMIN_TOKEN_SECRET": "the-secret-of-tokens",
    "CATALOG_ADMIN_TOKEN_KEY": "the-key-of-tokens",
}
CONFIG = """
logs: {{format: {form}, token: token-of-the-logs}}
mongodb: {{authn: "", database: catalog}}
pipelines: {{job_manager_nonce: "", process_uuid: "", events_manager_nonce: nonce-in-the-file}}
"""
SECRETS = {**ENVIRON, "logs.token": "token-of-the-logs", "a nonce": "nonce-in-the-file"}


def logged(make_reactor: MakeReactor, form: str, *lines: str) -> str:
    """Log lines in a Reactor with the secrets of `ENVIRON`; return what was written."""
    rx, stream = make_reactor(ENVIRON, CONFIG.format(form=form))
    for line in lines:
        rx.logger.info("%s", line)
    return stream.getvalue()


# Secrets that the Reactor knows


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SECRETS)
def test_a_known_secret_is_blacked_out_and_the_rest_stays(
    make_reactor: MakeReactor, form: str, name: str
) -> None:
    log = logged(make_reactor, form, f"before {SECRETS[name]}; after")
    assert SECRETS[name] not in log
    assert f"before {REDACTED}; after" in log


def in_json(text: str) -> str:
    return json.dumps({"k": text})[7:-2]


def in_repr(text: str) -> str:
    return repr(text)[1:-1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "encode", [lambda text: quote(text, safe=""), quote, quote_plus, in_json, in_repr]
)
@pytest.mark.parametrize(
    "secret", ["plain.se~cret-1_", "ab/cd+ef==12", "pass word/1", 'back\\slash"quote', "Gruß-123"]
)
def test_a_known_secret_is_blacked_out_in_other_writings(
    make_reactor: MakeReactor, form: str, encode: Callable[[str], str], secret: str
) -> None:
    rx, stream = make_reactor({"_REACTOR_A_SECRET": secret}, f"logs: {{format: {form}}}")
    rx.logger.info("before %s after", encode(secret))
    assert f"before {REDACTED} after" in stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_of_several_lines_is_blacked_out(make_reactor: MakeReactor, form: str) -> None:
    secret = "first-half\nsecond-half\n"
    rx, stream = make_reactor({"_REACTOR_A_SECRET": secret}, f"logs: {{format: {form}}}")
    rx.logger.info("before %s after", secret)
    assert "half" not in stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_an_error_is_blacked_out(make_reactor: MakeReactor, form: str) -> None:
    rx, stream = make_reactor(ENVIRON, CONFIG.format(form=form))
    try:
        int(ENVIRON["_abaco_access_token"])
    except ValueError:
        rx.logger.exception("it failed")
    assert "it failed" in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert ENVIRON["_abaco_access_token"] not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_that_is_learned_later_is_blacked_out(
    make_reactor: MakeReactor, form: str
) -> None:
    rx, stream = make_reactor({}, f"logs: {{format: {form}}}")
    rx.logger.info("nothing yet")
    rx.redact.add("learned-from-the-body", None, "", 5)
    rx.logger.info("token learned-from-the-body 5")
    assert "learned-from-the-body" not in stream.getvalue()
    assert f"token {REDACTED} 5" in stream.getvalue()


def test_what_an_actor_wants_to_be_blacked_out_is(capsys: pytest.CaptureFixture[str]) -> None:
    Reactor(redactions=["guacamole"]).logger.warning("the recipe of guacamole")
    assert capsys.readouterr().err.endswith(f" the recipe of {REDACTED}\n")


@pytest.mark.parametrize("form", FORMS)
def test_the_end_of_a_longer_secret_does_not_show(make_reactor: MakeReactor, form: str) -> None:
    environ = {"_REACTOR_A_X": "secret", "_REACTOR_A_Y": "secret-and-more"}
    rx, stream = make_reactor(environ, f"logs: {{format: {form}}}")
    rx.logger.info("it is secret-and-more")
    assert "more" not in stream.getvalue()


# Secrets that nobody told it of


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/messages?token=feedbeef01&uuid=107", f"/messages?token={REDACTED}&uuid=107"),
        ("?uuid=107&x-nonce=TACC_abc&a=1", f"?uuid=107&x-nonce={REDACTED}&a=1"),
        ("x_nonce=TACC_abc", f"x_nonce={REDACTED}"),
        ("access_token=abc.def-1", f"access_token={REDACTED}"),
        ('{"token": "feedbeef01", "a": 1}', f'"token": "{REDACTED}", "a": 1'),
        ('{"token":"feedbeef01"}', f'"token":"{REDACTED}"'),
        ("{'token': 'feedbeef01', 'a': 1}", f"'token': '{REDACTED}', 'a': 1"),
        ('{"_update_token": "feedbeef01"}', f'"_update_token": "{REDACTED}"'),
        ("{'_salt': 'ih9vhsonigk==', 'a': 1}", f"{{'_salt': '{REDACTED}', 'a': 1}}"),
        ("{'x-nonce': 'feedbeef01'}", f"'x-nonce': '{REDACTED}'"),
        ("Authorization: Bearer abc.DEF-123/4==", f"Authorization: Bearer {REDACTED}"),
        ("{'authorization': 'bearer feedbeef01'}", f"'bearer {REDACTED}'"),
        ("mongodb://user:hunter22@db:27017/x", f"mongodb://{REDACTED}@db:27017/x"),
        ("mongodb+srv://user:h%2F2@db/x", f"mongodb+srv://{REDACTED}@db/x"),
    ],
)
def test_what_looks_like_a_credential_is_blacked_out(
    make_reactor: MakeReactor, form: str, text: str, shown: str
) -> None:
    rx, stream = make_reactor({}, f"logs: {{format: {form}}}")
    rx.logger.info("see %s", text)
    line = stream.getvalue()
    assert shown in (json.loads(line)["message"] if form == "json" else line)
    for secret in ("feedbeef01", "TACC_abc", "abc.d", "abc.D", "hunter22", "h%2F2"):
        assert secret not in line


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "job 1071269f-b251-5a5f-bec1-6d7f77131f3f: run event, state RUNNING, revision 3",
        "the token is wrong, or there is no such job",
        "the bearer of this message",
        "mongodb://127.0.0.1:27017/?directConnection=true",
        "agave://data-sd2e-community/products/v2/tokens",
        "Grüße 🌮",
    ],
)
def test_other_text_is_left_as_it_is(make_reactor: MakeReactor, form: str, text: str) -> None:
    rx, stream = make_reactor({}, f"logs: {{format: {form}}}")
    rx.logger.info(text)
    assert text in stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_switches_and_levels_in_the_environment_spoil_no_line(
    make_reactor: MakeReactor, form: str
) -> None:
    environ = {
        "_REACTOR_DEBUG": "false",
        "_REACTOR_LOGS_LEVEL": "WARNING",
        "_REACTOR_STATE_EXIT": "1",
        "_REACTOR_LOGS_TOKEN": "",
        "CATALOG_ADMIN_TOKEN_LIFETIME": "3600",
    }
    rx, stream = make_reactor(environ, f"debug: false\nlogs: {{format: {form}, token: x}}")
    rx.logger.warning("revision 1 after 3600 s, false alarm")
    line = stream.getvalue()
    assert REDACTED not in line
    assert "revision 1 after 3600 s, false alarm" in line
    assert "WARNING" in line


def test_a_redactor_can_be_used_alone() -> None:
    assert Redactor(["hunter22"])("hunter22 and 'token': 'x'") == (
        f"{REDACTED} and 'token': '{REDACTED}'"
    )
    assert Redactor([""])("abc") == "abc"


# The form of a line


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85", "\n\n"])
def test_a_record_is_one_line_whatever_is_in_it(
    make_reactor: MakeReactor, form: str, end: str
) -> None:
    log = logged(make_reactor, form, f"first{end}2026-01-01T00:00:00Z ERROR forged{end}", "second")
    assert len(log.splitlines()) == 2
    assert log.endswith("\n")
    assert re.search(r"first +2026-01-01T00:00:00Z ERROR forged", log)


def test_a_text_line_has_time_level_and_message(make_reactor: MakeReactor) -> None:
    line = logged(make_reactor, "text", "hello")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO hello\n", line)


def test_the_time_of_a_line_is_utc(
    make_reactor: MakeReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        line = logged(make_reactor, "text", "hello")
    finally:
        monkeypatch.undo()
        time.tzset()
    written = datetime.datetime.strptime(line.split()[0], "%Y-%m-%dT%H:%M:%S%z")
    distance = datetime.datetime.now(datetime.timezone.utc) - written
    assert abs(distance.total_seconds()) < 60


def test_a_json_line_has_what_a_collector_asks_for(make_reactor: MakeReactor) -> None:
    environ = {"_abaco_actor_id": "actor1", "_abaco_execution_id": "execution1"}
    rx, stream = make_reactor(environ, "logs: {format: json}")
    rx.logger.warning('a "quoted" %s', "Grüße\nnext\ttab")
    rx.logger.error("second")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "WARNING",
        "message": 'a "quoted" Grüße next\ttab',
        "actor_id": "actor1",
        "execution_id": "execution1",
    }
    assert (second["level"], second["message"]) == ("ERROR", "second")


def test_a_json_line_of_a_local_run_has_no_empty_ids(make_reactor: MakeReactor) -> None:
    rx, stream = make_reactor({}, "logs: {format: json}")
    rx.logger.info("hello")
    assert set(json.loads(stream.getvalue())) == {"time", "level", "message"}


# Levels


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ("", ["info", "warning", "error"]),
        ("logs: {level: DEBUG}", ["debug", "info", "warning", "error"]),
        ("logs: {level: warning}", ["warning", "error"]),
        ("logs: {level: ERROR}", ["error"]),
        ("debug: true\nlogs: {level: ERROR}", ["debug", "info", "warning", "error"]),
        ("logs:", ["info", "warning", "error"]),
    ],
)
def test_the_level_is_honoured(make_reactor: MakeReactor, config: str, shown: list[str]) -> None:
    rx, stream = make_reactor({}, config)
    for level in ("debug", "info", "warning", "error"):
        getattr(rx.logger, level)("a %s line", level)
    assert [line.split()[-2] for line in stream.getvalue().splitlines()] == shown


def test_a_level_from_the_environment_wins(make_reactor: MakeReactor) -> None:
    rx, stream = make_reactor({"_REACTOR_LOGS_LEVEL": "ERROR"}, "logs: {level: DEBUG}")
    rx.logger.warning("not this")
    rx.logger.error("but this")
    assert [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()] == [
        "ERROR but this"
    ]


def test_an_unknown_level_is_named_with_the_ones_that_exist(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({}, "logs: {level: LOUD}")
    with pytest.raises(SettingsError, match=r"logs\.level is 'LOUD': use one of DEBUG, INFO"):
        rx.logger.info("hello")


# Several in one process


def test_two_reactors_share_no_handler_and_no_secret(make_reactor: MakeReactor) -> None:
    one, log_of_one = make_reactor({"token": "token-of-one"})
    two, log_of_two = make_reactor({"token": "token-of-two"})
    one.logger.info("one: token-of-one token-of-two")
    two.logger.info("two: token-of-one token-of-two")
    assert f"one: {REDACTED} token-of-two" in log_of_one.getvalue()
    assert f"two: token-of-one {REDACTED}" in log_of_two.getvalue()
    assert len(log_of_one.getvalue().splitlines()) == 1
    assert len(log_of_two.getvalue().splitlines()) == 1


def test_many_reactors_log_each_line_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        Reactor({}, folders=[tmp_path]).logger.warning("line %d", number)
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == [
        str(number) for number in range(20)
    ]


def test_the_loggers_of_other_packages_are_left_alone(make_reactor: MakeReactor) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), set(logging.root.manager.loggerDict))
    rx, _ = make_reactor({})
    rx.logger.info("hello")
    assert (root.level, root.handlers, set(logging.root.manager.loggerDict)) == before


def test_by_default_the_log_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    get_screen_logger("actor").info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(" INFO hello\n")


def test_bytes_that_are_no_utf8_do_not_stop_a_log() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", errors=sys.stderr.errors)
    logger = get_screen_logger("actor", settings={"logs": {"format": "json"}}, stream=stream)
    logger.info("caf%s", b"\xe9".decode(errors="surrogateescape"))
    logger.info("next")
    stream.flush()
    assert [json.loads(line)["message"][:3] for line in raw.getvalue().splitlines()] == [
        "caf",
        "nex",
    ]
