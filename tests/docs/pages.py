"""The README, its neighbours and the pages of `docs/`: their blocks, tables and sections."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """What stands between two fences."""

    line: int
    language: str
    text: str


def name_of(page: Path) -> str:
    """Return what a page is called, in tests and as a part of the names of files."""
    folder = ROOT / "docs" if page.is_relative_to(ROOT / "docs") else ROOT
    return "-".join(page.relative_to(folder).with_suffix("").parts)


def text_of(name: str) -> str:
    """Return a page."""
    return (ROOT / name).read_text()


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text()
    found = [
        Block(text.count("\n", 0, match.start()) + 1, match[2], textwrap.dedent(match[3]))
        for match in _BLOCK.finditer(text)
    ]
    assert text.count("```") == 2 * len(found), f"{page.name}: a fence is not closed"
    return found


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return _BLOCK.sub("", page.read_text())


def section(text: str, title: str) -> str:
    """Return a section, with what is under it, up to the next of its level."""
    begin = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert begin is not None, title
    end = re.compile(rf"^#{{1,{len(begin[1])}}} ", re.MULTILINE).search(text, begin.end())
    return text[begin.start() : end.start() if end else None]


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the table whose heading begins so."""
    begin = text.index(f"\n| {heading} |")
    lines = text[begin:].lstrip().split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def code(cell: str) -> list[str]:
    """Return what is written as code."""
    return re.findall(r"`([^`]+)`", cell)
