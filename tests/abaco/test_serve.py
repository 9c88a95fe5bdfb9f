"""How a gateway starts, what it says where it cannot, and what ends it."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from abaco import server
from abaco.command_line import main
from tests.abaco.running import SECONDS, RunningGateway, eventually
from tests.conftest import ROOT
from tests.services import free_port

SETUP = """
import pathlib, time
from abaco.platform import Prepared

def prepare(platform):
    pathlib.Path("address").write_text(platform.address)
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return Prepared(["It is prepared."], pathlib.Path("closed").touch)
"""

Refuse = Callable[..., str]


@pytest.fixture
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Refuse]:
    """Starts a gateway with settings that cannot be; returns the one line that it says."""
    mask = os.umask(0o022)
    file = tmp_path / "abaco.yml"

    def serve(**settings: Any) -> str:
        file.write_text(yaml.safe_dump({"port": 0, "data": "data", **settings}))
        assert main(["--config", str(file), "serve"]) == 1
        printed, complained = capsys.readouterr()
        assert printed == ""
        (line,) = complained.splitlines()
        return str(line.removeprefix("ERROR "))

    yield serve
    os.umask(mask)


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


# What cannot be


@pytest.mark.parametrize(
    ("key", "option"),
    [("port", "--port (with make up, PORT=), or port in {}"), ("tls_port", "tls_port in {}")],
)
def test_a_port_in_use_is_said_before_anything_is_prepared(
    refusal: Refuse, occupied: int, tmp_path: Path, key: str, option: str
) -> None:
    said = refusal(setup="no_such.module", **{key: occupied})
    place = f"the gateway cannot listen on 127.0.0.1:{occupied} (Address already in use)"
    assert said == f"{place}: choose another with {option.format(tmp_path / 'abaco.yml')}"


def test_an_address_of_another_machine_is_said(refusal: Refuse) -> None:
    said = refusal(host="192.0.2.1")
    assert said.startswith(
        "the gateway cannot listen on 192.0.2.1:0 (Cannot assign requested address)"
    )


def test_a_data_folder_of_another_gateway_is_said(refusal: Refuse, gateway: RunningGateway) -> None:
    data = gateway.settings.data
    said = refusal(data=str(data))
    place = f"another gateway is running with the data folder {data}, at {gateway.url}"
    assert said.startswith(f"{place}: stop it")
    # what is asked once more is answered the same
    assert refusal(data=str(data)) == said
    assert httpx.get(f"{gateway.url}/readyz").status_code == 200


def test_a_data_folder_that_cannot_be_made_is_said(refusal: Refuse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refusal(data="file/data")
    found = f"the data folder {tmp_path / 'file' / 'data'} cannot be used: Not a directory. "
    assert said == f"{found}Name a folder of your own (data) in the configuration"


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("no_such.module", "cannot be used: No module named 'no_such'"),
        ("abaco.clock", "cannot be used: module 'abaco.clock' has no attribute 'prepare'"),
    ],
)
def test_a_setup_module_that_cannot_be_used_is_said(
    refusal: Refuse, tmp_path: Path, module: str, reason: str
) -> None:
    assert refusal(setup=module) == f"{tmp_path / 'abaco.yml'}: setup: {module} {reason}"


@pytest.mark.parametrize("module", ["", ".up", "local/up.py", 5])
def test_a_setup_that_is_no_module_is_said(refusal: Refuse, tmp_path: Path, module: Any) -> None:
    assert refusal(setup=module).startswith(f"{tmp_path / 'abaco.yml'}: setup: ")


# What is prepared


def test_who_connects_while_the_gateway_prepares_is_served_then(tmp_path: Path) -> None:
    (tmp_path / "preparation.py").write_text(SETUP)
    environ = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    gateway = RunningGateway(tmp_path, settings={"setup": "preparation"}, environ=environ)
    address = tmp_path / "address"
    with ThreadPoolExecutor() as threads:
        started = threads.submit(gateway.start)
        url = eventually(lambda: address.exists() and address.read_text())
        reply = threads.submit(httpx.get, f"{url}/readyz", timeout=SECONDS)
        assert gateway.lines == []
        (tmp_path / "go").touch()
        assert reply.result().status_code == 200
        started.result()
    assert gateway.url == url
    eventually(lambda: gateway.lines == [f"The gateway is at {url}", "It is prepared."])
    assert not (tmp_path / "closed").exists()
    assert gateway.stop() == 0
    assert (tmp_path / "closed").exists()


def test_a_gateway_with_a_tls_port_serves_https_too(tmp_path: Path) -> None:
    port = free_port()
    gateway = RunningGateway(tmp_path, settings={"tls_port": port}).start()
    trusted = ssl.create_default_context(cafile=gateway.settings.data / "authority" / "ca.pem")
    for url in (gateway.url, f"https://{gateway.settings.host}:{port}"):
        assert httpx.get(f"{url}/readyz", verify=trusted).status_code == 200
    assert gateway.stop() == 0


def test_a_small_packet_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    settings = RunningGateway(tmp_path).settings

    async def is_sent_at_once() -> bool:
        accepted = asyncio.get_running_loop().create_future()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            near = writer.get_extra_info("socket")
            accepted.set_result(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with server._listen(settings, 0, "--port") as listening:
            async with await asyncio.start_server(accept, sock=listening):
                with socket.create_connection(listening.getsockname()):
                    return bool(await asyncio.wait_for(accepted, SECONDS))

    assert asyncio.run(is_sent_at_once())


def test_a_connection_stays_open_between_two_reports(gateway: RunningGateway) -> None:
    connection = http.client.HTTPConnection(httpx.URL(gateway.url).netloc.decode(), timeout=SECONDS)
    connection.connect()
    connection.auto_open = 0  # a closed connection is an error, and not opened again
    for pause in (6, 0):
        connection.request("GET", "/readyz")
        assert connection.getresponse().read()
        time.sleep(pause)
    connection.close()


# What ends it


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long), signal.SIGHUP]
)
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    gateway = RunningGateway(tmp_path).start()
    assert gateway.stop(number) == 0
    assert gateway.log.read_text() == f"The gateway is at {gateway.url}\n"


def test_under_nohup_it_outlives_the_terminal(tmp_path: Path) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        gateway = RunningGateway(tmp_path).start()
    finally:
        signal.signal(signal.SIGHUP, former)
    os.kill(gateway.pid, signal.SIGHUP)
    assert httpx.get(f"{gateway.url}/readyz").status_code == 200
    assert gateway.stop() == 0
