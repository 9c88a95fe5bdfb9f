"""Fixtures: two gateways and two nodes for the tests of a module, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.abaco.fleet import RunningFleet
from tests.abaco.running import PROBE, Client
from tests.conftest import ENGINES

IMAGES = {
    **PROBE,
    "ordered": {**PROBE["warm"], "ordered_by": "about", "unavailable": [75]},
}


@pytest.fixture(scope="module")
def fleet(
    postgres: services.Postgres,
    rabbitmq: services.RabbitMQ,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningFleet]:
    """Two gateways and two nodes."""
    folder = tmp_path_factory.mktemp("fleet")
    settings = {"containers": _containers(folder)} if ENGINES else {}
    with RunningFleet(folder, postgres, rabbitmq, IMAGES, settings) as running:
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda start: start(), [running.gateway, running.node]))
            list(threads.map(lambda start: start(), [running.gateway, running.node]))
        yield running


def _containers(folder: Path) -> dict[str, Any]:
    """Return the settings of an engine that is started when it is needed."""
    return {
        "engine": ENGINES[0],
        "socket": str(folder / "engine" / "socket"),
        "registries": ["localhost"],
        "network": "none",
    }


@pytest.fixture(scope="module")
def ada(fleet: RunningFleet) -> Iterator[Client]:
    """A user, at one gateway."""
    with fleet.gateways[0].client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def there(fleet: RunningFleet) -> Iterator[Client]:
    """The same user, at the other gateway."""
    with fleet.gateways[1].client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def root(fleet: RunningFleet) -> Iterator[Client]:
    """An administrator, who may choose the nodes of an actor."""
    with fleet.gateways[0].admin() as client:
        yield client
