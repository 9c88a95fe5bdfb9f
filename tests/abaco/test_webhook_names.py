"""Names of webhooks, as a name server is asked for them: one that the gateway alone is told of."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abaco.running import EVERYONE, NOWHERE, RunningGateway, eventually
from tests.mounting import with_file

ADDRESS = "127.0.53.53"


class NameServer:
    """A name server that keeps what it is asked, and says of every name but silent ones that it is none."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((ADDRESS, 53))
        except OSError:
            self._socket.close()
            raise
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def close(self) -> None:
        """Stop it."""
        self._socket.sendto(b"", (ADDRESS, 53))
        self._serving.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if not question:
                return
            name = _name(question)
            self.asked.add(name)
            if not name.endswith(".silent"):
                none = struct.pack(">HH", 0x8183, 1)
                self._socket.sendto(question[:2] + none + bytes(6) + question[12:], sender)


def _name(question: bytes) -> str:
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels)


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A name server at the port of name servers."""
    try:
        server = NameServer()
    except OSError as error:
        pytest.skip(f"there can be no name server here: {error}")
    with contextlib.closing(server):
        yield server


@pytest.fixture
def careful(names: NameServer, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that asks the name server."""
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {ADDRESS}\noptions timeout:30 attempts:2\n")
    within = with_file(resolver, "/etc/resolv.conf")
    settings = {"private_webhooks": False}
    with RunningGateway(tmp_path, settings=settings, within=within) as gateway:
        yield gateway


def test_a_name_is_looked_up_as_it_is_registered_with_name_servers(
    careful: RunningGateway, names: NameServer
) -> None:
    """The names with ß and with ss may be those of different people."""
    with careful.client("eve", [EVERYONE]) as eve:
        eve.actor(NOWHERE, webhook="http://faß.example/")
        eventually(lambda: names.asked)
    assert names.asked == {"xn--fa-hia.example"}


def test_names_that_nobody_answers_for_keep_no_request_waiting(
    careful: RunningGateway, names: NameServer
) -> None:
    with contextlib.ExitStack() as stack:
        users = [stack.enter_context(careful.client(f"eve{n}", [EVERYONE])) for n in range(5)]
        for number, user in enumerate(users):
            actor = user.actor(NOWHERE)
            for host in range(12):
                url = f"http://a{number}-{host}.silent/"
                user.result("PUT", f"/{actor}", json={"image": NOWHERE, "webhook": url})
        eventually(lambda: len(names.asked) >= 40)
        for _ in range(40):
            asked = time.monotonic()
            users[0].result("POST", "", json={"image": NOWHERE})
            assert time.monotonic() < asked + 20
