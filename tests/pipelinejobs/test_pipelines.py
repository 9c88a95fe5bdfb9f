from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml

from datacatalog.mongo import Document
from tests.conftest import TACOBOT
from tests.pipelinejobs.running import Run


def test_a_pipeline_is_added_listed_and_shown(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "taco.yml").write_text(yaml.safe_dump(TACOBOT))
    added = cli("pipelines", "add", "taco.yml", "-o", "json").rows
    assert (added["id"], added["name"]) == ("tacobot", "Tacobot 9000")
    # there just so: nothing changes
    assert cli("pipelines", "add", "taco.yml", "-o", "json").rows == added
    (listed,) = cli("pipelines", "ls", "-o", "json").rows
    assert listed == added
    assert added["uuid"] in cli("pipelines", "ls", "--text", "TACO").out
    assert cli("pipelines", "ls", "--text", "salsa") == (
        0,
        "",
        "no pipeline matches these filters\n",
    )
    for name in ("tacobot", added["uuid"], added["uuid"][:8], added["uuid"][:13].upper()):
        shown = cli("pipelines", "show", name, "-o", "json").rows
        assert shown["components"] == TACOBOT["components"]
        assert not any(key.startswith("_") for key in shown)


def test_a_change_is_made_on_purpose_only(
    cli: Run, pipeline: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = json.dumps({**TACOBOT, "description": "Makes better tacos"})
    monkeypatch.setattr("sys.stdin", io.StringIO(changed))
    refused = cli("pipelines", "add", "-")
    assert (refused.code, "add --update to change it" in refused.err) == (1, True)
    monkeypatch.setattr("sys.stdin", io.StringIO(changed))
    done = cli("pipelines", "add", "-", "--update", "-o", "json").rows
    assert (done["uuid"], done["description"]) == (pipeline["uuid"], "Makes better tacos")


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("a: [", 2, "neither JSON nor YAML"),
        ("name: x\nid: y\nname: z", 2, "p.yml, line 3: the key 'name' stands twice"),
        ('{"id": "x", "id": "y"}', 2, "p.yml: it has the key 'id' twice in one object"),
        ("id: 1.10", 2, "p.yml, line 1: '1.10' would be changed: put it into quotes"),
        ("time: 48:00:00", 2, "p.yml, line 1: '48:00:00' would be changed"),
        ("- 1", 2, "p.yml: does not hold an object with keys"),
        (
            "name: x\nid: y\ncomponents: []\nprocessing_levels: [1]",
            1,
            "processing_levels of a pipeline has 1: give a list of strings, of 0, 1",
        ),
        ("name: x", 1, "'components', 'id', 'processing_levels' missing"),
        (None, 2, "p.yml cannot be read: No such file or directory"),
    ],
)
def test_what_describes_no_pipeline_is_named(
    cli: Run, tmp_path: Path, content: str | None, code: int, said: str
) -> None:
    if content is not None:
        (tmp_path / "p.yml").write_text(content)
    done = cli("pipelines", "add", "p.yml")
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_an_unknown_pipeline_is_named(cli: Run) -> None:
    done = cli("pipelines", "show", "burrito")
    assert done.code == 1
    assert done.err.startswith("ERROR no pipeline has the uuid or id 'burrito'")
