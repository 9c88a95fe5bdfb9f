from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from abaco import clock, roles, webhooks
from abaco.store import actors, posts
from abaco.store.database import Database
from abaco.store.registrations import Registrant
from abaco.store.rows import Post
from tests.abaco.running import NOWHERE, Client, RunningGateway, eventually

JSON = "application/json"
EXECUTION = "EXECUTION_COMPLETE"


class Receiver:
    """A web server that keeps what it is sent.

    Attributes:
        statuses: by path, what the next post is answered; then it is 200.
        answering: cleared, it keeps whoever posts waiting.
        cookie: what each answer sets.
    """

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.statuses: dict[str, int] = {}
        self.answering = threading.Event()
        self.answering.set()
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.hosts: list[str | None] = []
        self.cookie = ""
        self.cookies: list[str | None] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind = self.headers["Content-Type"]
                receiver.hosts.append(self.headers["Host"])
                receiver.cookies.append(self.headers["Cookie"])
                receiver.requests.append((self.path, kind, json.loads(body)))
                receiver.answering.wait(30)
                status = receiver.statuses.pop(self.path, 200)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    if status // 100 == 3:
                        self.send_header("Location", f"{receiver.url}/elsewhere")
                    if receiver.cookie:
                        self.send_header("Set-Cookie", receiver.cookie)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def close(self) -> None:
        """Stop it; who waits is answered."""
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()

    def events(self, kind: str = EXECUTION) -> list[dict[str, Any]]:
        """The events of a kind that were posted."""
        return [body for _, _, body in self.requests if body["event_type"] == kind]

    def executions(self) -> list[str]:
        """The executions of which it was told."""
        return [event["execution_id"] for event in self.events()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server."""
    running = Receiver()
    yield running
    running.close()


def test_a_webhook_is_posted_each_event(
    gateway: RunningGateway, ada: Client, receiver: Receiver
) -> None:
    url = f"{receiver.url}/hook?key=1"
    actor = ada.actor("cold", webhook=url)
    execution = ada.run(actor, {"exit": 3})
    eventually(lambda: len(receiver.requests) == 2)
    assert [(path, kind) for path, kind, _ in receiver.requests] == [("/hook?key=1", JSON)] * 2
    ready, complete = (body for _, _, body in receiver.requests)
    assert (ready["event_type"], ready["actor_id"]) == ("ACTOR_READY", actor)
    assert (complete["event_type"], complete["exit_code"]) == (EXECUTION, 3)
    assert complete["execution_id"] == execution["id"]
    assert (complete["_abaco_webhook"], complete["_abaco_link"]) == (url, "")


def test_a_webhook_is_told_of_an_error_and_of_the_end_of_it(
    ada: Client, receiver: Receiver
) -> None:
    actor = ada.actor(NOWHERE, webhook=receiver.url)
    eventually(lambda: receiver.events("ACTOR_ERROR"))
    ada.result("PUT", f"/{actor}", json={"image": "warm", "webhook": receiver.url})
    eventually(lambda: receiver.events("ACTOR_READY"))
    assert len(receiver.requests) == 2


def test_events_of_a_webhook_come_in_their_order(ada: Client, receiver: Receiver) -> None:
    actor = ada.actor("warm", webhook=receiver.url)
    ids = [ada.submit(actor, {}) for _ in range(20)]
    eventually(lambda: len(receiver.executions()) == len(ids))
    assert receiver.executions() == ids


@pytest.mark.long
def test_an_event_that_is_not_taken_is_posted_again_before_what_follows(
    gateway: RunningGateway, ada: Client, receiver: Receiver
) -> None:
    statuses = (302, 307, 404, 429, 500)
    paths = [f"/secret-path-{status}" for status in statuses]
    actors = [ada.actor("warm", webhook=f"{receiver.url}{path}") for path in paths]
    eventually(lambda: len(receiver.events("ACTOR_READY")) == len(actors))
    receiver.statuses = dict(zip(paths, statuses, strict=True))
    ids = [[ada.run(actor, {})["id"] for _ in range(2)] for actor in actors]
    eventually(lambda: len(receiver.executions()) == 3 * len(actors))
    told = [
        [body.get("execution_id") for path, _, body in receiver.requests if path == each][1:]
        for each in paths
    ]
    assert told == [[first, first, second] for first, second in ids], "and nothing elsewhere"
    log = gateway.log.read_text()
    for actor, status in zip(actors, statuses, strict=True):
        line = f"of actor {actor} not taken by its webhook (status {status}): tried again later"
        assert line in log
    assert "secret-path" not in log, "the URL of a webhook may hold a nonce"


def test_a_slow_webhook_delays_no_other(ada: Client, receiver: Receiver) -> None:
    with contextlib.closing(Receiver()) as slow:
        slow.answering.clear()
        ada.actor("warm", webhook=slow.url)
        eventually(lambda: slow.requests)
        actor = ada.actor("warm", webhook=receiver.url)
        execution = ada.run(actor, {})["id"]
        # the slow one is waited for ten seconds
        eventually(lambda: receiver.executions() == [execution], seconds=8)
        assert len(slow.requests) == 1


def test_the_events_of_an_actor_wait_for_none_of_others_to_the_same_url(
    ada: Client, bob: Client, receiver: Receiver
) -> None:
    receiver.answering.clear()
    ada.actor(NOWHERE, webhook=receiver.url)
    eventually(lambda: receiver.requests)
    actor = bob.actor(NOWHERE, webhook=receiver.url)
    # that of ada is waited for ten seconds
    eventually(lambda: receiver.requests[-1][2]["actor_id"] == actor, seconds=8)
    assert len(receiver.requests) == 2


def test_many_slow_webhooks_of_one_owner_delay_nobody_else(
    ada: Client, bob: Client, receiver: Receiver
) -> None:
    with contextlib.closing(Receiver()) as slow:
        slow.answering.clear()
        actor = ada.actor(NOWHERE)
        for number in range(60):
            described = {"image": NOWHERE, "webhook": f"{slow.url}/{number}"}
            ada.result("PUT", f"/{actor}", json=described)
        eventually(lambda: slow.requests)
        bob.actor(NOWHERE, webhook=receiver.url)
        # each of the slow ones is waited for ten seconds
        eventually(lambda: receiver.requests, seconds=8)
        assert len(slow.requests) <= 10


def test_what_one_webhook_sets_is_not_sent_to_others(
    ada: Client, bob: Client, receiver: Receiver
) -> None:
    with contextlib.closing(Receiver()) as other:
        other.cookie = f"large={'x' * 60_000}"
        ada.actor(NOWHERE, webhook=other.url)
        eventually(lambda: other.requests)
        bob.actor(NOWHERE, webhook=receiver.url)
        eventually(lambda: receiver.requests)
        assert receiver.cookies == [None]


@pytest.mark.long
def test_a_webhook_that_is_not_there_is_posted_to_when_it_is(tmp_path: Path) -> None:
    absent = Receiver()
    absent.close()
    running = RunningGateway(tmp_path).start()
    with running.client() as client:
        actor = client.actor("warm", webhook=absent.url)
        eventually(lambda: "(ConnectError): tried again later" in running.log.read_text())
        client.run(actor, {})
    running.kill()
    back = Receiver(absent.port)
    with contextlib.closing(back), running:
        eventually(lambda: len(back.requests) == 2)
        assert [body["event_type"] for _, _, body in back.requests] == ["ACTOR_READY", EXECUTION]


# To this machine and to private networks


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway as it is unless it is told otherwise."""
    folder = tmp_path_factory.mktemp("careful")
    with RunningGateway(folder, settings={"private_webhooks": False}) as gateway:
        yield gateway


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9", "http://[::1]:9/", "https://10.0.0.1/hook", "http://169.254.169.254/"],
)
def test_only_administrators_may_name_a_private_address(careful: RunningGateway, url: str) -> None:
    with careful.client("eve", [roles.EVERYONE]) as eve:
        mine = eve.actor(NOWHERE)
        for method, path in (("POST", ""), ("PUT", f"/{mine}")):
            message = eve.refusal(method, path, json={"image": NOWHERE, "webhook": url})
            assert message.startswith(
                "Not authorized -- only administrators may register a webhook that leads to a "
                "private network: "
            )
        assert eve.result("GET", f"/{mine}")["webhook"] == ""


