"""Comments and docstrings refer to headings that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tests.docs.test_links import anchors

_REFERENCE = re.compile(r"\bdocs/(?:\w+/)?[\w-]+\.md(?:#[\w-]+)?")
_TEXTS = (".html", ".jsonschema", ".md", ".py", ".toml", ".yml")


def sources() -> list[Path]:
    """Return the files of the repository that hold text, but for this one."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return [
        path
        for path in paths
        if path.suffix in _TEXTS and path.is_file() and path != Path(__file__).resolve()
    ]


def test_every_heading_that_is_referred_to_is_there() -> None:
    known: dict[Path, set[str]] = {}
    found = 0
    for source in sources():
        for reference in _REFERENCE.findall(source.read_text()):
            name, _, anchor = reference.partition("#")
            page = ROOT / name
            assert page.exists(), (source, reference)
            if anchor:
                headings = known.setdefault(page, anchors(page))
                assert anchor in headings, (source, reference)
                found += 1
    assert found > 50


def test_nothing_refers_to_a_document_that_is_not_here() -> None:
    assert [source for source in sources() if "(spec:" in source.read_text()] == []
