"""Each command has help, an example that works, and a line in the documentation."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
import yaml

from pipelinejobs.app import make_app
from tests.abaco.running import RunningGateway
from tests.conftest import ROOT, TACOBOT
from tests.pipelinejobs.running import Run, interrupted, started

DOCS = (ROOT / "docs" / "command-line.md").read_text()
LINES = dict(re.findall(r"^\| `([a-z ]+)` \| .* \| `(.*)` \|$", DOCS, re.MULTILINE))
ENDLESS = ("jobs watch", "dispatch")

ALONE = True
"""It begins with the one job that `make up` has made."""


def table(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the commands with their names."""
    for name, member in getattr(command, "commands", {}).items():
        yield from table(member, (*path, name))
    if command.hidden:
        # another name for a command that has its line
        return
    if not hasattr(command, "commands") or command.invoke_without_command:
        yield " ".join(path), command


COMMANDS = dict(table(typer.main.get_command(make_app())))
EVERY = pytest.mark.parametrize("name", COMMANDS)


def example(name: str) -> str:
    match = re.fullmatch(r"Example: `(pipelinejobs .*)`", COMMANDS[name].epilog)
    assert match is not None
    return match[1]


@EVERY
def test_each_command_has_help(name: str, bare: Run) -> None:
    shown = bare(*name.split(), "--help")
    assert shown.code == 0
    assert f"Usage: pipelinejobs {name}" in shown.out
    assert len(COMMANDS[name].help.splitlines()[0]) > 20
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", None), parameter.name
    assert "Example: pipelinejobs" in shown.out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.endswith(" ls")])
def test_ls_can_be_called_list(name: str, bare: Run) -> None:
    shown = bare(name.split(maxsplit=1)[0], "list", "--help")
    assert shown.code == 0
    assert COMMANDS[name].help.splitlines()[0] in " ".join(shown.out.split())


@EVERY
def test_each_listing_has_the_three_formats(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--output" in options) == (
        name
        not in (
            "jobs graph",
            "jobs logs",
            "jobs open",
            "jobs watch",
            "export",
            "import",
            "token admin",
            "token job",
            "token rotate",
            "page",
            "report",
            "dispatch",
            "subscriptions add",
            "subscriptions test",
            "subscriptions rm",
        )
    )


def test_each_command_has_a_line_in_the_documentation_with_its_example() -> None:
    assert {name: example(name) for name in COMMANDS} == LINES


def test_help_and_the_documentation_list_commands_in_the_same_order(bare: Run) -> None:
    shown = bare("--help").out
    nouns = list(dict.fromkeys(name.split()[0] for name in LINES))
    command: Any = typer.main.get_command(make_app())
    assert command.list_commands(None) == nouns
    assert [shown.index(f" {noun} ") for noun in nouns] == sorted(
        shown.index(f" {noun} ") for noun in nouns
    )
    verbs = [name.split()[1] for name in LINES if name.startswith("jobs ")]
    assert list(command.commands["jobs"].commands) == ["list", *verbs]


def test_each_example_works(
    here: RunningGateway, bare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bare("jobs", "ls", "--output", "json").rows
    other = ("jobs", "create", "--pipeline", "tacobot:9000", "--data", '{"tacos": 4}', "-o", "json")
    ended = bare(*other).rows["uuid"]
    assert bare("jobs", "send", "run", ended).code == 0
    (home := Path("~").expanduser()).mkdir()
    (home / "pipeline.yml").write_text(yaml.safe_dump({**TACOBOT, "id": "tacobot:example"}))
    for name in COMMANDS:
        # the others go on with theirs
        uuid = ended if name == "jobs cancel" else job["uuid"]
        program, *arguments = shlex.split(Template(example(name)).substitute(JOB=uuid))
        assert program == "pipelinejobs"
        if name in ENDLESS:
            continue
        done = bare(*map(os.path.expanduser, arguments))
        # nobody is at example.org
        assert done.code == (name == "subscriptions test"), (name, done.out, done.err)
    for name in ENDLESS:
        arguments = shlex.split(example(name))[1:]
        with started(*arguments, folder=here.folder) as process:
            assert process.stdout is not None
            assert ("RUNNING" in process.stdout.readline()) == ("RUNNING" in arguments)
            done = interrupted(process)
        assert (done.code, done.err) == (130, "")


def test_help_tells_the_exit_codes_as_the_documentation_does(bare: Run) -> None:
    shown = " ".join(bare("--help").out.split())
    for code in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE):
        assert re.search(rf"[ ;:] {code} \w", shown), code