def test_a_name_that_leads_to_a_private_address_is_not_posted_to(
    careful: RunningGateway, receiver: Receiver
) -> None:
    # which no check of its letters recognizes, and every resolver
    url = f"http://127.1:{receiver.port}/"
    with careful.client("eve", [roles.EVERYONE]) as eve:
        actor = eve.actor(NOWHERE, webhook=url)
        line = f"of actor {actor} not taken by its webhook (its host is in a private network)"
        eventually(lambda: line in careful.log.read_text())
    assert receiver.requests == []
    with careful.client("root", [roles.ADMIN]) as root:
        actor = root.actor(NOWHERE, webhook=url)
        eventually(lambda: receiver.events("ACTOR_ERROR"))
    assert [body["actor_id"] for _, _, body in receiver.requests] == [actor]


def test_an_actor_that_another_user_describes_is_not_an_administrators_any_more(
    careful: RunningGateway, receiver: Receiver
) -> None:
    with careful.client("root", [roles.ADMIN]) as root, careful.client("eve") as eve:
        actor = root.actor(NOWHERE, webhook=receiver.url)
        eventually(lambda: receiver.requests)
        root.result("POST", f"/{actor}/permissions", json={"user": "eve", "level": "UPDATE"})
        url = f"http://127.1:{receiver.port}/"
        eve.result("PUT", f"/{actor}", json={"image": f"{NOWHERE}2", "webhook": url})
        line = f"of actor {actor} not taken by its webhook (its host is in a private network)"
        eventually(lambda: line in careful.log.read_text())
    assert len(receiver.requests) == 1


