"""Fixtures: a tenant of the platform, and Reactors made from a given environment."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from reactors.runtime import Reactor
from tests.conftest import ROOT
from tests.tenant import Tenant

PLATFORM = {
    "_abaco_actor_id": "JXxQ5WbDPWpJ0",
    "_abaco_actor_dbid": "SD2E_JXxQ5WbDPWpJ0",
    "_abaco_execution_id": "rG5k0xKPmMBM",
    "_abaco_username": "somebody",
    "_abaco_actor_state": "{'runs': 3, 'last': None}",
    "_abaco_Content_Type": "application/json",
    "_abaco_api_server": "https://api.example.org",
}


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with no environment but the given one."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


class MakeReactor(Protocol):
    def __call__(
        self, environ: dict[str, str] | None = None, config: str = ""
    ) -> tuple[Reactor, io.StringIO]: ...


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with Tenant(is_known=True) as tenant:
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
