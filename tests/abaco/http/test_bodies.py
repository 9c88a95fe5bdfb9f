"""Request bodies take a bounded amount of memory, whoever sends how many of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from abaco.exceptions import Unavailable
from abaco.http import bodies
from abaco.http.bodies import Bodies
from abaco.settings import MEBIBYTE, Limits
from tests.abaco.running import ACTORS, SECONDS, Client, RunningGateway

IMAGES = {
    "resting": {
        "folder": str(ACTORS),
        "command": ["python3", "-c", "import guarded; guarded.rest()"],
        "mode": "warm",
        "handler": "guarded:rest",
    }
}
SETTINGS = {"limits": {"bodies_bytes": 8 * MEBIBYTE, "binary_bytes": 2 * MEBIBYTE}}
SENDERS = 48
# as JSON, it takes many times its size
HEAVY = json.dumps({"subject": "none", "key": "wrong", "data": [[]] * 250_000}).encode()


@contextlib.contextmanager
def peak_of(pid: int) -> Iterator[list[int]]:
    """Give a list, in which the largest memory of a process is at the end of the block."""
    process, peak, done = psutil.Process(pid), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        done.set()
        watching.join()


@pytest.mark.long
def test_many_large_messages_of_one_sender_take_little_memory(
    gateway: RunningGateway, admin: Client
) -> None:
    actor = admin.actor("resting")
    token = gateway.token("eve", ("Internal/everyone", "Internal/abaco-admin"))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"{gateway.url}/actors/v2/{actor}/messages"
    assert httpx.post(url, content=HEAVY, headers=headers, timeout=60).status_code == 200
    before = psutil.Process(gateway.pid).memory_info().rss

    def send(number: int) -> int:
        wait = {"_abaco_synchronous": "true"} if number % 2 else {}
        reply = httpx.post(url, params=wait, content=HEAVY, headers=headers, timeout=SECONDS)
        return reply.status_code

    with peak_of(gateway.pid) as peak, ThreadPoolExecutor(SENDERS) as pool:
        statuses = set(pool.map(send, range(SENDERS)))
    assert statuses <= {200, 503}
    assert peak[0] - before < 200 * MEBIBYTE


@pytest.mark.long
def test_bodies_that_do_not_come_leave_room_for_others(
    gateway: RunningGateway, admin: Client
) -> None:
    actor = admin.actor("resting")
    slow = admin.headers["Authorization"]
    head = (
        f"POST /actors/v2/{actor}/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: {slow}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {2 * MEBIBYTE}\r\n\r\n"
    )
    with contextlib.ExitStack() as held:
        for _ in range(8):
            client = held.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
            client.sendall(head.encode())
        time.sleep(0.2)
        start = time.monotonic()
        with gateway.client("grace", ("Internal/everyone", "Internal/abaco-admin")) as grace:
            content = json.dumps("x" * (MEBIBYTE + MEBIBYTE // 2))
            assert grace.post(f"/{actor}/messages", content=content).status_code == 200
        assert time.monotonic() - start < bodies.WAIT_SECONDS / 2
        # one of those with the slow ones, who has used up a share
        reply = admin.post(f"/{actor}/messages", content=content)
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("path", ["/token", "/healthz"])
def test_who_shows_no_credential_sends_little(shared: RunningGateway, path: str) -> None:
    reply = httpx.request(
        "POST" if path == "/token" else "GET", shared.url + path, content="x" * 20_000
    )
    assert reply.status_code == 413


# The reckoning itself

LIMITS = Limits(body_bytes=4, binary_bytes=4, bodies_bytes=16)


def test_room_is_shared_and_given_back() -> None:
    async def work() -> None:
        kept = Bodies(LIMITS)
        first = await kept.take("ada", 4)
        second = asyncio.create_task(kept.take("ada", 1))
        others = [await kept.take(name, 4) for name in ("bob", "cass")]
        last = await kept.take("dora", 3)
        await asyncio.sleep(0)
        assert not second.done()
        waiting = asyncio.create_task(kept.take("egon", 2))
        await asyncio.sleep(0)
        first.release()
        first.release()
        await asyncio.wait_for(asyncio.gather(second, waiting), SECONDS)
        for room in (*others, last, second.result(), waiting.result()):
            room.release()
        assert (kept._total, kept._taken) == (0, {})

    asyncio.run(work())


def test_all_nonces_of_a_user_get_half_of_the_room() -> None:
    async def work() -> None:
        kept = Bodies(LIMITS)
        rooms = [await kept.take(nonce, 4, "nonces of ada") for nonce in ("one", "two")]
        third = asyncio.create_task(kept.take("three", 1, "nonces of ada"))
        others = [await kept.take(name, 4) for name in ("ada", "bob")]
        assert not third.done()
        rooms[0].release()
        for room in (await asyncio.wait_for(third, SECONDS), rooms[1], *others):
            room.release()
        assert (kept._total, kept._taken) == (0, {})

    asyncio.run(work())


def test_who_waits_for_room_in_vain_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WAIT_SECONDS", 0.01)

    async def work() -> None:
        kept = Bodies(LIMITS)
        await kept.take("ada", 4)
        with pytest.raises(Unavailable):
            await kept.take("ada", 4)
        assert kept._waiting == {}

    asyncio.run(work())


def test_room_that_comes_when_nobody_wants_it_any_more_is_not_lost() -> None:
    async def work() -> None:
        kept = Bodies(LIMITS)
        room = await kept.take("ada", 4)
        waiting = asyncio.create_task(kept.take("ada", 4))
        await asyncio.sleep(0)
        room.release()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert kept._total == 0

    asyncio.run(work())
