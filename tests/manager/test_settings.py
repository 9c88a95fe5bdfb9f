from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from manager import settings
from manager.exceptions import InvalidSettings
from reactors.runtime import Reactor
from tests.conftest import ROOT

PIPELINES = (
    "pipeline_uuid, pipeline_manager_id, pipeline_manager_nonce, job_manager_id, "
    "job_manager_nonce, job_indexer_id, job_indexer_nonce, events_manager_id, "
    "events_manager_nonce, permission_manager, process_uuid"
)
SECRET = "hunter2hunter2"
NO_SECTIONS: list[Any] = [[], SECRET, 5, False]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        # types
        ({"debug": "yes"}, "debug must be true or false, not a string"),
        ({"state_enter": 1}, "state_enter must be true or false, not a number"),
        ({"state_exit": []}, "state_exit must be true or false, not a list"),
        ({"logs": {"level": 10}}, "logs.level must be a string, not a number"),
        ({"logs": {"token": ["x"]}}, "logs.token must be a string, not a list"),
        ({"mongodb": {"authn": 5}}, "mongodb.authn must be a string, not a number"),
        ({"mongodb": {"authn": {SECRET: SECRET}}}, "mongodb.authn must be a string, not a section"),
        ({"mongodb": {"database": True}}, "mongodb.database must be a string, not true or false"),
        ({"mongodb": {"timeout": "10"}}, "mongodb.timeout must be a number, not a string"),
        ({"mongodb": {"timeout": True}}, "mongodb.timeout must be a number, not true or false"),
        *(
            ({"pipelines": {name: 5}}, f"pipelines.{name} must be a string, not a number")
            for name in PIPELINES.split(", ")
        ),
        (
            {"authorization": {"trusted_users": "operator"}},
            "authorization.trusted_users must be a list, not a string",
        ),
        (
            {"authorization": {"nonce_may_create": "yes"}},
            "authorization.nonce_may_create must be true or false, not a string",
        ),
        *(
            ({section: value}, f"{section} must be a section with keys")
            for section in ("logs", "mongodb", "pipelines", "authorization")
            for value in NO_SECTIONS
        ),
        # keys
        ({"mongodb": {"auth": SECRET}}, "mongodb.auth means nothing: did you mean authn?"),
        (
            {"mongodb": {"xyz": SECRET}},
            "mongodb.xyz means nothing: its keys are authn, host, port, username, password, database, timeout, patience",
        ),
        ({"logs": {"lvl": "INFO"}}, "logs.lvl means nothing: did you mean level?"),
        (
            {"pipelines": {"job_manager_nonc": SECRET}},
            "pipelines.job_manager_nonc means nothing: did you mean job_manager_nonce?",
        ),
        ({"pipelines": {5: SECRET}}, f"pipelines.5 means nothing: its keys are {PIPELINES}"),
        (
            {"authorization": {"trusted_user": ["operator"]}},
            "authorization.trusted_user means nothing: did you mean trusted_users?",
        ),
        # values
        (
            {"logs": {"level": "LOUD"}},
            "logs.level is 'LOUD': use one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
        ({"logs": {"format": "xml"}}, "logs.format is 'xml': use one of text, json"),
        ({"mongodb": {"timeout": 0}}, "mongodb.timeout must be more than 0 seconds"),
        ({"mongodb": {"timeout": -1.5}}, "mongodb.timeout must be more than 0 seconds"),
        *(
            (
                {"authorization": {"trusted_users": users}},
                "authorization.trusted_users must be a list of user names",
            )
            for users in ([""], ["operator", None], [5], [["operator"]])
        ),
    ],
)
def test_each_mistake_is_named(content: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        settings.check(content)

    assert str(refusal.value) == f"settings: {text}"
    assert refusal.value.kind == "invalid_settings"


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan])
def test_a_timeout_is_a_finite_number(seconds: float) -> None:
    with pytest.raises(InvalidSettings, match=r"mongodb\.timeout"):
        settings.check({"mongodb": {"timeout": seconds}})


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"mongodb": None, "logs": None, "pipelines": {}, "authorization": None},
        {"debug": None, "state_enter": None, "mongodb": {"authn": None, "timeout": None}},
        {"logs": {"level": "debug", "format": "json"}},
        {"mongodb": {"timeout": 0.5}},
        {"authorization": {"trusted_users": [], "nonce_may_create": False}},
        {"some_sdk": {"whatever": [1, 2]}, "linked_reactors": "of another owner"},
    ],
)
def test_what_is_right_is_accepted(content: dict[str, Any]) -> None:
    settings.check(content)


def test_the_settings_of_the_repository_are_right_and_complete() -> None:
    content = yaml.safe_load((ROOT / "config.yml").read_text())

    settings.check(content)

    assert {name: set(content[name]) for name in settings.SECTIONS} == {
        name: set(keys) for name, keys in settings.SECTIONS.items()
    }
    assert set(content) == {*settings.SECTIONS, *settings.SWITCHES, "subscriptions"}


def test_the_repository_has_no_secret_and_trusts_nobody() -> None:
    content = yaml.safe_load((ROOT / "config.yml").read_text())

    assert content["mongodb"]["authn"] == ""
    assert content["authorization"] == {"trusted_users": [], "nonce_may_create": False}
    assert set(content["pipelines"].values()) == {""}
    assert (content["state_enter"], content["state_exit"], content["debug"]) == (False, True, False)


def test_each_key_can_be_set_by_a_variable() -> None:
    texts = {
        str: "given",
        list: "operator, other",
        bool: "true",
        (int, float): "7",
        (int, str): "7",
    }
    values = {str: "given", list: ["operator", "other"], bool: True, (int, float): 7, (int, str): 7}
    keys = [
        *((name, "", bool) for name in settings.SWITCHES),
        *(
            (name, key, kind)
            for name, keys in settings.SECTIONS.items()
            for key, kind in keys.items()
            # where a log may be is for the file of settings to say
            if (name, key) not in (("logs", "file"), ("logs", "folders"))
        ),
    ]
    environ = {
        "_REACTOR_" + "_".join(filter(None, (name, key))).upper(): texts[kind]
        for name, key, kind in keys
    }

    found = Reactor(environ, folders=[ROOT]).settings

    for name, key, kind in keys:
        assert (name, key, found[name][key] if key else found[name]) == (name, key, values[kind])


def test_the_later_folder_wins(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("mongodb: {database: mine}\nstate_exit: false\n")

    found = Reactor({}, folders=[ROOT, tmp_path]).settings

    settings.check(found)
    assert found["mongodb"]["database"] == "mine"
    assert found["mongodb"]["timeout"] == 10
    assert found["state_exit"] is False
