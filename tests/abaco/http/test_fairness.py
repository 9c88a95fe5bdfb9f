from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from abaco.http.application import turn
from abaco.http.fairness import KeyedLock
from tests.abaco.running import SECONDS, Client, RunningGateway, eventually


def test_a_sender_has_one_turn_at_a_time_and_keeps_nobody_else_waiting() -> None:
    seen: list[str] = []

    async def use(locks: KeyedLock, sender: str, name: str) -> None:
        async with locks.of(sender):
            seen.append(f"{name} begins")
            await asyncio.sleep(0.01)
            seen.append(f"{name} ends")

    async def all_at_once() -> None:
        locks = KeyedLock()
        await asyncio.gather(use(locks, "ada", "1"), use(locks, "ada", "2"), use(locks, "bob", "3"))

    asyncio.run(all_at_once())
    assert seen.index("2 begins") > seen.index("1 ends")
    assert seen.index("3 begins") < seen.index("1 ends")


def test_who_gives_up_waiting_or_fails_leaves_the_turn_to_the_next() -> None:
    async def work() -> None:
        locks = KeyedLock()

        async def fail() -> None:
            async with locks.of("ada"):
                await asyncio.sleep(0.01)
                raise ValueError

        async def wait() -> None:
            async with locks.of("ada"):
                await asyncio.sleep(0)

        failing, leaving, last = map(asyncio.ensure_future, (fail(), wait(), wait()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait_for(last, SECONDS)
        with pytest.raises(ValueError):
            await failing

    asyncio.run(work())


def test_one_sender_does_not_take_all_connections_by_waiting(tmp_path: Path) -> None:
    with (
        RunningGateway(tmp_path, settings={"limits": {"connections": 8}}) as gateway,
        gateway.client("ada") as ada,
        gateway.client("bob") as bob,
        ThreadPoolExecutor() as threads,
    ):
        actor, gate = ada.actor("cold"), tmp_path / "gate"
        ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
        waiting = [threads.submit(ada.ask, actor, {"wait for": str(gate)}) for _ in range(2)]
        try:
            path = f"/{actor}/executions"
            eventually(lambda: len(ada.result("GET", path)["executions"]) == 2)
            reply = ada.ask(actor, {})
            assert (reply.status_code, reply.headers["Retry-After"]) == (429, "5")
            others = threads.submit(bob.ask, actor, {"results": ["taco"]})
        finally:
            gate.touch()
        assert [each.result().status_code for each in waiting] == [200, 200]
        assert others.result().content == b"taco"
        assert len(ada.result("GET", f"/{actor}/executions")["executions"]) == 3
        assert ada.ask(actor, {}).status_code == 200


def test_a_user_with_many_nonces_does_not_take_all_connections(tmp_path: Path) -> None:
    with (
        RunningGateway(tmp_path, settings={"limits": {"connections": 8}}) as gateway,
        gateway.client("ada") as ada,
        gateway.client("bob") as bob,
        Client(gateway.url) as anybody,
        ThreadPoolExecutor() as threads,
    ):
        actor, gate = ada.actor("cold"), tmp_path / "gate"
        ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
        nonces = [ada.result("POST", f"/{actor}/nonces")["id"] for _ in range(3)]

        def ask(nonce: str) -> httpx.Response:
            return anybody.ask(actor, {"wait for": str(gate)}, **{"x-nonce": nonce})

        waiting = [threads.submit(ask, nonce) for nonce in nonces[:2] for _ in range(2)]
        try:
            path = f"/{actor}/executions"
            eventually(lambda: len(ada.result("GET", path)["executions"]) == 4)
            assert (ask(nonces[2]).status_code, ask(nonces[0]).status_code) == (429, 429)
            others = threads.submit(bob.ask, actor, {"results": ["taco"]})
        finally:
            gate.touch()
        assert [each.result().status_code for each in waiting] == [200] * 4
        assert others.result().content == b"taco"
        assert ask(nonces[2]).status_code == 200


def test_searches_with_the_nonces_of_one_user_are_made_one_after_the_other() -> None:
    seen: list[str] = []
    gateway = SimpleNamespace(sender_locks=KeyedLock())

    async def scan(user: str, nonce: str) -> None:
        call: Any = SimpleNamespace(gateway=gateway, endpoint=SimpleNamespace(scans=True))
        call.sender, call.owner = (nonce or user), (f"nonces of {user}" if nonce else user)
        async with turn(call):
            seen.append(f"{nonce or user} begins")
            await asyncio.sleep(0.01)
            seen.append(f"{nonce or user} ends")

    async def all_at_once() -> None:
        await asyncio.gather(scan("ada", "1"), scan("ada", "2"), scan("ada", ""), scan("bob", "3"))

    asyncio.run(all_at_once())
    first = seen.index("1 ends")
    assert seen.index("2 begins") > first
    assert max(seen.index("ada begins"), seen.index("3 begins")) < first
