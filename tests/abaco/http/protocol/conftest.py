"""Fixtures: servers for the tests of a module."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from abaco.certificates import CertificateAuthority
from tests.abaco.http.protocol.serving import (
    SHORT,
    Gateway,
    serving,
)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority") / "tls")


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does may show as an error or a traceback."""
    caplog.set_level(logging.INFO)
    # which the command line makes quiet
    caplog.set_level(logging.INFO, "uvicorn.error")
    yield
    # an error of a task is logged when the task is forgotten
    gc.collect(1)
    logged = caplog.get_records("call") + caplog.get_records("teardown")
    assert [record.getMessage() for record in logged if record.exc_info] == []


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def gateway(authority: CertificateAuthority) -> Iterator[Gateway]:
    with serving(authority) as served:
        yield served


@pytest.fixture(scope="module")
def hasty(authority: CertificateAuthority) -> Iterator[Gateway]:
    """A gateway that waits for a head less long than other tests take."""
    with serving(authority, limits=SHORT) as served:
        yield served
