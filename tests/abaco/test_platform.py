"""What a setup module does with the platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from abaco.passes import Passes
from abaco.platform import Platform
from abaco.settings import load
from abaco.store import actors, aliases, permissions, registrations
from abaco.store.database import Database
from abaco.store.registrations import Registrant

SECRET = {"image": "taco", "default_environment": {"SECRET": "hunter2"}}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'abaco.db'}")
    database.check()
    yield database
    database.close()


@pytest.fixture
def platform(tmp_path: Path, database: Database) -> Platform:
    return Platform(load(tmp_path / "abaco.yml"), database, "http://127.0.0.1:8000", Passes())


def test_an_actor_is_registered_once_and_described_each_time_as_by_an_administrator(
    platform: Platform, database: Database
) -> None:
    first = platform.actor("operator", "taco", {"image": "salsa"})
    with database.write() as tx:
        registrations.record(tx, "SD2E", first["id"], Registrant("ada"))
    second = platform.actor("operator", "taco", SECRET)
    assert (second["id"], second["image"]) == (first["id"], "taco")
    with database.read() as tx:
        assert registrations.of(tx, second).admin


def test_an_actor_of_somebody_else_that_has_taken_the_alias_is_told_no_secret(
    platform: Platform, database: Database
) -> None:
    with database.write() as tx:
        theirs = actors.create(tx, "SD2E", Registrant("mallory"), {"image": "nowhere"})
        aliases.create(tx, "SD2E", "taco", theirs["id"], "mallory")
    mine = platform.actor("operator", "taco", SECRET)
    assert mine["owner"] == "operator"
    with database.read() as tx:
        left = actors.get(tx, theirs["id"])
        assert left is not None
        assert (left["image"], left["default_environment"]) == ("nowhere", {})
        found = actors.find_by_alias(tx, "SD2E", "taco")
        assert found == mine
        assert permissions.of(tx, "SD2E", permissions.ALIAS, "taco") == {"operator": "UPDATE"}
