"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.database import LocalDatabase
from tests.conftest import ROOT


def run_demo(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo", "--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the demonstrations have their database."""
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    LocalDatabase(folder).stop()


@pytest.fixture(scope="module")
def demo(folder: Path) -> str:
    return run_demo(folder)


def answers(demo: str) -> list[dict[str, object]]:
    lines = [line.strip() for line in demo.splitlines()]
    return [json.loads(line.removeprefix("answer ")) for line in lines if line.startswith("answer")]


def test_every_message_is_answered(demo: str) -> None:
    states = [
        answer.get("state") or answer.get("kind") or answer["deleted"] for answer in answers(demo)
    ]
    assert states == [
        "CREATED",
        "CREATED",
        "RUNNING",
        "RUNNING",
        "RUNNING",
        "RUNNING",
        "RUNNING",
        "RUNNING",
        "RUNNING",
        "FINISHED",
        "FINISHED",
        "not_allowed",
        "not_authorized",
        "hidden",
        "removed",
    ]


def test_the_duplicate_has_the_answer_of_the_first_delivery(demo: str) -> None:
    first, again = answers(demo)[9:11]
    assert first == again


def test_the_history_comes_last_as_a_table_with_each_event_once(demo: str) -> None:
    table = demo[demo.index("History of job") :]
    events = [line.split("│")[3].strip() for line in table.splitlines() if line.startswith("│")]
    assert [event for event in events if event] == [
        "create",
        "run",
        "update",
        "update",
        "resource",
        "resource",
        "update",
        "update",
        "finish",
    ]


@pytest.mark.long
def test_a_second_demonstration_on_the_same_database_works_too(demo: str, folder: Path) -> None:
    assert len(answers(run_demo(folder))) == len(answers(demo))
