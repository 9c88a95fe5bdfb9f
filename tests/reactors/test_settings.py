from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from reactors import settings
from reactors.exceptions import SettingsError
from tests.conftest import ROOT

CONFIG = """
debug: false
state_exit: true
logs:
  level: INFO
  token: ""
mongodb:
  authn: ""
  timeout: 10
pipelines:
  job_manager_id: ""
  job_manager_nonce: ""
authorization:
  trusted_users: []
  nonce_may_create: false
ratio: 0.5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yml").write_text(CONFIG)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.yml").write_text(text)
    return folder


# Files


def test_without_any_file_there_are_no_settings(tmp_path: Path) -> None:
    assert settings.load({}, [tmp_path, tmp_path / "missing"]) == {}


def test_an_empty_file_gives_no_settings(tmp_path: Path) -> None:
    assert settings.load({}, [write(tmp_path, "# nothing yet\n")]) == {}


def test_keys_are_attributes(folder: Path) -> None:
    loaded = settings.load({}, [folder])
    assert loaded.mongodb.timeout == 10
    assert loaded["logs"]["level"] == "INFO"


def parsed_times(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows when a file is read and parsed."""
    times: list[Path] = []
    parse = settings._parse

    def noted(path: Path, text: str) -> dict[str, Any]:
        times.append(path)
        return parse(path, text)

    monkeypatch.setattr(settings, "_parse", noted)
    # as if the files had not been written a moment ago
    monkeypatch.setattr(settings, "_TICK", 0)
    return times


def test_a_file_is_parsed_once_until_it_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = parsed_times(monkeypatch)
    for _ in range(3):
        assert settings.load({}, [folder]).mongodb.timeout == 10
    assert len(times) == 1
    for _ in range(3):
        assert settings.load({"_REACTOR_MONGODB_TIMEOUT": "3"}, [folder]).mongodb.timeout == 3
    assert len(times) == 2
    write(folder, CONFIG.replace("timeout: 10", "timeout: 20"))
    for _ in range(3):
        assert settings.load({}, [folder]).mongodb.timeout == 20
    assert len(times) == 3


def test_another_file_in_its_place_of_the_same_size_and_date_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed_times(monkeypatch)
    settings.load({}, [folder])
    file, other = folder / "config.yml", tmp_path / "other.yml"
    date = file.stat().st_mtime_ns
    other.write_text(CONFIG.replace("timeout: 10", "timeout: 20"))
    os.utime(other, ns=(date, date))
    other.rename(file)
    assert settings.load({}, [folder]).mongodb.timeout == 20
    file.unlink()
    assert settings.load({}, [folder]) == {}


def test_two_changes_in_one_tick_of_the_clock_are_both_seen(folder: Path) -> None:
    for number in range(20, 60):
        write(folder, CONFIG.replace("timeout: 10", f"timeout: {number}"))
        assert settings.load({}, [folder]).mongodb.timeout == number


def test_nothing_that_one_message_changes_reaches_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed_times(monkeypatch)
    before = settings.load({}, [folder])
    changed = settings.load(
        {"_REACTOR_MONGODB_TIMEOUT": "3", "_REACTOR_AUTHORIZATION_TRUSTED_USERS": "eve"}, [folder]
    )
    assert changed.mongodb.timeout == 3
    changed.authorization.trusted_users.append("mallory")
    changed.pipelines["job_manager_id"] = "theirs"
    changed["more"] = True
    assert settings.load({}, [folder]) == before


def test_a_file_that_can_no_longer_be_read_is_an_error_as_at_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed_times(monkeypatch)
    settings.load({}, [folder])
    write(folder, "- no: mapping")
    for _ in range(2):
        with pytest.raises(SettingsError, match="holds a list"):
            settings.load({}, [folder])


def test_a_later_folder_wins_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path / "a", "logs: {level: INFO, token: x}\na: {b: {c: 1, d: 2}}\nonly: 1")
    second = write(tmp_path / "b", "logs: {level: DEBUG}\na: {b: {c: 3}}")
    assert settings.load({}, [first, second]) == {
        "logs": {"level": "DEBUG", "token": "x", "folders": []},
        "a": {"b": {"c": 3, "d": 2}},
        "only": 1,
    }
    assert settings.load({}, [second, first])["a"] == {"b": {"c": 1, "d": 2}}


