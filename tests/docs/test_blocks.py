"""Every block of the README and of `docs/` is run, or checked by a rule of its language.

Commands are run by bash, page by page, in a folder that looks like a clone of the repository in which
`make up` runs. The variables of a page are those that it sets itself, and those of the block "To try
it". A block that no rule is about fails, and so does a command that is neither there nor in `NOT_RUN`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from abaco.images import IMAGES_SCHEMA
from abaco.settings import SETTINGS_SCHEMA
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob.history import Entry
from datacatalog.managers.pipelinejobs.callback import agave_notifications, tapis_notifications
from manager import schemas, settings
from manager.exceptions import InvalidSettings
from manager.subscriptions import actor, definition
from manager.subscriptions.subscriber import News
from tests.abaco.running import SECONDS, RunningGateway, eventually
from tests.conftest import ROOT
from tests.docs.pages import PAGES, Block, blocks, name_of, text_of
from tests.docs.test_links import targets
from tests.pipelinejobs.running import gateway_in

ADDRESS = "127.0.0.1:8000"
"""Where the pages say that the gateway is."""
SHELLS = ("sh", "bash", "console")
TO_TRY_IT = ROOT / "docs" / "http-api.md"
"""The page whose first block sets the variables that other pages use."""
OWN_FILES = {".local", ".venv", ".git", "abaco.yml", "images.yml"}
FOR_A_TENANT = {"reactor.rc", "secrets.json"}
"""What a reader configures, where the program looks for it."""
VARIABLES = {"REGISTRY": "registry.example.org"}
"""What a reader has to know, and no page can say."""


def runs_a_target(words: list[str]) -> bool:
    return all(word in targets() or re.fullmatch(r"[A-Z_]+=.*", word) for word in words)


def one_of(*verbs: str) -> Callable[[list[str]], bool]:
    return lambda words: words[:1] != [] and words[0] in verbs


NOT_RUN: dict[str, Callable[[list[str]], bool]] = {
    "make": runs_a_target,  # installs, or runs these tests
    "git": one_of("clone", "pull"),  # needs a remote
    "docker": one_of("build", "push"),  # needs a daemon
    "abaco": one_of("create", "update", "permissions"),  # needs a tenant
    "kubectl": one_of("apply", "create"),  # needs a cluster
    "tapis": one_of("actors"),  # needs Python 3.9
}
"""Commands that are not run, and what their arguments have to be."""


HOME, TEMPORARY = ".home", ".tmp"


@dataclass
class Clone:
    """A folder that looks like a clone in which `make up` runs."""

    folder: Path
    gateway: RunningGateway
    before: set[str] = field(default_factory=set)
    """what was in it before anything ran"""

    def prepare(self) -> Clone:
        """Fill it."""
        for path in ROOT.iterdir():
            if path.name not in OWN_FILES:
                (self.folder / path.name).symlink_to(path)
        for name in (HOME, TEMPORARY):
            (self.folder / name).mkdir()
        binaries, stubs = self.folder / ".venv" / "bin", self.folder / ".stubs"
        binaries.mkdir(parents=True)
        stubs.mkdir()
        (binaries / "activate").write_text(f"PATH={shlex.quote(str(binaries))}:$PATH\n")
        python = shlex.quote(sys.executable)
        _program(binaries / "python", f'exec {python} "$@"')
        _program(binaries / "pipelinejobs", f'exec {python} -m pipelinejobs "$@"')
        for name in NOT_RUN:
            _program(stubs / name, f'echo "{name} $(printf "%q " "$@")" >> "$NOT_RUN"')
        with (stubs / "make").open("a") as make:
            log = shlex.quote(str(self.gateway.log))
            (first,) = re.findall(r"^\t@echo ('Starting .*')$", text_of("Makefile"), re.MULTILINE)
            make.write(f'[ "$1" != up ] || echo {first}\n')
            make.write(f"[ \"$1\" != up ] || sed -n '/^The gateway is at/,/^Ctrl-C/p' {log}\n")
        return self

    def run(self, name: str, script: str) -> str:
        """Run a script by bash; return what it prints, and the exit code as the last line."""
        file, output = self.folder / f".{name}.sh", self.folder / f".{name}.out"
        file.write_text(script.replace(ADDRESS, f"127.0.0.1:{self.gateway.port}"))
        environment = {
            "PATH": f"{self.folder / '.stubs'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder / HOME),
            "TMPDIR": str(self.folder / TEMPORARY),
            "NOT_RUN": str(self.folder / f".{name}.not_run"),
            # nothing is sent beyond this machine
            "http_proxy": "http://127.0.0.1:1",
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "no_proxy": "127.0.0.1,localhost",
            **VARIABLES,
        }
        with output.open("w") as stream:
            try:
                code: int | str = subprocess.run(
                    [shutil.which("bash") or "bash", "--norc", str(file)],
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    timeout=4 * SECONDS,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = "it does not end"
        return f"{output.read_text()}\n{code}"

    def not_run(self, name: str) -> list[list[str]]:
        """Return the commands of a script that were not run."""
        file = self.folder / f".{name}.not_run"
        return (
            [shlex.split(line) for line in file.read_text().splitlines()] if file.exists() else []
        )


def _program(file: Path, line: str) -> None:
    file.write_text(f"#!/usr/bin/env bash\n{line}\n")
    file.chmod(0o755)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    gateway = gateway_in(tmp_path_factory.mktemp("clone")).start()
    try:
        eventually(lambda: "\nCtrl-C stops it." in gateway.log.read_text())
        made = Clone(gateway.folder, gateway).prepare()
        made.before = contents(made)
        (first, *_) = blocks(TO_TRY_IT)
        names = re.findall(r"^([A-Z]+)=", first.text, re.MULTILINE)
        keep = f"{{ declare -p PATH {' '.join(names)}; declare -f get; }} > .variables\n"
        done = made.run("variables", f"set -euo pipefail\n{first.text}{keep}")
        assert done.endswith("\n0"), done
        yield made
    finally:
        assert gateway.stop() == 0, gateway.log.read_text()


# Commands


@dataclass
class Step:
    """A block, or a command of one, and what it prints if that is told."""

    line: int
    command: str
    expected: str | None = None


def steps(page: Path, folder: Path) -> Iterator[Step]:
    """Yield what bash is to do for a page.

    The blocks in Python are one program, which is run where the last of them stands.
    """
    found = blocks(page)
    programs = [block for block in found if block.language == "python"]
    for block in found:
        if block.language == "console":
            yield from _console(block)
        elif block.language in SHELLS:
            yield Step(block.line, block.text)
        elif programs and block is programs[-1]:
            program = folder / f".{name_of(page)}_blocks.py"
            program.write_text("".join(each.text for each in programs))
            yield Step(block.line, f"python {program.name}\n")


def _console(block: Block) -> Iterator[Step]:
    """Yield the commands of a block, which begin with `$ ` and go on with `> `."""
    found: list[Step] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append(Step(number, f"{line[2:]}\n", ""))
        elif line.startswith(">") and not found[-1].expected:
            found[-1].command += f"{line[2:]}\n"
        else:
            found[-1].expected = f"{found[-1].expected}{line}\n"
    yield from found


ANY = "…"
_WORD = re.compile(r"""(?<![\w.,:+-])(?<!": )[\w.,:+-]*\d[\w.,:+-]*""")


