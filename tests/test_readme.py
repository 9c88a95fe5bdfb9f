"""What the README says about the actor is what the actor does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from datacatalog.linkedstores.pipelinejob import AgaveEvents, TapisEvents, fsm
from datacatalog.mongo import Db
from manager import kinds, settings
from manager.messages import classify
from reactors.runtime import Reactor
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
CURL = re.compile(r"curl -X POST \"\$URL(?:\?([^\"]*))?\".*?-d '\s*(\{.*?\})'", re.DOTALL)


def section(title: str) -> str:
    begin = README.index(f"\n## {title}\n")
    end = README.find("\n## ", begin + 1)
    return README[begin:end]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(
    ("number", "kind"),
    list(enumerate([kinds.EVENT, kinds.DELETE, kinds.CREATE, kinds.URL])),
)
def test_each_curl_example_is_a_message_of_the_kind_it_stands_under(number: int, kind: str) -> None:
    query, body = CURL.findall(README)[number]
    parameters = dict(part.split("=", 1) for part in query.split("&")) if query else {}
    rx = Reactor({**parameters, "MSG": repr(json.loads(body))}, folders=[ROOT])
    assert classify(rx).kind == kind


def test_there_are_no_other_curl_examples() -> None:
    assert README.count("curl -X POST") == len(CURL.findall(README)) == 4


def test_the_table_of_events_is_the_state_machine() -> None:
    table = {
        code(event)[0]: (source, target)
        for event, source, target in rows(section("States and events"))
        if code(event)
    }
    assert list(table) == list(fsm.EVENTS)
    for event, (source, target) in table.items():
        transition = fsm.TRANSITIONS[event]
        states = set(re.findall(r"[A-Z]{3,}", source)) or set(fsm.STATES)
        assert states == transition.sources, event
        assert (None if target == "the same" else target) == transition.target, event
        assert ("administrative" in source) == transition.administrative, event


def test_the_diagram_has_each_change_of_state_and_no_other() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", README, re.MULTILINE))
    changes = {
        (source, transition.target, event)
        for event, transition in fsm.TRANSITIONS.items()
        for source in transition.sources
        if transition.target not in (None, source) and event != "reset"
    }
    assert drawn == changes


def subsection(title: str) -> str:
    begin = README.index(f"\n### {title}\n")
    return README[begin : README.index("\n### ", begin + 1)]


def test_the_table_of_statuses_is_the_mapping() -> None:
    table = {
        status: code(event)[0]
        for statuses, event in rows(subsection("4. and 5. Callbacks of Aloe and Agave"))
        if code(event)
        for status in re.findall(r"[A-Z_]{4,}", statuses)
    }
    assert table == AgaveEvents.agavejobs


def test_the_table_of_tapis_is_the_mapping() -> None:
    table = {
        (category, name): code(event)[0]
        for cell, event in rows(subsection("6. Notifications of Tapis v3"))
        if code(event)
        for category, _, names in [cell.rpartition(": ")]
        for name in re.findall(r"[A-Z_]{4,}", names)
    }
    statuses = {
        name: event for (category, name), event in table.items() if category == "JOB_NEW_STATUS"
    }
    categories = {name: event for (category, name), event in table.items() if not category}
    assert statuses == TapisEvents.tapisjobs
    assert len(categories) == 6
    for name, event in categories.items():
        assert TapisEvents.process(f"jobs.{name}.FINISHED") == event
    assert TapisEvents.process("jobs.JOB_NEW_STATUS.ANOTHER") == table["JOB_NEW_STATUS", "QUEUED"]


def test_the_table_of_settings_has_every_key_with_its_default() -> None:
    shipped = yaml.safe_load((ROOT / "config.yml").read_text())
    table = {key: default for cell, default, _ in rows(section("Settings")) for key in code(cell)}
    known = set(settings.SWITCHES) | {
        f"{name}.{key}" for name, keys in settings.SECTIONS.items() for key in keys
    }
    assert set(table) == known
    for key, default in table.items():
        value = shipped
        for part in key.split("."):
            value = value[part]
        expected = {"": "", False: "false", True: "true"}.get(value if value != [] else "", value)
        assert default in (str(expected), "none" if value == [] else str(expected)), key


def test_every_link_within_the_repository_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert not path or Path(ROOT / path).exists(), target
        titles = [
            title.lower().replace(" ", "-")
            for title in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
        ]
        assert not anchor or anchor in titles, target


def test_the_examples_in_python_run(
    mongodb: dict[str, Any], monkeypatch: pytest.MonkeyPatch, db: Db
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("_REACTOR_MONGODB_AUTHN", mongodb["authn"])
    monkeypatch.setenv("_REACTOR_MONGODB_DATABASE", mongodb["database"])
    monkeypatch.setenv("_REACTOR_PIPELINES_JOB_MANAGER_ID", "G56vjoAVzGkkq")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - it is our own text
    stored = db["jobs"].find_one({"uuid": names["job"].uuid})
    assert stored is not None
    assert (stored["state"], stored["data"]) == ("RUNNING", {"tacos": 3})
    urls = [notification["url"] for notification in names["request"]["notifications"]]
    assert all(names["job"].token in url for url in urls)