def test_a_later_list_replaces_an_earlier_one(tmp_path: Path) -> None:
    first = write(tmp_path / "a", "users: [a, b]")
    second = write(tmp_path / "b", "users: [c]")
    assert settings.load({}, [first, second]) == {"users": ["c"]}


def test_by_default_the_working_directory_is_searched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert settings.load({}).ratio == 0.5


def test_loading_twice_gives_the_same_and_shares_nothing(folder: Path) -> None:
    first = settings.load({}, [folder])
    first.authorization.trusted_users.append("mallory")
    first.mongodb["authn"] = "changed"
    second = settings.load({}, [folder])
    assert second.authorization.trusted_users == []
    assert second.mongodb.authn == ""


def test_the_config_of_the_repository_can_be_loaded_and_holds_no_secret() -> None:
    loaded = settings.load({}, [ROOT])
    assert loaded.mongodb.authn == ""
    assert not any(settings.secrets(loaded, {}))


# Files that cannot be used


def test_broken_yaml_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, "a: 1\nb: [1,\nc: secret-text: x\n")
    with pytest.raises(SettingsError) as caught:
        settings.load({}, [tmp_path])
    assert f"{tmp_path / 'config.yml'}, line 3: not valid YAML" in str(caught.value)
    assert "secret-text" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "just a text", "5", "- a\n- b\n"])
def test_a_file_without_keys_is_refused_and_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=r"config\.yml"):
        settings.load({}, [tmp_path])


def test_a_file_that_makes_python_objects_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    write(tmp_path, f"a: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(SettingsError, match=r"config\.yml, line 1"):
        settings.load({}, [tmp_path])
    assert not marker.exists()


def test_a_file_with_a_control_character_is_refused_and_named(tmp_path: Path) -> None:
    write(tmp_path, "a: \x01\n")
    with pytest.raises(SettingsError, match=r"config\.yml"):
        settings.load({}, [tmp_path])


def test_a_file_that_is_not_utf8_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes("a: Grüße\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"config\.yml"):
        settings.load({}, [tmp_path])


def test_a_folder_in_place_of_the_file_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "config.yml").mkdir()
    with pytest.raises(SettingsError, match=r"config\.yml: cannot be read: .*directory"):
        settings.load({}, [tmp_path])


# Variables


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("_REACTOR_LOGS_LEVEL", "DEBUG", ("logs", "level"), "DEBUG"),
        ("_REACTOR_MONGODB_AUTHN", "mongodb://h", ("mongodb", "authn"), "mongodb://h"),
        ("_REACTOR_MONGODB_TIMEOUT", "25", ("mongodb", "timeout"), 25),
        ("_REACTOR_MONGODB_TIMEOUT", "2.5", ("mongodb", "timeout"), 2.5),
        ("_REACTOR_RATIO", "2", ("ratio",), 2.0),
        ("_REACTOR_DEBUG", "true", ("debug",), True),
        ("_REACTOR_DEBUG", "1", ("debug",), True),
        ("_REACTOR_DEBUG", "Yes", ("debug",), True),
        ("_REACTOR_STATE_EXIT", "false", ("state_exit",), False),
        ("_REACTOR_STATE_EXIT", "0", ("state_exit",), False),
        ("_REACTOR_STATE_EXIT", "OFF", ("state_exit",), False),
        ("_REACTOR_STATE_EXIT", "", ("state_exit",), False),
        (
            "_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE",
            "true",
            ("authorization", "nonce_may_create"),
            True,
        ),
        (
            "_REACTOR_AUTHORIZATION_TRUSTED_USERS",
            "ada, bo ,",
            ("authorization", "trusted_users"),
            ["ada", "bo"],
        ),
        (
            "_REACTOR_AUTHORIZATION_TRUSTED_USERS",
            "[ada,bo]",
            ("authorization", "trusted_users"),
            ["ada", "bo"],
        ),
        ("_REACTOR_AUTHORIZATION_TRUSTED_USERS", "", ("authorization", "trusted_users"), []),
        ("_REACTOR_AUTHORIZATION_TRUSTED_USERS", "[]", ("authorization", "trusted_users"), []),
        # these look like something else, and are strings
        (
            "_REACTOR_PIPELINES_JOB_MANAGER_NONCE",
            "0123",
            ("pipelines", "job_manager_nonce"),
            "0123",
        ),
        ("_REACTOR_PIPELINES_JOB_MANAGER_NONCE", "1e5", ("pipelines", "job_manager_nonce"), "1e5"),
        ("_REACTOR_LOGS_TOKEN", "true", ("logs", "token"), "true"),
        ("_REACTOR_LOGS_TOKEN", "[a]", ("logs", "token"), "[a]"),
    ],
)
def test_a_variable_takes_the_type_of_its_setting(
    folder: Path, variable: str, text: str, path: tuple[str, ...], value: Any
) -> None:
    found: Any = settings.load({variable: text}, [folder])
    for key in path:
        found = found[key]
    assert found == value
    assert type(found) is type(value)


