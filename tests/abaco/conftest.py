"""Fixtures: a running gateway for the tests of a module, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.abaco.running import Client, RunningGateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with the images `cold` and `warm`, shared by the tests of a module."""
    running = RunningGateway(tmp_path_factory.mktemp("gateway")).start()
    yield running
    assert running.stop() == 0, running.log.read_text()


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
