from __future__ import annotations

import json
from pathlib import Path

import pytest

from reactors import runtime, utils
from reactors.exceptions import MessageError, SettingsError
from reactors.runtime import Reactor, agaveutils
from tests.conftest import ROOT
from tests.reactors.conftest import PLATFORM, MakeReactor, run

# Imports


def test_the_import_that_actors_use_gives_both_names() -> None:
    assert agaveutils.to_agave_uri("system", "/a", "b") == "agave://system/a/b"
    assert Reactor.__name__ == "Reactor"


def test_runtime_and_utils_have_the_same_names() -> None:
    names = ["Reactor", "agaveutils", "logtypes", "microseconds", "process", "utcnow"]
    assert runtime.__all__ == utils.__all__ == names
    assert all(getattr(runtime, name) is getattr(utils, name) for name in names)


NAMES = {
    "what the platform said": (
        "context message message_dict get_binary_message uid execid username session nickname "
        "api_server local state client elapsed"
    ),
    "reports": "logger loggers on_success on_failure send_result",
    "messages": "validate_message send_message",
    "other actors": "resolve_alias resolve_actor_alias get_attr actor_property",
    "who is let in": (
        "add_nonce get_nonce list_nonces delete_nonce delete_all_nonces "
        "create_webhook delete_webhook"
    ),
    "files": "pemagent",
}


def test_a_reactor_has_the_names_that_actors_use_and_no_others() -> None:
    expected = {name for names in NAMES.values() for name in names.split()}
    assert {name for name in dir(Reactor) if not name.startswith("_")} == expected


@pytest.mark.parametrize(
    "code", ["", "rx = Reactor(); rx.context; rx.message_dict; rx.logger.info('x')"]
)
def test_a_reactor_is_made_without_what_only_some_messages_need(code: str) -> None:
    heavy = ("agavepy", "requests", "jsonschema", "petname", "pymongo", "bson", "datacatalog")
    program = (
        f"import sys; from reactors.runtime import Reactor, agaveutils; {code}\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    child = run(program, MSG='{"a": 1}', **PLATFORM)
    assert child.returncode == 0, child.stderr
    assert child.stdout == "[]\n"


# Schemas

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


@pytest.fixture
def schema_path(tmp_path: Path) -> str:
    path = tmp_path / "message.jsonschema"
    path.write_text(json.dumps(SCHEMA))
    return str(path)


def test_a_message_that_fits_is_true(make_reactor: MakeReactor, schema_path: str) -> None:
    rx, _ = make_reactor({"MSG": "{'a': 1}"})
    assert rx.validate_message(rx.context.message_dict, schema_path) is True
    assert rx.validate_message(rx.message_dict, messageschema=schema_path, permissive=False) is True


def test_a_message_that_does_not_fit_is_false(make_reactor: MakeReactor, schema_path: str) -> None:
    rx, _ = make_reactor({})
    assert rx.validate_message({"a": "1"}, messageschema=schema_path) is False
    assert rx.validate_message({}, schema_path, True) is False


def test_a_message_that_must_fit_and_does_not_raises_with_what_is_wrong(
    make_reactor: MakeReactor, schema_path: str
) -> None:
    rx, _ = make_reactor({})
    with pytest.raises(MessageError, match="'a' is a required property"):
        rx.validate_message({}, messageschema=schema_path, permissive=False)


def test_the_error_of_a_message_repeats_no_secret(
    make_reactor: MakeReactor, schema_path: str
) -> None:
    secret = "access-token-" + "0123456789" * 4
    rx, _ = make_reactor({"_abaco_access_token": secret})
    for text in (secret, "x" * 270 + secret, "x" * 295 + secret):
        with pytest.raises(MessageError, match="does not fit") as caught:
            rx.validate_message({"a": text}, schema_path, permissive=False)
        assert "access-token" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_the_schema_of_this_project_is_usable_by_name(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({})
    path = str(ROOT / "message.jsonschema")
    assert rx.validate_message({"any": "object"}, messageschema=path)
    assert not rx.validate_message(["an array"], messageschema=path)


@pytest.mark.parametrize("path", ["/message.jsonschema", "/schemas/launch.jsonschema"])
def test_a_schema_of_the_image_is_found_where_the_actor_is_in_another_folder(
    make_reactor: MakeReactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    file = tmp_path / path.lstrip("/")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(SCHEMA))
    monkeypatch.chdir(tmp_path)
    rx, _ = make_reactor({})
    assert rx.validate_message({"a": 1}, path)
    assert not rx.validate_message({"a": "1"}, path)


def test_a_schema_at_its_own_path_is_not_looked_for_elsewhere(
    make_reactor: MakeReactor, schema_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / schema_path.lstrip("/")
    other.parent.mkdir(parents=True)
    other.write_text("true")
    monkeypatch.chdir(tmp_path)
    rx, _ = make_reactor({})
    assert not rx.validate_message({}, schema_path)


def test_a_missing_schema_is_named_even_if_permissive(make_reactor: MakeReactor) -> None:
    rx, _ = make_reactor({})
    with pytest.raises(SettingsError, match=r"/none\.jsonschema: there is no such schema"):
        rx.validate_message({}, messageschema="/none.jsonschema")
