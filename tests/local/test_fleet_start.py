"""What a gateway that is one of several says when it starts, where logs keep it."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from abaco import clientcache
from abaco.passes import Passes
from abaco.platform import Platform
from abaco.settings import CELERY, load
from abaco.store.database import Database
from local import up
from pipelinejobs.backend import AUTHN, DATABASE, NONCE


def test_the_start_of_a_gateway_of_a_fleet_leaves_no_credential_in_its_log(
    tmp_path: Path, mongodb: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTHN, mongodb["authn"])
    monkeypatch.setenv(DATABASE, mongodb["database"])
    settings = dataclasses.replace(load(tmp_path / "abaco.yml"), engine=CELERY)
    settings.data.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'abaco.db'}")) as database:
        platform = Platform(settings, database, "http://127.0.0.1:1", Passes())
        prepared = up.prepare(platform)
        prepared.close()
        log = "\n".join(prepared.lines)
        files = {
            "token": settings.data / "agave" / "current",
            "nonce": settings.data / NONCE.lower(),
        }
        token, nonce = clientcache.read(files["token"])["access_token"], files["nonce"].read_text()
        assert platform.holds(token)
    assert token not in log
    assert nonce not in log
    assert "code=" not in log
    assert " with token " not in log
    for name, file in files.items():
        assert f"{name}    in {file}" in log
        assert file.stat().st_mode & 0o077 == 0
