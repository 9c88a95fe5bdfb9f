"""What the gateway does in its event loop, and how often it asks its database."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import logging
import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from blockbuster import blockbuster_ctx

from abaco import roles
from abaco.http import arguments
from abaco.http.application import make_application
from abaco.http.endpoints import ENDPOINTS, search
from abaco.http.gateway import Gateway
from abaco.passes import Passes
from abaco.readiness import Readiness
from abaco.settings import Settings, load
from abaco.store import tokens
from abaco.store.database import Database
from tests.abaco.counting import Counts, counting
from tests.abaco.running import PROBE, SECONDS


class Prepared(NamedTuple):
    """What a gateway in this process needs."""

    settings: Settings
    database: Database
    token: str


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Prepared]:
    (tmp_path / "abaco.yml").write_text("data: data")
    (tmp_path / "images.yml").write_text(yaml.safe_dump(PROBE))
    settings = load(tmp_path / "abaco.yml")
    settings.data.mkdir()
    database = Database(settings.database)
    with database.write() as tx:
        given = (roles.EVERYONE, roles.ADMIN)
        token = tokens.create(tx, "SD2E", "root", list(given), lifetime=3600).access
    yield Prepared(settings, database, token)
    database.close()


@contextlib.asynccontextmanager
async def serving(prepared: Prepared) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway in this process's event loop."""
    settings, database = prepared.settings, prepared.database
    readiness = Readiness(settings, database)
    gateway = Gateway(settings, database, "http://127.0.0.1:1", Passes(), readiness)
    await gateway.engine.start()
    transport = httpx.ASGITransport(make_application(gateway))
    headers = {"Authorization": f"Bearer {prepared.token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway/actors/v2", headers=headers
    ) as client:
        yield client
    await gateway.engine.stop()


