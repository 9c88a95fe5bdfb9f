"""Fixtures: gateways, of a module and of one test, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.abaco.conftest import ada, admin, gateway, oven, shared, stranger
from tests.abaco.running import RunningGateway
from tests.datacatalog.conftest import scales, weighed
from tests.manager.conftest import actor
from tests.reliability.running import manager_gateway

__all__ = [
    "actor",
    "ada",
    "admin",
    "gateway",
    "oven",
    "running",
    "scales",
    "shared",
    "stranger",
    "weighed",
]


@pytest.fixture
def running(tmp_path: Path, mongodb: dict[str, Any]) -> Iterator[RunningGateway]:
    """The manager's gateway, of one test."""
    with manager_gateway(tmp_path, mongodb) as started:
        yield started
