"""Links lead somewhere, and what is named exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelinejobs.app import make_app
from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, code, name_of, prose, rows, text_of

EVERY = pytest.mark.parametrize("page", PAGES, ids=name_of)


def links(page: Path) -> set[Path]:
    """Return the files that a page links to."""
    found = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)\s]*\)", prose(page))
    return {(page.parent / path).resolve() for path in found}


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):.*##", text_of("Makefile"), re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@EVERY
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), target
        assert not anchor or anchor in anchors(to), target


def test_every_page_is_linked_from_the_readme_or_the_index_of_its_folder() -> None:
    readme, *others = PAGES
    for page in others:
        index = page.with_name("index.md")
        front = index if index.exists() and page != index else readme
        assert page in links(front), page


def test_the_readme_is_read_in_a_minute() -> None:
    assert len(text_of("README.md").splitlines()) <= 160


def test_each_promise_names_a_test_that_there_is() -> None:
    promises = rows(text_of("README.md"), "promise | shown by")
    assert len(promises) >= 8
    for _, cell in promises:
        path, _, name = code(cell)[0].partition("::")
        assert f"\ndef {name}(" in (ROOT / path).read_text(), cell


def mentioned(program: str) -> list[str]:
    """Return the commands of a program that pages mention in their prose."""
    found = [each for page in PAGES for each in code(prose(page).replace("\n", " "))]
    return [each for each in found if each == program or each.startswith(f"{program} ")]


def test_every_target_that_is_mentioned_exists_and_every_one_is_mentioned() -> None:
    shown = [line for page in PAGES for block in blocks(page) for line in block.text.splitlines()]
    lines = [*mentioned("make"), *shown]
    named = {match[1] for line in lines if (match := re.match(r"(?:\$ )?make ([a-z-]+)", line))}
    assert named <= targets()
    # `make` alone is said to list them
    assert named | {"help"} == targets()
    assert "make" in mentioned("make")


def commands(command: Any, path: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Return the options of each command of the command line, and of each group."""
    found = {" ".join(path): {name for each in command.params for name in each.opts}}
    for name, member in getattr(command, "commands", {}).items():
        found |= commands(member, (*path, name))
    return found


def test_every_command_that_is_mentioned_exists_with_its_options() -> None:
    known = commands(typer.main.get_command(make_app()))
    lines = mentioned("pipelinejobs")
    assert len(lines) > 20
    for line in lines:
        # what comes behind `--` is another program's
        words = shlex.split(line.partition(" -- ")[0])[1:]
        names = [word for word in words if re.fullmatch(r"[a-z]+", word)]
        ways = (" ".join(names[:end]) for end in (2, 1, 0))
        command = next(name for name in ways if name in known)
        is_group = any(name.startswith(f"{command} ".lstrip()) for name in known if name != command)
        assert not is_group or command == " ".join(names), line
        options = {word for word in words if word.startswith("--")}
        assert options <= known[command] | {"--install-completion", "--help"}, line