def test_a_variable_changes_its_key_and_no_other(folder: Path) -> None:
    expected = settings.load({}, [folder])
    expected["mongodb"]["authn"] = "mongodb://h"
    assert settings.load({"_REACTOR_MONGODB_AUTHN": "mongodb://h"}, [folder]) == expected


def test_other_variables_are_no_settings(folder: Path) -> None:
    environ = {"MONGODB_AUTHN": "x", "REACTOR_DEBUG": "1", "_REACTOR_": "x", "_abaco_debug": "1"}
    assert settings.load(environ, [folder]) == settings.load({}, [folder])


@pytest.mark.parametrize("config", ["", "mongodb:\n"])
def test_a_variable_makes_the_section_that_the_files_lack(tmp_path: Path, config: str) -> None:
    write(tmp_path, config)
    environ = {"_REACTOR_MONGODB_AUTHN": "mongodb://h"}
    assert settings.load(environ, [tmp_path]).get("mongodb") == {"authn": "mongodb://h"}


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("_REACTOR_DEBUG", "_REACTOR_DEBUG must be true or false"),
        (
            "_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE",
            "_REACTOR_AUTHORIZATION_NONCE_MAY_CREATE must be true or false",
        ),
        ("_REACTOR_MONGODB_TIMEOUT", "_REACTOR_MONGODB_TIMEOUT must be a number"),
        ("_REACTOR_RATIO", "_REACTOR_RATIO must be a number"),
    ],
)
def test_a_wrong_type_is_named_without_the_value(
    folder: Path, variable: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({variable: "hunter2-is-secret"}, [folder])
    assert str(caught.value) == expected
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# What is secret


def test_credentials_in_files_and_environment_are_secrets(tmp_path: Path) -> None:
    write(
        tmp_path,
        "mongodb: {authn: bW9uZ29kYjovLw==, database: catalog-x}\n"
        "logs: {level: WARNING, token: log-token-1}\n"
        "pipelines: {job_manager_id: manager-1, events_manager_nonce: nonce-of-events}\n",
    )
    environ = {
        "_REACTOR_PIPELINES_PROCESS_UUID": "from-a-variable",
        "_abaco_access_token": "access-token-1",
        "token": "0123456789abcdef",
        "x-nonce": "TACC_nonce_1",
        "CATALOG_ADMIN_TOKEN_SECRET": "admin-secret",
        "CATALOG_ADMIN_TOKEN_KEY": "admin-key-1",
        "_abaco_username": "somebody",
        "uuid": "1071269f-b251-5a5f-bec1-6d7f77131f3f",
    }
    loaded = settings.load(environ, [tmp_path])
    assert settings.secrets(loaded, environ) == {
        "bW9uZ29kYjovLw==",
        "log-token-1",
        "nonce-of-events",
        "from-a-variable",
        "access-token-1",
        "0123456789abcdef",
        "TACC_nonce_1",
        "admin-secret",
        "admin-key-1",
    }


@pytest.mark.parametrize("text", ["404: not found", "mongodb:\n  on: push", "~: a text"])
def test_a_key_that_is_no_text_is_no_stack_trace(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    try:
        loaded = settings.load({}, [tmp_path])
    except SettingsError as error:
        assert "config.yml" in str(error)  # noqa: PT017 - either is fine
        return
    assert settings.secrets(loaded, {}) == set()


def test_the_name_of_the_database_is_no_secret(folder: Path) -> None:
    environ = {"_REACTOR_MONGODB_DATABASE": "catalog", "_REACTOR_MONGODB_AUTHN": "mongodb://x"}
    loaded = settings.load(environ, [folder])
    assert loaded.mongodb.database == "catalog"
    assert settings.secrets(loaded, environ) - {""} == {"mongodb://x"}
