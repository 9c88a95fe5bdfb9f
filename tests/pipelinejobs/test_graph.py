from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore, fsm
from datacatalog.mongo import Document
from pipelinejobs import graph, state_diagram
from tests.conftest import ADMIN
from tests.docs.pages import text_of
from tests.pipelinejobs.running import Run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def moved(cli: Run, job: Document, monkeypatch: pytest.MonkeyPatch) -> str:
    """The UUID of a job that has been about."""
    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)
    for event in ("run", "update", "update", "finish", "index", "fail", "reset", "ready", "run"):
        assert cli("jobs", "send", event, job["uuid"], "--direct").code == 0
    return str(job["uuid"])


def classes(svg: str) -> dict[str, str]:
    """Return the classes of the states in a drawing."""
    root = ET.fromstring(svg)  # noqa: S314 - our own
    found = {}
    for group in root.iter(f"{SVG}g"):
        if state := group.get("data-state"):
            found[state] = str(group.get("class"))
    return found


def test_the_text_goes_from_state_to_state(cli: Run, moved: str) -> None:
    lines = [line.split() for line in cli("jobs", "graph", moved).out.splitlines()]
    states = [words[1] for words in lines if words[0] in "○◉"]
    assert states == [
        "CREATED", "RUNNING", "FINISHED", "INDEXING", "FAILED", "RESET", "CREATED", "RUNNING"
    ]  # fmt: skip
    assert lines[0][0] == "○"
    assert next(words for words in lines if words[0] == "◉")[1] == "RUNNING"
    assert [words[1] for words in lines if words[0] == "│"] == [
        "run", "finish", "index", "fail", "reset", "ready", "run"
    ]  # fmt: skip
    assert lines[2][-2:] == ["update", "x2"]
    following = [words[1] for words in lines if words[0] == "┊"]
    assert following == fsm.allowed_events("RUNNING")


def test_the_diagram_for_mermaid_has_each_edge_and_marks_the_path(cli: Run, moved: str) -> None:
    text = cli("jobs", "graph", moved, "--format", "mermaid").out
    edges = set(re.findall(r"^    (\w+) --> (\w+): (\w+)", text, re.MULTILINE))
    diagram = text_of("docs/concepts.md")
    documented = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", diagram, re.MULTILINE))
    assert edges == documented | {("FAILED", "RESET", "reset")}
    assert "CREATED --> RUNNING: run (2x)" in text
    assert "class RUNNING current" in text
    assert "class CREATED,FAILED,FINISHED,INDEXING,RESET visited" in text


def test_the_drawing_marks_the_path_and_the_current_state(
    cli: Run, moved: str, tmp_path: Path
) -> None:
    done = cli("jobs", "graph", moved, "--format", "svg", "--to", "job.svg")
    assert (done.code, done.out, done.err) == (0, "", "written to job.svg\n")
    svg = (tmp_path / "job.svg").read_text()
    found = classes(svg)
    assert set(found) == set(fsm.STATES)
    assert found["RUNNING"] == "node state-running current"
    assert {state for state, kind in found.items() if "visited" in kind} == {
        "CREATED", "FINISHED", "INDEXING", "FAILED", "RESET"
    }  # fmt: skip
    assert 'aria-label="The job is RUNNING, after CREATED → RUNNING' in svg
    assert "run 2x" in svg
    visited = re.findall(r'class="edge visited" data-event="(\w+)"', svg)
    assert sorted(visited) == ["fail", "finish", "index", "ready", "reset", "run"]


def test_a_drawing_without_style_has_none(moved: str, jobs: PipelineJobStore) -> None:
    assert "<style>" in state_diagram.svg(graph.Path())
    bare = state_diagram.svg(graph.Path(), style=False)
    assert "style" not in bare
    assert classes(bare) == {state: f"node state-{state.lower()}" for state in fsm.STATES}


def test_every_edge_of_the_machine_has_its_place() -> None:
    drawn = state_diagram.svg(graph.Path())
    edges = [e for e in graph.machine() if e.source != e.target]
    assert drawn.count('class="edge"') == len(edges)
    assert drawn.count('data-event="reset"') == len(fsm.STATES) - 1


def test_without_a_job_the_machine_alone_is_drawn(cli: Run) -> None:
    text = cli("jobs", "graph").out
    assert all(state in text and meaning in text for state, meaning in fsm.STATES.items())
    for form in ("mermaid", "svg"):
        shown = cli("jobs", "graph", "--format", form)
        assert (shown.code, "current" in shown.out.replace(state_diagram.STYLE, "")) == (0, False)


def test_a_file_that_cannot_be_written_is_named(cli: Run) -> None:
    full = cli("jobs", "graph", "--to", "/dev/full")
    assert full == (1, "", "ERROR /dev/full cannot be written: No space left on device\n")
    missing = cli("jobs", "graph", "--to", "no/folder.svg")
    assert missing == (1, "", "ERROR no/folder.svg cannot be written: No such file or directory\n")
