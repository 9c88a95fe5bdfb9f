"""Fixtures: a tenant of the platform, and Reactors made from a given environment."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from reactors.runtime import Reactor
from tests.tenant import Tenant


class MakeReactor(Protocol):
    def __call__(
        self, environ: dict[str, str] | None = None, config: str = ""
    ) -> tuple[Reactor, io.StringIO]: ...


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with Tenant() as tenant:
        yield tenant


@pytest.fixture
def make_reactor(tmp_path: Path) -> MakeReactor:
    """Return a function that makes a Reactor from an environment and the text of a config.yml.

    What it returns is the Reactor and the stream that its log goes to.
    """

    def make(
        environ: dict[str, str] | None = None, config: str = ""
    ) -> tuple[Reactor, io.StringIO]:
        (tmp_path / "config.yml").write_text(config)
        stream = io.StringIO()
        return Reactor(environ or {}, folders=[tmp_path], log_stream=stream), stream

    return make