def shape(expected: str) -> re.Pattern[str]:
    """Return what an output has to fit that is shown in a page.

    Words with a digit may be others (but not the numbers of a JSON object), blanks more or fewer,
    and `…` is anything.
    """
    pattern = ""
    for part in re.split(rf"({ANY}|{_WORD.pattern}|\s+)", expected.strip()):
        if part == ANY:
            pattern += r"[\s\S]*"
        elif _WORD.fullmatch(part):
            pattern += r"[\w.,:+-]+"
        elif part.isspace():
            pattern += r"\s+" if "\n" not in part else r"[ ]*\n[ ]*"
        else:
            pattern += re.escape(part)
    return re.compile(pattern)


EVERY = pytest.mark.parametrize("page", PAGES, ids=name_of)
LAST = ROOT / "docs" / "operating.md"
"""It changes the administrative key."""
AT_A_TIME = 3
"""Pages: a command waits more than it works."""


@dataclass
class Outcome:
    """What bash did for a page."""

    todo: list[Step]
    output: str
    not_run: list[list[str]]


def follow(page: Path, clone: Clone, before: Sequence[Future[Outcome]] = ()) -> Outcome:
    """Let bash do what a page says, after other pages."""
    wait(before)
    # the fixture has run the first block of that page
    todo = list(steps(page, clone.folder))[page == TO_TRY_IT :]
    if not todo:
        return Outcome([], "0", [])
    script = "set -euo pipefail\n"
    script += "" if page == ROOT / "README.md" else ". ./.variables\n"
    script += "".join(f"printf '\\036'\n{step.command}" for step in todo) + "printf '\\036'\n"
    return Outcome(todo, clone.run(name_of(page), script), clone.not_run(name_of(page)))


@pytest.fixture(scope="module")
def outcomes(clone: Clone) -> Iterator[dict[Path, Future[Outcome]]]:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = {page: pool.submit(follow, page, clone) for page in PAGES if page != LAST}
        yield found | {LAST: pool.submit(follow, LAST, clone, tuple(found.values()))}


