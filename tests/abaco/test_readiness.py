"""`/readyz` is red while a message could not be accepted or run, and says why."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.abaco.http.endpoints.test_system import metrics
from tests.abaco.running import Client, RunningGateway, eventually
from tests.conftest import ROOT
from tests.reliability.soak import GREEN_SECONDS, RED_SECONDS

GIBIBYTE = 1024**3
SETUP = """
import pathlib, time
from abaco.platform import Prepared

def ready():
    state = pathlib.Path("state").read_text()
    if state == "hangs":
        while pathlib.Path("state").read_text() == state:
            time.sleep(0.05)
    if state == "fails":
        raise RuntimeError("of a password")
    return state or None

def prepare(platform):
    pathlib.Path("state").write_text("")
    return Prepared([], lambda: None, ready=ready, folders=[pathlib.Path("elsewhere")])
"""

Get = Callable[[], httpx.Response]


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many bytes the disk has beyond the reserve: what others write meanwhile does not matter."""
    return min(2 * GIBIBYTE, shutil.disk_usage(tmp_path_factory.getbasetemp()).free // 4)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, spare: int) -> Iterator[RunningGateway]:
    """A gateway whose setup module says what the test wants, and whose reserve is nearly the disk."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "preparation.py").write_text(SETUP)
    (folder / "elsewhere").mkdir()
    reserve = shutil.disk_usage(folder).free - spare
    settings = {"setup": "preparation", "limits": {"reserve_bytes": reserve}}
    environ = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    with RunningGateway(folder, settings=settings, environ=environ) as running:
        yield running


@pytest.fixture
def get(gateway: RunningGateway) -> Get:
    """Asks whether the gateway is ready, which is answered at once whatever hangs."""

    def ask() -> httpx.Response:
        began = time.monotonic()
        reply = httpx.get(f"{gateway.url}/readyz", timeout=RED_SECONDS)
        assert time.monotonic() - began < RED_SECONDS
        assert httpx.get(f"{gateway.url}/healthz").status_code == 200
        return reply

    return ask


def red(get: Get) -> str:
    """Return why the gateway is not ready, which it says in time."""
    reply: httpx.Response = eventually(
        lambda: (reply := get()).status_code == 503 and reply, RED_SECONDS
    )
    return str(reply.json()["message"])


def green(get: Get) -> None:
    eventually(lambda: get().status_code == 200, GREEN_SECONDS)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("the oven is cold", "The oven is cold."),
        pytest.param("hangs", "What the actors need does not answer.", marks=pytest.mark.long),
        ("fails", "What the actors need cannot be checked: RuntimeError."),
    ],
)
def test_what_the_setup_module_says_is_told(
    gateway: RunningGateway, stranger: Client, get: Get, state: str, message: str
) -> None:
    file = gateway.folder / "state"
    green(get)
    assert metrics(stranger, gateway)["abaco_ready",] == 1
    file.write_text(state)
    assert red(get) == message
    assert metrics(stranger, gateway)["abaco_ready",] == 0
    file.write_text("")
    green(get)
    log = gateway.log.read_text()
    assert log.count(message[1:-1]) == (0 if state == "hangs" else 1)
    assert "of a password" not in log


def test_a_database_that_another_program_holds_is_told(gateway: RunningGateway, get: Get) -> None:
    green(get)
    holder = sqlite3.connect(gateway.settings.data / "abaco.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert red(get).startswith("The platform's database does not answer")
    finally:
        holder.close()
    green(get)


def test_below_the_reserve_messages_are_refused_and_those_before_are_kept(
    gateway: RunningGateway, ada: Client, get: Get, spare: int
) -> None:
    green(get)
    actor = ada.actor("cold")
    gate = gateway.folder / "gate"
    accepted = ada.submit(actor, {"wait for": str(gate)})
    filler = gateway.folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, spare + spare // 4)
    try:
        message = red(get)
        assert message.startswith("The disk has less than the ")
        assert "limits.reserve_bytes" in message
        for query in ("", "?_abaco_synchronous=true"):
            refused = ada.refusal("POST", f"/{actor}/messages{query}", 503, json={})
            assert refused == f"{message} Try again later."
        gate.touch()
        assert ada.ended(actor, accepted)["exitCode"] == 0
    finally:
        filler.unlink()
    green(get)
    assert ada.run(actor, {"exit": 0})["exitCode"] == 0


def test_a_folder_of_the_setup_module_that_is_gone_is_told(
    gateway: RunningGateway, get: Get
) -> None:
    green(get)
    folder = gateway.folder / "elsewhere"
    folder.rmdir()
    assert red(get) == "The disk cannot be read: No such file or directory."
    folder.mkdir()
    green(get)
