"""What docs/deploying.md says is what the targets and files are."""

from __future__ import annotations

import re

from deployment.__main__ import LEVELS
from deployment.settings import DEFAULTS
from tests.conftest import ROOT

DEPLOYING = (ROOT / "docs" / "deploying.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\$\{(\w+):\+", MAKEFILE)) - {"PORT"}  # which `make up` takes


def table(heading: str) -> dict[str, str]:
    """Return the second cells of the rows of a table, by what the first ones name."""
    begin = DEPLOYING.index(f"\n| {heading} |")
    lines = DEPLOYING[begin:].lstrip().split("\n\n", 1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): second for first, second, *_ in rows}


def test_the_table_of_keys_has_every_key_with_its_default() -> None:
    assert table("key | default") == DEFAULTS


def test_the_table_of_levels_has_every_level() -> None:
    assert tuple(table("level | whoever has it may")) == LEVELS


def test_each_target_that_is_named_exists_and_takes_what_it_is_given() -> None:
    calls = re.findall(r"(?:^|`)make ([^`#\n]+)", DEPLOYING, re.MULTILINE)
    words = [word for call in calls for word in call.split()]
    assert {word for word in words if "=" not in word} <= TARGETS
    given = {word.partition("=")[0] for word in words if "=" in word}
    given |= set(re.findall(r"`([A-Z_]+)=\w", DEPLOYING)) - {"KEY"}
    assert given <= VARIABLES | set(DEFAULTS)
    assert {"image", "deploy", "nonce", "nonces", "alias", "logs"} <= set(words)
    assert all(f"`{name}" in DEPLOYING or f" {name}=" in DEPLOYING for name in VARIABLES)