@EVERY
def test_the_commands_of_a_page_do_what_it_says(
    page: Path, outcomes: dict[Path, Future[Outcome]]
) -> None:
    outcome = outcomes[page].result()
    *outputs, rest = outcome.output.split("\036")[1:] or [outcome.output]
    for step, output in zip(outcome.todo, outputs, strict=False):
        if step.expected is not None:
            place = f"{page.name}, line {step.line}: {step.command}"
            assert shape(step.expected).fullmatch(output.strip()), (place, output)
    if len(outputs) < len(outcome.todo):
        pytest.fail(f"{page.name}, line {outcome.todo[len(outputs)].line}: {rest}")
    assert rest.strip() == "0"
    for name, *words in outcome.not_run:
        assert NOT_RUN[name](words), (page.name, name, words)


def test_who_has_typed_all_commands_finds_the_clone_as_it_was(
    clone: Clone, outcomes: dict[Path, Future[Outcome]]
) -> None:
    wait(outcomes.values())
    assert contents(clone) - clone.before == FOR_A_TENANT


def contents(clone: Clone) -> set[str]:
    """Return the files of a clone, but those whose names begin with a dot or that Python makes."""
    folders = [clone.folder, *(path for path in clone.folder.iterdir() if path.is_symlink())]
    names = {
        str(path.relative_to(clone.folder))
        for folder in folders
        for path in ([folder] if folder.is_file() else folder.rglob("[!.]*"))
    }
    return {name for name in names if "/." not in f"/{name}" and "__pycache__" not in name}


def test_a_command_that_nobody_knows_is_noticed(clone: Clone) -> None:
    assert clone.run("unknown", "set -e\nfrobnicate --all\n").endswith("\n127")


def test_an_output_has_to_have_the_shape_that_is_shown() -> None:
    shown = shape('{"uuid": "107f…", "revision": 1}\nUUID   STATE\n107d-1  RUNNING\n')
    assert shown.fullmatch('{"uuid": "107a-2", "revision": 1}\nUUID STATE\n107e-9 RUNNING')
    assert not shown.fullmatch('{"uuid": "107a-2", "revision": 1}\nUUID STATE\n107e-9 FAILED')
    assert not shown.fullmatch('{"uuid": "107a-2", "revision": 25}\nUUID STATE\n107e-9 RUNNING')
    assert not shown.fullmatch('{"uuid": "107a-2", "revision": 1} UUID STATE 107e-9 RUNNING')
    assert not shown.fullmatch('{"error": "107a-2", "revision": 1}\nUUID STATE\n107e-9 RUNNING')


# What is not a command


def is_known_json(text: str) -> bool:
    """Tell whether a string is a message, or what this project makes or reads otherwise."""
    content: dict[str, Any] = json.loads(text)
    if any(schemas.fits(kind, content) for kind in schemas.KINDS):
        return True
    callback = (
        f"https://api.sd2e.org/actors/v2/jobs-manager/messages?x-nonce={ANY}&token={ANY}&uuid={ANY}"
    )
    if content in (
        {"notifications": agave_notifications(callback)},
        {"subscriptions": tapis_notifications(callback)},
    ):
        return True
    if set(content) == {"job_uuid", "event_name", "job_state", "data"}:
        entry: Entry = {"name": content["event_name"]}
        news = News({"uuid": content["job_uuid"]}, 1, entry, None)
        told = (content["job_state"], content["data"]["last_event"])
        return bool(content == actor._announcement(news, *told))
    return bool(content) and all(is_variable(name) for name in content)


def is_variable(name: str) -> bool:
    """Tell whether the actor has a setting of this name."""
    names = {f"_REACTOR_{name.upper()}" for name in settings.SWITCHES}
    for section, keys in settings.SECTIONS.items():
        names |= {f"_REACTOR_{section}_{key}".upper() for key in keys}
    return name in names or f'"{name}"' in text_of("datacatalog/settings.py")


def is_known_yaml(text: str) -> bool:
    """Tell whether a string could be one of the three files of settings, or describe a pipeline."""
    content = yaml.safe_load(text)
    if isinstance(content.get("containers"), str):
        # the short form of the section
        content["containers"] = {"engine": content["containers"]}
    if set(PipelineStore.required) <= set(content):
        return set(content) <= {*PipelineStore.required, *PipelineStore.defaults}
    if any(
        Draft202012Validator(each).is_valid(content) for each in (SETTINGS_SCHEMA, IMAGES_SCHEMA)
    ):
        return True
    settings.check(content)
    for given in content.get("subscriptions", []):
        variables = dict.fromkeys(re.findall(r"\$(\w+)", str(given)), f"whsec_{'A' * 32}")
        definition.parse(given, variables)
    return set(content) <= {*settings.SWITCHES, *settings.SECTIONS, "subscriptions"}


