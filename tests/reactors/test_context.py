from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from reactors import clock
from reactors.exceptions import MessageError, SettingsError
from reactors.runtime import Reactor
from tests.reactors.conftest import PLATFORM, MakeReactor

URL = {"uuid": "107-of-the-url", "token": "0123456789abcdef", "x-nonce": "TACC_1", "note": "hi"}
NICKNAME = r"[a-z]+-[a-z]+"


def test_by_default_the_environment_of_the_process_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("_abaco_actor_id", "actor-1")
    rx = Reactor(folders=[tmp_path])
    monkeypatch.setenv("_abaco_actor_id", "actor-2")
    assert rx.uid == "actor-1"


def test_an_empty_environment_is_not_replaced_by_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch, make_reactor: MakeReactor
) -> None:
    monkeypatch.setenv("_abaco_actor_id", "actor-1")
    rx, _ = make_reactor({})
    assert rx.context.actor_id is None


# The context


def test_the_context_has_what_the_platform_said_under_the_names_of_the_sdk(
    make_reactor: MakeReactor,
) -> None:
    rx, _ = make_reactor({**PLATFORM, **URL, "MSG": "{'a': None}"})
    context = rx.context
    assert context.raw_message == "{'a': None}"
    assert context.message_dict == {"a": None}
    assert context.message_dict.a is None
    assert context.content_type == "application/json"
    assert context.execution_id == "rG5k0xKPmMBM"
    assert context.username == "somebody"
    assert context.state == "{'runs': 3, 'last': None}"
    assert context.actor_dbid == "SD2E_JXxQ5WbDPWpJ0"
    assert context.actor_id == "JXxQ5WbDPWpJ0"


def test_the_context_has_every_variable_under_its_own_name(make_reactor: MakeReactor) -> None:
    environ = {**PLATFORM, **URL, "MSG": "{}"}
    rx, _ = make_reactor(environ)
    assert environ.items() <= rx.context.items()
    assert rx.context.uuid == "107-of-the-url"
    assert rx.context.token == "0123456789abcdef"
    assert rx.context["x-nonce"] == "TACC_1"


def test_a_url_parameter_never_stands_for_what_the_platform_said(make_reactor: MakeReactor) -> None:
    forged = {
        "username": "operator",
        "state": "FINISHED",
        "actor_id": "another",
        "execution_id": "another",
        "message_dict": "{'a': 2}",
        "raw_message": "{'a': 2}",
        "content_type": "str",
    }
    rx, _ = make_reactor({**PLATFORM, **forged, "MSG": "{'a': 1}"})
    assert rx.context.username == rx.username == "somebody"
    assert rx.context.state == "{'runs': 3, 'last': None}"
    assert rx.context.actor_id == rx.uid == "JXxQ5WbDPWpJ0"
    assert rx.context.execution_id == rx.execid == "rG5k0xKPmMBM"
    assert rx.context.message_dict == rx.message_dict == {"a": 1}
    assert rx.context.raw_message == "{'a': 1}"
    assert rx.context.content_type == "application/json"
    # where the job's status comes from
    assert rx.environ["state"] == "FINISHED"


def test_a_url_parameter_says_nothing_where_the_platform_said_nothing(
    make_reactor: MakeReactor,
) -> None:
    rx, _ = make_reactor({"username": "operator", "state": "FINISHED"})
    assert rx.context.username is None
    assert rx.username is None
    assert rx.context.state is None
    assert rx.state == {}


@pytest.mark.parametrize("variable", ["_abaco_Content_Type", "_abaco_Content-Type"])
def test_the_content_type_is_found_under_both_names(
    make_reactor: MakeReactor, variable: str
) -> None:
    rx, _ = make_reactor({variable: "str"})
    assert rx.context.content_type == "str"


# The message


@pytest.mark.parametrize("text", ['{"a": {"b": null}}', "{'a': {'b': None}}"])
def test_the_message_dict_is_the_object_with_attributes(
    make_reactor: MakeReactor, text: str
) -> None:
    rx, _ = make_reactor({"MSG": text})
    assert rx.message_dict == {"a": {"b": None}}
    assert rx.message_dict.a.b is None
    assert rx.message is not None
    assert rx.message.structured


@pytest.mark.parametrize("text", ["[1]", "5", "just a text", '{"a": 1, "a": 2}', "[" * 100])
def test_the_message_dict_of_what_is_no_object_is_empty(
    make_reactor: MakeReactor, text: str
) -> None:
    rx, _ = make_reactor({"MSG": text})
    assert rx.message_dict == {}
    assert rx.context.raw_message == text


