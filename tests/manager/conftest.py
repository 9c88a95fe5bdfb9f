"""The actor, its jobs in the database of one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actor import Actor


@pytest.fixture
def actor(mongodb: dict[str, Any], tmp_path: Path) -> Iterator[Actor]:
    actor = Actor(mongodb, tmp_path)
    yield actor
    actor.close()
