"""What a command need not load, it does not load: people wait for it, and scripts start many."""

from __future__ import annotations

from tests.abaco.test_imports import loaded_with

FEW_NEED = {"cryptography", "rich", "xml.sax", "jsonschema", "httpx", "sqlalchemy"}


def test_a_command_starts_without_what_few_commands_need() -> None:
    loaded = loaded_with("pipelinejobs.app", "pipelinejobs.app.command_of(['jobs', 'ls'])")
    assert {"typer", "pymongo", "pipelinejobs.commands.jobs"} <= loaded
    assert not loaded & FEW_NEED


def test_a_command_is_loaded_without_the_others() -> None:
    loaded = loaded_with("pipelinejobs.app", "pipelinejobs.app.command_of(['token', 'job'])")
    commands = {name for name in loaded if name.startswith("pipelinejobs.commands.")}
    assert {name.rpartition(".")[2] for name in commands} <= {"tokens", "common"}


def test_a_table_is_drawn_without_what_moves() -> None:
    loaded = loaded_with("pipelinejobs.drawing")
    assert "rich.table" in loaded
    assert not loaded & {"rich.live", "rich.progress"}


def test_the_database_is_started_without_what_certificates_take() -> None:
    loaded = loaded_with("local.database")
    assert "pymongo" in loaded
    assert "cryptography" not in loaded
