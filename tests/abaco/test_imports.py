"""What a start need not load, it does not load: it takes its time from every start."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

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
        "with uncollected():\n    assert not gc.isenabled()\n    import abaco.settings\n"
        "print(gc.isenabled(), gc.get_freeze_count() > len(vars(abaco.settings)))"
    )
    assert printed_by(statement) == "True True\n"
