"""The tables of the reference, and what CONTRIBUTING leads to, are what the code has."""

from __future__ import annotations

import re

import yaml

from datacatalog.linkedstores import lookup
from datacatalog.linkedstores.pipelinejob import former_outbox, reader
from datacatalog.linkedstores.pipelinejob.store import REQUIRED
from tests.conftest import ROOT
from tests.docs.pages import code, rows, section, text_of

CATALOG = text_of("docs/reference/catalog.md")
CONTRIBUTING = text_of("CONTRIBUTING.md")


def test_the_table_of_stores_has_each_in_the_order_in_which_identifiers_are_looked_up() -> None:
    table = rows(CATALOG, "store | collection")
    assert [kind for kind, *_ in table] == list(lookup.KINDS)
    for kind, collection, field, identifiers, required in table:
        store = lookup.KINDS[kind]
        assert code(collection) == [store.collection]
        assert tuple(code(identifiers)) == store.identifiers
        assert tuple(code(required)) == getattr(store, "required", REQUIRED)
        assert code(field) in ([getattr(store, "uuid_field", None)], [])


def test_the_table_of_private_fields_has_all_that_the_store_does_not_return() -> None:
    named = {code(name)[0] for name, _ in rows(text_of("docs/reference/jobs.md"), "field | holds")}
    hidden = set(reader._PRIVATE) - {"_id", *former_outbox.FIELDS}
    assert named == hidden | {"_salt"}


def test_the_worked_example_names_what_is_there() -> None:
    example = section(CONTRIBUTING, "A message kind from start to end")
    for path in re.findall(r"`([\w/]+\.(?:py|yml|jsonschema))`", example):
        assert (ROOT / path).is_file(), path
    named = re.findall(r"`(\w+)` in\s+`([\w/]+\.(?:py|yml))`", example)
    assert len(named) >= 6
    for name, path in named:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), (name, path)


def test_pre_commit_runs_the_linters_of_make() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", text_of("Makefile"), re.MULTILINE)
    assert recipe is not None
    linters = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    (local,) = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == linters


def test_the_public_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load(text_of(".github/workflows/ci.yml"))
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"][0] == "3.10"
