"""Which modules the contracts of import-linter name."""

from __future__ import annotations

from audit import toml
from tests.conftest import ROOT

LINTED = toml.read(ROOT / "pyproject.toml")["tool"]["importlinter"]
UNLINTED = {"audit", "bench", "docs", "tests"}
"""Packages that nothing else imports."""


def named() -> set[str]:
    """Return the modules that have a place in a contract of layers."""
    found = set()
    for contract in LINTED["contracts"]:
        rows = contract.get("layers", [])
        names = [name.strip() for row in rows for name in row.replace(":", "|").split("|")]
        for container in contract.get("containers", [""]):
            found |= {f"{container}.{name}".strip(".") for name in names}
    return found


def test_every_package_is_linted() -> None:
    there = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert there - UNLINTED == set(LINTED["root_packages"])


def test_every_module_has_a_place_in_a_contract() -> None:
    places = named()
    missing = []
    for room in LINTED["root_packages"]:
        for file in sorted((ROOT / room).rglob("*.py")):
            path = file.relative_to(ROOT).with_suffix("").parts
            path = path[:-1] if path[-1] == "__init__" else path
            # itself, or a package in the room that it is in
            above = {".".join(path[:count]) for count in range(2, len(path) + 1)}
            if path != (room,) and not above & places:
                missing.append(".".join(path))
    assert missing == []
