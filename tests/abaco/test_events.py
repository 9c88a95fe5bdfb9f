from __future__ import annotations

import ast
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.abaco.running import NOWHERE, Client, RunningGateway, eventually

JSON = "application/json"
EXECUTION = "EXECUTION_COMPLETE"


class Receiver:
    """A web server that keeps what it is sent.

    Attributes:
        statuses: by path, what the next post is answered; then it is 200.
        answering: cleared, it keeps whoever posts waiting.
    """

    def __init__(self, port: int = 0) -> None:
        self.statuses: dict[str, int] = {}
        self.answering = threading.Event()
        self.answering.set()
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind = self.headers["Content-Type"]
                receiver.requests.append((self.path, kind, json.loads(body)))
                receiver.answering.wait(30)
                status = receiver.statuses.pop(self.path, 200)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    if status // 100 == 3:
                        self.send_header("Location", f"{receiver.url}/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
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


def linked_events(client: Client, linked: str, count: int) -> list[dict[str, Any]]:
    """The messages that a linked actor got from others, of so many executions."""

    def find() -> list[str] | None:
        found = client.result("GET", f"/{linked}/executions")["executions"]
        ids = [each["id"] for each in found if each["status"] == "COMPLETE"]
        return ids if len(ids) == count else None

    told = [json.loads(client.result_of(linked, each)) for each in eventually(find)]
    assert {environment["_abaco_Content_Type"] for environment in told} == {JSON}
    assert {environment["_abaco_username"] for environment in told} == {"Abaco Event"}
    return [ast.literal_eval(environment["MSG"]) for environment in told]


@pytest.mark.parametrize("by_alias", [False, True])
def test_a_linked_actor_gets_a_message_for_each_event(
    gateway: RunningGateway, ada: Client, by_alias: bool
) -> None:
    linked = ada.actor("teller")
    link = linked
    if by_alias:
        link = "the-linked-one"
        ada.result("POST", "/aliases", json={"alias": link, "actorId": linked})
    actor = ada.actor("cold", link=link)
    execution = ada.run(actor, {"exit": 3})
    ready, complete = linked_events(ada, linked, 2)
    common = {
        "actor_id": actor,
        "actor_dbid": f"SD2E_{actor}",
        "tenant_id": "SD2E",
        "_abaco_link": link,
        "_abaco_webhook": "",
    }
    for event in (ready, complete):
        assert isinstance(event.pop("event_time_utc"), float)
        assert event.pop("event_time_display").endswith("Z")
    assert ready == {"event_type": "ACTOR_READY", "status_message": " ", **common}
    assert complete == {
        "event_type": EXECUTION,
        "execution_id": execution["id"],
        "status": "COMPLETE",
        "exit_code": 3,
        **common,
    }
    executors = {
        ada.result("GET", f"/{linked}/executions/{each['id']}")["executor"]
        for each in ada.result("GET", f"/{linked}/executions")["executions"]
    }
    assert executors == {"Abaco Event"}


def test_who_has_lost_the_right_to_an_actor_reaches_it_by_no_link(
    ada: Client, bob: Client, gateway: RunningGateway
) -> None:
    linked = bob.actor()
    bob.result("POST", f"/{linked}/permissions", json={"user": "ada", "level": "EXECUTE"})
    actor = ada.actor(link=linked)

    def told() -> int:
        return len(bob.result("GET", f"/{linked}/executions")["executions"])

    eventually(lambda: told() == 1)
    bob.result("POST", f"/{linked}/permissions", json={"user": "ada", "level": "NONE"})
    ada.run(actor, {})
    eventually(lambda: "ada needs EXECUTE on it" in gateway.log.read_text())
    assert told() == 1


def test_a_linked_actor_is_told_of_an_error(ada: Client) -> None:
    linked = ada.actor("teller")
    actor = ada.actor(NOWHERE, link=linked)
    (event,) = linked_events(ada, linked, 1)
    assert (event["event_type"], event["actor_id"]) == ("ACTOR_ERROR", actor)
    assert event["status_message"].startswith(f"image {NOWHERE} is not known here")


def test_a_linked_actor_is_told_of_all_executions_in_their_order(ada: Client) -> None:
    linked = ada.actor("teller")
    actor = ada.actor("warm", link=linked)
    ids = [ada.submit(actor, {"exit": code}) for code in range(5)]
    events = linked_events(ada, linked, 6)[1:]
    assert [event["execution_id"] for event in events] == ids
    assert [event["exit_code"] for event in events] == list(range(5))


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
