"""What `make up` has made holds for as long as it runs, which may be years."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abaco import clientcache, clock
from abaco.passes import Passes
from abaco.platform import Platform
from abaco.settings import load
from abaco.store.database import Database
from local import up
from pipelinejobs.backend import AUTHN, DATABASE

DAY = datetime.timedelta(days=1)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let days pass for the gateway."""
    now, passed = clock.now, datetime.timedelta()

    def pass_by(days: int) -> None:
        nonlocal passed
        passed += days * DAY

    monkeypatch.setattr(clock, "now", lambda: now() + passed)
    return pass_by


def test_the_token_holds_for_as_long_as_the_gateway_runs_and_a_year_longer(
    tmp_path: Path,
    mongodb: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[[int], None],
) -> None:
    monkeypatch.setenv(AUTHN, mongodb["authn"])
    monkeypatch.setenv(DATABASE, mongodb["database"])
    settings = load(tmp_path / "abaco.yml")
    settings.data.mkdir(parents=True, exist_ok=True)
    file = settings.data / "agave" / "current"
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        platform = Platform(settings, database, "http://127.0.0.1:1", Passes())
        prepared = up.prepare(platform)
        prepared.close()
        token = clientcache.read(file)["access_token"]
        assert prepared.hourly is not None
        for _ in range(3):
            wait(300)
            prepared.hourly()
        wait(300)
        assert platform.holds(token)

        up.prepare(platform).close()
        wait(300)
        assert platform.holds(token), "a start is as good"
        wait(100)
        assert not platform.holds(token)
        prepared.hourly()
        assert not platform.holds(token), "it has ended"
        up.prepare(platform).close()
        assert platform.holds(clientcache.read(file)["access_token"])
