"""Fixtures: a running gateway for the tests of a module, and clients of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.abaco.oven import Oven
from tests.abaco.running import MODES, Client, RunningGateway

if TYPE_CHECKING:
    from tests.services import Postgres, RabbitMQ


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, for whoever asks it for a database."""
    from tests.services import Postgres

    with contextlib.closing(Postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ broker."""
    from tests.services import RabbitMQ

    with contextlib.closing(RabbitMQ()) as server:
        yield server


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with the images `cold` and `warm`, and with images, actors and aliases of other modules."""
    with RunningGateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """A gateway that the tests of a module share.

    It has the images `cold` and `warm`, or the `IMAGES` of the module, and its `SETTINGS`. Without
    settings, other modules share it, too, but for those that say `ALONE = True`.
    """
    images, settings = (getattr(request.module, name, None) for name in ("IMAGES", "SETTINGS"))
    if settings is None and not getattr(request.module, "ALONE", False):
        running: RunningGateway = request.getfixturevalue("shared")
        running.know(images or {})
        yield running
        return
    with RunningGateway(tmp_path_factory.mktemp("gateway"), images, settings) as running:
        yield running


@pytest.fixture(scope="module", params=MODES)
def actor(request: pytest.FixtureRequest, ada: Client) -> str:
    """An actor of either mode."""
    return ada.actor(request.param)


@pytest.fixture(scope="module")
def ada(gateway: RunningGateway) -> Iterator[Client]:
    """A user."""
    with gateway.client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def bob(gateway: RunningGateway) -> Iterator[Client]:
    """Another user."""
    with gateway.client("bob") as client:
        yield client


@pytest.fixture(scope="module")
def admin(gateway: RunningGateway) -> Iterator[Client]:
    """An administrator."""
    with gateway.admin() as client:
        yield client


@pytest.fixture(scope="module")
def stranger(gateway: RunningGateway) -> Iterator[Client]:
    """Somebody without a token."""
    with Client(gateway.url) as client:
        yield client


@pytest.fixture
def oven(tmp_path: Path) -> Oven:
    """What the actor `patient` depends on."""
    return Oven(tmp_path)
