from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.abaco.running import ACTORS, MODES, PROBE, Client, RunningGateway, eventually
from tests.conftest import ROOT

BINARY = {"Content-Type": "application/octet-stream"}
MEBIBYTE = bytes(range(256)) * 4096
WAYS = ("blocking", "cat", "not blocking")
READER = {
    "folder": str(ACTORS),
    "command": ["python3", "reader.py"],
    "environment": {"PYTHONPATH": str(ROOT)},
}
IMAGES = {
    **PROBE,
    "cold reader": READER,
    "warm reader": {**READER, "mode": "warm", "handler": "reader:main"},
}


def told(content: bytes) -> str:
    """What an actor says of a message."""
    return f"{len(content)} {hashlib.sha256(content).hexdigest()}"


def ask(client: Client, actor: str, content: bytes, orders: object = None) -> str:
    """Send a binary message; return what the actor says of it."""
    parameters = {"_abaco_synchronous": "true", "orders": str(orders)}
    reply = client.post(f"/{actor}/messages", content=content, headers=BINARY, params=parameters)
    assert reply.status_code == 200, reply.text
    return reply.text


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "content",
    [b"a", b"\x00\xff\r\n", b"x" * 65_536, MEBIBYTE, MEBIBYTE * 3 + b"end"],
    ids=["1", "4", "64Ki", "1Mi", "3Mi"],
)
def test_a_binary_message_is_read_from_the_fifo(
    ada: Client, actor: str, how: str, content: bytes
) -> None:
    assert ask(ada, actor, content, {"read": how}) == told(content)


@pytest.mark.parametrize("how", WAYS)
def test_an_empty_message_is_an_empty_fifo(ada: Client, actor: str, how: str) -> None:
    assert ask(ada, actor, b"", {"read": how}) == told(b"")


@pytest.mark.parametrize("how", ["blocking", "cat"])
def test_what_has_been_read_is_not_there_again(ada: Client, actor: str, how: str) -> None:
    path = f"/{actor}/messages"
    orders = str({"read": how, "read again": how})
    reply = ada.result("POST", path, content=b"once", headers=BINARY, params={"orders": orders})
    ada.ended(actor, reply["executionId"])
    results = [ada.result_of(actor, reply["executionId"]).decode() for _ in range(2)]
    assert results == [told(b"once"), told(b"")]


@pytest.mark.parametrize("mode", MODES)
def test_our_actors_read_it(ada: Client, mode: str) -> None:
    actor = ada.actor(f"{mode} reader")
    contents = [b"", b"a", MEBIBYTE, MEBIBYTE * 5]
    for content in contents if mode == "warm" else contents[-1:]:
        assert ask(ada, actor, content) == f"{told(content)} True"


def test_an_actor_need_not_read_it(ada: Client, actor: str) -> None:
    assert ask(ada, actor, MEBIBYTE * 2, {"print": "not looked at"}) == "not looked at\n"
    assert ask(ada, actor, b"the next", {"read": "cat"}) == told(b"the next")


def test_each_message_has_a_fifo_of_its_own(ada: Client, actor: str) -> None:
    contents = [str(number).encode() * 100_000 for number in range(4)]
    path, orders = f"/{actor}/messages", str({"read": "blocking"})
    ids = [
        ada.result("POST", path, content=each, headers=BINARY, params={"orders": orders})[
            "executionId"
        ]
        for each in contents
    ]
    for execution_id, content in zip(ids, contents, strict=True):
        ada.ended(actor, execution_id)
        assert ada.result_of(actor, execution_id).decode() == told(content)


@pytest.mark.long
def test_a_binary_message_survives_a_restart(tmp_path: Path) -> None:
    running = RunningGateway(tmp_path).start()
    with running.client() as client:
        actor = client.actor("cold")
        client.submit(actor, {"touch": str(tmp_path / "started"), "sleep": 60})
        eventually((tmp_path / "started").exists)
        reply = client.result(
            "POST",
            f"/{actor}/messages",
            content=MEBIBYTE,
            headers=BINARY,
            params={"orders": str({"read": "cat"})},
        )
        first = client.result("GET", f"/{actor}/executions")["executions"][0]["id"]
        running.kill()
        running.start()
        eventually(lambda: client.delete(f"/{actor}/executions/{first}").status_code == 200)
        client.ended(actor, reply["executionId"])
        assert client.result_of(actor, reply["executionId"]).decode() == told(MEBIBYTE)
    assert running.stop() == 0