def run(prepared: Prepared, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Do something with a gateway in this process."""

    async def serve() -> None:
        async with serving(prepared) as client:
            # what stands still is a failure
            await asyncio.wait_for(work(client), 4 * SECONDS)

    asyncio.run(serve())


async def result(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    reply = await client.request(method, path, **options)
    assert reply.status_code == 200, reply.text
    return reply.json()["result"]


async def eventually(condition: Callable[[], Any]) -> None:
    """Return as soon as a condition holds, which may be a coroutine."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not (await value if inspect.isawaitable(value := condition()) else value):
        assert asyncio.get_running_loop().time() < deadline, "it does not come true"
        await asyncio.sleep(0.01)


def test_nothing_blocks_the_event_loop(
    prepared: Prepared, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    async def call_all(client: httpx.AsyncClient) -> None:
        for image in ("cold", "warm"):
            actor = (await result(client, "POST", "/", json={"image": image}))["id"]
            path, wait = f"/{actor}/messages", {"_abaco_synchronous": "true"}
            sent = {"results": ["taco"], "print": "hello"}
            assert (await client.post(path, json=sent, params=wait)).content == b"taco"
            binary = {"Content-Type": "application/octet-stream"}
            reply = await client.post(path, content=b"x" * 100_000, headers=binary, params=wait)
            assert reply.status_code == 200
        await result(client, "POST", "/aliases", json={"alias": "salsa", "actorId": actor})
        config = {"name": "verde", "value": "1", "actors": actor}
        await result(client, "POST", "/configs", json=config)
        named = {
            "actor": actor,
            "alias": "salsa",
            "config": "verde",
            "execution": (await result(client, "POST", path, json={"sleep": 0.1}))["executionId"],
            "worker": (await result(client, "GET", f"/{actor}/workers"))[0]["id"],
            "nonce": (await result(client, "POST", f"/{actor}/nonces"))["id"],
            "user": "me",
            "kind": "logs",
        }
        body = {"image": "cold", "alias": "roja", "actorId": actor, "name": "roja"}
        body |= {"actors": actor, "value": "1", "user": "bob", "level": "READ", "num": 2}
        body |= {"grant_type": "refresh_token", "refresh_token": "x"}
        # what is deleted last is what the others need
        order = sorted(ENDPOINTS, key=lambda each: (each.method == "DELETE", -len(each.path)))
        for endpoint in order:
            url = re.sub("^/actors", "/actors/v2", endpoint.path).format(**named)
            sent = {} if endpoint.method == "GET" else body
            reply = await client.request(endpoint.method, f"http://gateway{url}", json=sent)
            assert reply.status_code < 500, f"{endpoint.method} {endpoint.path}: {reply.text}"

    with blockbuster_ctx("abaco"):
        run(prepared, call_all)
    assert [record.getMessage() for record in caplog.records] == []


def test_a_sender_gets_one_search_at_a_time(prepared: Prepared) -> None:
    async def search_often(client: httpx.AsyncClient) -> None:
        for number in range(12):
            body = {"image": "nowhere", "description": f"{number} {'x' * 100_000}"}
            await result(client, "POST", "/", json=body)
        wanted = {"search": " ".join(f"word{number}" for number in range(90))}
        searches = (result(client, "GET", "/search/actors", params=wanted) for _ in range(4))
        for found in await asyncio.gather(*searches):
            assert found["search"] == []

    with watching(
        lambda frames: sum(is_inside(search.search_in, each) for each in frames.values())
    ) as at_once:
        run(prepared, search_often)
    assert max(at_once) == 1


@contextlib.contextmanager
def watching(look: Callable[[dict[int, FrameType]], int]) -> Iterator[list[int]]:
    """Look at what all threads are doing, again and again; give a list of what was seen."""
    seen: list[int] = []
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.001):
            seen.append(look(sys._current_frames()))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def is_inside(function: Callable[..., Any], frame: FrameType | None) -> bool:
    """Tell whether a thread is in a function, or in what that calls."""
    while frame is not None:
        if frame.f_code is inspect.unwrap(function).__code__:
            return True
        frame = frame.f_back
    return False


def test_a_large_text_is_not_read_in_the_event_loop(prepared: Prepared) -> None:
    rule = {"by": "subject", "secret": "key", "refusal": "wrong"}
    guarded = {"guarded": {**PROBE["warm"], "throttle": rule}}
    prepared.settings.images_files[0].write_text(yaml.safe_dump(PROBE | guarded))
    members = ",".join('{"a": 1}' for _ in range(60_000))
    text = f'{{"subject": "1", "key": "2", "data": [{members}]}}'

    async def send(client: httpx.AsyncClient) -> None:
        actor = (await result(client, "POST", "/", json={"image": "guarded"}))["id"]
        reply = await client.post(f"/{actor}/messages", data={"message": text})
        assert reply.status_code == 200

    loop = threading.get_ident()
    with watching(lambda frames: is_inside(arguments.read_json, frames[loop])) as read:
        run(prepared, send)
    assert not any(read)


def test_a_message_costs_few_statements_and_one_commit(prepared: Prepared, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    counted: list[Counts] = []

    async def post(client: httpx.AsyncClient) -> None:
        actor = (await result(client, "POST", "/", json={"image": "warm"}))["id"]
        nonce = (await result(client, "POST", f"/{actor}/nonces"))["id"]
        # its worker is busy, and asks for nothing
        first = {"touch": str(begun), "wait for": str(gate)}
        await result(client, "POST", f"/{actor}/messages", json=first)
        await eventually(begun.exists)
        for path in (f"/{actor}/messages", f"/{actor}/messages?x-nonce={nonce}"):
            # who sends is known from the first message on, for a second
            costs = []
            for _ in range(5):
                with counting(prepared.database) as counts:
                    await result(client, "POST", path, json={"print": 1})
                costs.append(counts)
            # what the gateway does by itself meanwhile counts as well
            counted.append(min(costs, key=dataclasses.astuple))
            # the second is sent with a nonce only
            client.headers.pop("Authorization", None)
        gate.touch()

    run(prepared, post)
    assert counted == [Counts(statements=3, writing=3, commits=1)] * 2


def test_a_message_whose_sender_waits_costs_one_statement_and_one_commit(
    prepared: Prepared,
) -> None:
    counted: list[Counts] = []

    async def post(client: httpx.AsyncClient) -> None:
        actor = (await result(client, "POST", "/", json={"image": "warm"}))["id"]
        path, wait = f"/{actor}/messages", {"_abaco_synchronous": "true"}
        for _ in range(5):
            with counting(prepared.database) as counts:
                reply = await client.post(path, json={"results": ["taco"]}, params=wait)
            assert reply.content == b"taco"
            counted.append(counts)

    run(prepared, post)
    # what the gateway does by itself meanwhile counts as well
    assert min(counted, key=dataclasses.astuple) == Counts(statements=1, writing=1, commits=1)


def test_an_execution_costs_few_statements_and_one_commit(
    prepared: Prepared, tmp_path: Path
) -> None:
    gate, executions = tmp_path / "gate", 20
    counted: list[Counts] = []

    async def execute(client: httpx.AsyncClient) -> None:
        actor = (await result(client, "POST", "/", json={"image": "warm"}))["id"]
        await eventually(lambda: is_ready(client, actor))
        path = f"/{actor}/messages"
        await result(client, "POST", path, json={"wait for": str(gate)})
        for number in range(1, executions):
            last = await result(client, "POST", path, json={"print": number})
        with counting(prepared.database) as counts:
            gate.touch()
            url = f"/{actor}/executions/{last['executionId']}/logs"
            await eventually(lambda: has_log(client, url))
        counted.append(counts)

    run(prepared, execute)
    (counts,) = counted
    assert counts.commits <= executions + 2
    assert counts.writing <= 5 * executions


async def is_ready(client: httpx.AsyncClient, actor: str) -> bool:
    return bool((await result(client, "GET", f"/{actor}"))["status"] == "READY")


async def has_log(client: httpx.AsyncClient, url: str) -> bool:
    return bool((await result(client, "GET", url))["logs"])


@contextlib.contextmanager
def counting_threads() -> Iterator[list[str]]:
    """Note what is given to another thread until the end of the block."""
    loop = asyncio.get_running_loop()
    given: list[str] = []
    run_in_executor = loop.run_in_executor

    def note(executor: Any, function: Callable[..., Any], *args: Any) -> Any:
        # others wrap what they give in a call without arguments
        inner = getattr(function, "args", ())[:1] or (getattr(function, "func", function),)
        given.append(getattr(inner[0], "__qualname__", str(inner[0])))
        return run_in_executor(executor, function, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "run_in_executor", note)
        yield given


def test_a_warm_message_changes_no_thread(prepared: Prepared) -> None:
    counted: dict[str, list[str]] = {}

    async def send(client: httpx.AsyncClient) -> None:
        actor = (await result(client, "POST", "/", json={"image": "warm"}))["id"]
        path = f"/{actor}/messages"
        wait = {"_abaco_synchronous": "true"}
        ordinary = {"results": ["taco"], "print": "hello"}
        # the first ones find the worker, and who may send
        for _ in range(3):
            await client.post(path, json=ordinary, params=wait)
        for name, parameters in (("waited for", wait), ("accepted", {})):
            least: list[str] | None = None
            # what is known of a sender is asked again each second, and this may be the moment
            for _ in range(5):
                with counting_threads() as given:
                    await client.post(path, json=ordinary, params=parameters)
                    assert (await client.post(path, json=ordinary, params=wait)).content == b"taco"
                least = given if least is None or len(given) < len(least) else least
            counted[name] = least or []

    run(prepared, send)
    assert counted == {"waited for": [], "accepted": []}


def test_messages_that_arrive_together_share_a_commit(prepared: Prepared, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    together = 32

    async def send(client: httpx.AsyncClient) -> None:
        actor = (await result(client, "POST", "/", json={"image": "warm"}))["id"]
        path = f"/{actor}/messages"
        await result(client, "POST", path, json={"touch": str(begun), "wait for": str(gate)})
        await eventually(begun.exists)
        with counting(prepared.database) as counts:
            posts = (result(client, "POST", path, json={"print": n}) for n in range(together))
            accepted = await asyncio.gather(*posts)
        gate.touch()
        assert len({each["executionId"] for each in accepted}) == together
        assert counts.commits <= together // 4
        assert counts.statements <= 2 * together

    run(prepared, send)
