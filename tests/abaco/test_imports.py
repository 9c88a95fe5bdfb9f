"""What a start need not load, it does not load: it takes its time from every start."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FEW_NEED = {
    *("httpx", "rich", "jinja2", "alembic", "docker", "requests", "pymongo"),
    *("trustme", "cryptography", "jwt", "sqlalchemy.dialects.postgresql"),
}


def printed_by(statement: str) -> str:
    """Return what a Python of its own prints."""
    command = [sys.executable, "-c", statement]
    return subprocess.check_output(command, cwd=ROOT, text=True)


def loaded_with(modules: str, statement: str = "pass") -> set[str]:
    """Return all modules that are loaded where some are imported, and a statement is run."""
    return set(printed_by(f"import {modules}, sys; {statement}; print(*sys.modules)").split())


def test_a_gateway_starts_without_what_few_gateways_need() -> None:
    loaded = loaded_with("abaco.__main__, abaco.server")
    assert "sqlalchemy" in loaded
    assert not loaded & FEW_NEED


def test_a_page_that_nobody_opens_loads_nothing_that_draws() -> None:
    loaded = loaded_with("local.up")
    assert "pipelinejobs.page.charts" in loaded
    assert not loaded & {"pygal", "rich", "httpx"}


def test_garbage_is_looked_for_again_once_the_code_is_loaded_but_not_in_it() -> None:
    statement = (
        "import gc\nfrom abaco.loading import uncollected\n"
        "with uncollected():\n    with uncollected():\n        import abaco.settings\n"
        "    assert not gc.isenabled()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > len(vars(abaco.settings)))"
    )
    assert printed_by(statement) == "True True\n"


COLLECTIONS = """
import gc, sys
seen = []
def note(*_):
    module = sys.modules.get({package!r})
    seen.append(module is not None and not hasattr(module, {last!r}))
gc.callbacks.append(note)
{statement}
print(any(seen), gc.isenabled())
"""
"""Whether garbage is looked for while a package is only partly loaded."""


def test_what_is_loaded_for_a_token_is_not_searched_for_garbage(tmp_path: Path) -> None:
    file = tmp_path / "abaco.yml"
    file.write_text("data: data\n")
    for verb in ("list", "revoke x", "create --user ada"):
        arguments = ["--config", str(file), "token", *verb.split()]
        run = f"from abaco.command_line import main\nmain({arguments!r})"
        statement = COLLECTIONS.format(package="sqlalchemy", last="create_engine", statement=run)
        assert printed_by(statement).splitlines()[-1] == "False True"


@pytest.mark.parametrize("module", ["pipelinejobs.dispatcher", "local.database"])
def test_what_a_program_loads_is_not_searched_for_garbage(module: str) -> None:
    run = f"import {module}"
    statement = COLLECTIONS.format(package="pymongo", last="MongoClient", statement=run)
    assert printed_by(statement) == "False True\n"