@pytest.mark.parametrize("environ", [{}, {"MSG": ""}, {"MSG": " \n"}])
def test_without_a_message_there_is_none(
    make_reactor: MakeReactor, environ: dict[str, str]
) -> None:
    rx, _ = make_reactor(environ)
    assert rx.message is None
    assert rx.message_dict == {}
    assert rx.context.raw_message_parse_log == ""


@pytest.mark.parametrize(
    ("text", "log"),
    [('{"a": 1}', ""), ("just a text", "not JSON, but text"), ('{"a": 1, "a": 2}', "twice")],
)
def test_the_context_says_how_the_message_was_read(
    make_reactor: MakeReactor, text: str, log: str
) -> None:
    rx, _ = make_reactor({"MSG": text})
    assert log in rx.context.raw_message_parse_log
    assert bool(log) == bool(rx.context.raw_message_parse_log)


def test_a_message_that_cannot_be_read_says_so_each_time(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({"MSG": '{"a": NaN}'})
    for _ in range(2):
        with pytest.raises(MessageError, match="NaN"):
            _ = rx.message


@pytest.mark.parametrize(("left", "right"), [('{"a":', "}"), ("{'a':", "}")])
def test_a_deep_message_is_no_stack_trace(make_reactor: MakeReactor, left: str, right: str) -> None:
    rx, _ = make_reactor({"MSG": left * 900 + "1" + right * 900})
    assert isinstance(rx.context.message_dict, dict)


# Who and what


def test_ids_come_from_the_platform(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor(PLATFORM)
    assert (rx.uid, rx.execid, rx.username) == ("JXxQ5WbDPWpJ0", "rG5k0xKPmMBM", "somebody")


def test_a_local_run_has_a_name_in_place_of_ids(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({"LOCALONLY": "1"})
    assert re.fullmatch(NICKNAME, rx.nickname)
    assert rx.uid == rx.execid == rx.session == rx.nickname
    assert rx.username is None


def test_executions_have_names_of_their_own(make_reactor: MakeReactor) -> None:
    assert len({make_reactor({})[0].nickname for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("environ", "session"),
    [
        ({"x_session": "brave-fox", "SESSION": "calm-cat"}, "brave-fox"),
        ({"SESSION": "calm-cat"}, "calm-cat"),
        ({"x_session": "", "SESSION": "calm-cat"}, "calm-cat"),
    ],
)
def test_the_session_is_that_of_the_sender(
    make_reactor: MakeReactor, environ: dict[str, str], session: str
) -> None:
    assert make_reactor(environ)[0].session == session


@pytest.mark.parametrize("environ", [{}, {"LOCALONLY": "0"}, {"LOCALONLY": ""}])
def test_a_run_on_the_platform_is_not_local(
    make_reactor: MakeReactor, environ: dict[str, str]
) -> None:
    assert make_reactor(environ)[0].local is False


def test_localonly_makes_a_local_run(make_reactor: MakeReactor) -> None:
    assert make_reactor({"LOCALONLY": "1"})[0].local is True


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("{'runs': 3, 'last': None}", {"runs": 3, "last": None}),
        ('{"runs": 3, "last": null}', {"runs": 3, "last": None}),
        ("{}", {}),
        ("", {}),
        ("not a state", {}),
        ("[1]", {}),
        ("[" * 1000, {}),
    ],
)
def test_the_state_of_the_actor_is_an_object(
    make_reactor: MakeReactor, text: str, state: dict[str, Any]
) -> None:
    assert make_reactor({"_abaco_actor_state": text})[0].state == state


@pytest.mark.parametrize(
    ("environ", "server"),
    [
        (
            {"_abaco_api_server": "https://a.org", "TACC_API_SERVER": "https://b.org"},
            "https://a.org",
        ),
        ({"_abaco_api_server": "", "TACC_API_SERVER": "https://b.org"}, "https://b.org"),
        ({}, "https://api.sd2e.org"),
    ],
)
def test_the_api_server_is_that_of_the_platform(
    make_reactor: MakeReactor, environ: dict[str, str], server: str
) -> None:
    assert make_reactor(environ)[0].api_server == server


def test_elapsed_counts_microseconds(make_reactor: MakeReactor) -> None:
    began = clock.microseconds()
    rx, _ = make_reactor({})
    time.sleep(0.02)
    first = rx.elapsed()
    assert 20_000 <= first <= clock.microseconds() - began
    assert rx.elapsed() >= first


def test_settings_that_cannot_be_used_are_named_at_once(make_reactor: MakeReactor) -> None:
    with pytest.raises(SettingsError, match="_REACTOR_DEBUG must be true or false"):
        make_reactor({"_REACTOR_DEBUG": "perhaps"}, "debug: false")
