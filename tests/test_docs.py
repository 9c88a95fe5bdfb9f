"""What docs/gateway.md says of the gateway is what the gateway does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from abaco.settings import IMAGES_SCHEMA, SETTINGS_SCHEMA, Limits, load
from abaco.workers.environment import is_protected
from tests.conftest import ROOT

GATEWAY = (ROOT / "docs" / "gateway.md").read_text()


def table(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table that has this heading, by what the first cell names."""
    begin = GATEWAY.index(f"\n| {heading} |")
    lines = GATEWAY[begin:].lstrip().split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in rows}


def test_the_table_of_settings_has_every_key_with_its_default(tmp_path: Path) -> None:
    documented = table("key | default")
    assert set(documented) == set(SETTINGS_SCHEMA["properties"])
    defaults = load(tmp_path / "abaco.yml")
    for name in ("host", "port"):
        assert documented[name][0] == str(getattr(defaults, name))
    assert documented["data"][0] == str(defaults.data.relative_to(tmp_path))
    assert documented["images"][0] == defaults.images_file.name
    assert documented["tenants"][0] == defaults.default_tenant


def test_the_table_of_limits_has_every_limit_with_its_default() -> None:
    documented = {name: float(cells[0]) for name, cells in table("limit").items()}
    assert documented == {field.name: float(field.default) for field in fields(Limits)}  # type: ignore[arg-type]  # all are numbers


def test_the_table_of_images_has_every_key() -> None:
    documented = table("key | meaning")
    assert list(documented) == list(IMAGES_SCHEMA["additionalProperties"]["properties"])


def test_the_parameters_that_are_said_to_be_dropped_are() -> None:
    sentence = re.search(
        r"are dropped, and the gateway's log says which:(.*?)\(but", GATEWAY, re.DOTALL
    )
    assert sentence is not None
    names = re.findall(r"`([^`]+)`", sentence[1])
    assert len(names) == 7
    assert all(is_protected(name.replace("*", "ANY")) for name in names)
    assert not is_protected("_abaco_synchronous")


def test_every_link_leads_somewhere() -> None:
    titles = {
        title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", GATEWAY, re.MULTILINE)
    }
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", GATEWAY):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / "docs" / path).exists(), target
        assert not anchor or anchor in titles, target