def test_a_name_is_posted_to_by_the_address_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """Whatever the name stands for by then; certificate and Host are still those of the name.

    So no proxy of the environment may be between, which would look it up again.
    """
    monkeypatch.setenv("HTTPS_PROXY", receiver.url)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    checked: list[str] = []

    def is_public(address: str) -> bool:
        checked.append(address)
        return True

    made_by: list[threading.Thread] = []
    make_client = webhooks.make_client

    def make(*, proxied: bool) -> httpx.AsyncClient:
        made_by.append(threading.current_thread())
        return make_client(proxied=proxied)

    monkeypatch.setattr(webhooks, "is_public", is_public)
    monkeypatch.setattr(webhooks, "make_client", make)
    with contextlib.closing(Receiver(context=context)) as secure:
        url = f"https://localhost:{secure.port}/hook"
        database = Database(f"sqlite:///{tmp_path}/abaco.db")
        with database.write() as tx:
            actor = actors.create(tx, "SD2E", Registrant("eve"), {"image": "cold", "webhook": url})
            posts.add(tx, actor["id"], url, {"event_type": "ACTOR_READY"})

        async def deliver() -> None:
            delivering = webhooks.Webhooks(database, private=False)
            await delivering.deliver()
            await asyncio.to_thread(eventually, lambda: secure.requests)
            await delivering.close()

        asyncio.run(asyncio.wait_for(deliver(), 60))
        database.close()
        assert secure.hosts == [f"localhost:{secure.port}"]
    assert "127.0.0.1" in checked
    # to read all certificates takes as long as many requests
    assert made_by
    assert threading.main_thread() not in made_by


def test_an_address_that_does_not_answer_leaves_time_for_the_next(receiver: Receiver) -> None:
    post = Post(
        sequence=1,
        actor_id="",
        url=f"http://name.example:{receiver.port}/",
        body={"event_type": EXECUTION},
        attempts=0,
        next_attempt=clock.now(),
    )

    async def send() -> int:
        async with webhooks.make_client(proxied=False) as client:
            return await webhooks.post_to(client, post, ["127.0.0.2", "127.0.0.1"])

    with socket.create_server(("127.0.0.2", receiver.port), backlog=0) as full:
        # who connects after that gets no answer
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        try:
            assert asyncio.run(asyncio.wait_for(send(), 9)) == 200
        finally:
            for each in waiting:
                each.close()
    assert receiver.hosts == [f"name.example:{receiver.port}"]