def is_known_diagram(text: str) -> bool:
    """Tell whether a diagram is the state machine, which has a test, or names modules that exist."""
    if text.startswith("stateDiagram-v2\n"):
        return True
    names = re.findall(r"\[\(?([a-z]+(?:\.[a-z]+)+)\)?\]", text)
    paths = [ROOT / name.replace(".", "/") for name in names if name != "reactor.py"]
    return len(paths) > 5 and all(
        path.is_dir() or path.with_suffix(".py").is_file() for path in paths
    )


def is_workflow(text: str) -> bool:
    """Tell whether a string is a workflow that reports; the tests below run it."""
    return "client" in text and "finish" in text and "fail" in text


RULES = {
    "json": is_known_json,
    "yaml": is_known_yaml,
    "mermaid": is_known_diagram,
    "snakemake": is_workflow,
    "nextflow": is_workflow,
}


@EVERY
def test_every_block_is_run_or_fits_a_rule(page: Path) -> None:
    for block in blocks(page):
        if block.language not in (*SHELLS, "python"):
            place = f"{page.name}, line {block.line}"
            assert block.language in RULES, f"{place}: no rule is about {block.language!r}"
            assert RULES[block.language](block.text), place


# Workflows

INTEGRATING = ROOT / "docs" / "integrating.md"
NEW_JOB = """set -euo pipefail
. ./.variables
cp pipelinejobs/client.py "$HOME"
pipelinejobs jobs create --pipeline tacobot:9000 --data '{"workflow": "NAME"}' --output json > NAME.json
export PIPELINEJOBS_CALLBACK="$URL?x-nonce=$NONCE&uuid=$(get '["uuid"]' < NAME.json)&token=$(get '["token"]' < NAME.json)"
"""
HISTORY = """
pipelinejobs jobs history "$(get '["uuid"]' < NAME.json)" --output json > NAME.history
"""


def reported(clone: Clone, name: str, script: str) -> tuple[str, list[dict[str, Any]]]:
    """Return what a script prints, and what was reported to its job after the creation."""
    shown = clone.run(name, (NEW_JOB + script + HISTORY).replace("NAME", name))
    assert shown.endswith("\n0"), shown
    history: list[dict[str, Any]] = json.loads((clone.folder / f"{name}.history").read_text())
    return shown, history[1:]


def text_in(language: str) -> str:
    """Return the one block in a language."""
    (block,) = [each for each in blocks(INTEGRATING) if each.language == language]
    return block.text


@pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None,
    reason="Snakemake is not installed: it needs Python 3.11",
)
@pytest.mark.parametrize(
    ("salsa", "events"),
    [("verde", ["run", "finish"]), pytest.param(None, ["run", "fail"], marks=pytest.mark.long)],
)
def test_the_snakefile_reports(clone: Clone, salsa: str | None, events: list[str]) -> None:
    name = f"snakemake-{events[-1]}"
    folder = clone.folder / f"workflow-{events[-1]}"
    folder.mkdir()
    workflow = text_in("snakemake")
    if salsa is None:
        workflow = workflow.replace("sort {input}", "sort {input} --no-such-option")
    (folder / "Snakefile").write_text(workflow)
    (folder / "salsa.txt").write_text(f"{salsa}\n")
    run = f"( cd {folder.name}; python -m snakemake --cores 1 ) || echo failed\n"
    shown, told = reported(clone, name, run)

    assert [each["name"] for each in told] == events, shown
    assert ("failed" in shown) == (salsa is None)
    if salsa is None:
        assert "tacos" in "".join(told[-1]["data"]["stderr"])


def test_the_lines_in_the_configuration_of_nextflow_report(clone: Clone) -> None:
    before, after, complete = re.findall(r"'''(.*?)'''", text_in("nextflow"))
    ends = f"sh -c {shlex.quote(complete)} finish 3s"
    _, told = reported(clone, "nextflow", f"{before}\n{after}\n{ends}\n")

    assert [each["name"] for each in told] == ["run", "update", "finish"]
    folder = str(clone.folder)
    assert [each["data"] for each in told] == [
        {"begins": folder},
        {"ends": folder},
        {"duration": "3s"},
    ]


def test_the_rules_refuse_what_is_wrong() -> None:
    assert is_known_json('{"CATALOG_ADMIN_TOKEN_KEY": "…", "_REACTOR_MONGODB_AUTHN": "…"}')
    assert not is_known_json('{"CATALOG_ADMIN_KEY": "…"}')
    assert not is_known_json('{"uuid": "107", "name": "run"}')
    assert not is_known_yaml("ports: 80")
    with pytest.raises(InvalidSettings, match="'uri' means nothing"):
        is_known_yaml("subscriptions: [{name: lab, uri: https://lab.example.org}]")
    assert not is_known_diagram("flowchart LR\n a[abaco.nothing]")
    assert not runs_a_target(["upp"])
