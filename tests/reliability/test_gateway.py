"""Messages that wait in the gateway's memory, while people and the machine do what they should not."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from abaco.store import executions
from abaco.store.database import Database
from tests.abaco.oven import PATIENT, Oven
from tests.abaco.running import Client, RunningGateway, eventually
from tests.reliability.soak import many

IMAGES = PATIENT
MANY = 20_000
WAIT_SECONDS = many(10.0, 2.0)
"""Nobody waits for as long because of what others do."""


@contextlib.contextmanager
def locked(gateway: RunningGateway) -> Iterator[sqlite3.Connection]:
    """Let another process write to the database of the platform for long."""
    file = gateway.folder / "data" / "abaco.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("ROLLBACK")


@pytest.mark.long
def test_a_key_that_no_database_takes_harms_nobody_else(ada: Client, tmp_path: Path) -> None:
    actor, record = ada.actor("patient"), tmp_path / "record"
    refused: list[int] = []
    ended = threading.Event()

    def send_what_is_wrong() -> None:
        while not ended.is_set():
            reply = ada.post(
                f"/{actor}/messages",
                content=b'{"order": "\\ud800"}',
                headers={"Content-Type": "application/json"},
            )
            refused.append(reply.status_code)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(send_what_is_wrong)
        try:
            sent = [ada.submit(actor, {"append": [str(record), "x"]}) for _ in range(200)]
        finally:
            ended.set()
    assert {ada.ended(actor, each)["exitCode"] for each in sent} == {0}
    assert len(record.read_text()) == 200
    assert set(refused) <= {200, 400}


@pytest.mark.long
def test_an_update_while_messages_come_in_keeps_nobody_waiting(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor, record = ada.actor("warm"), tmp_path / "record"
    ended, waits = threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            began = time.monotonic()
            httpx.get(f"{gateway.url}/healthz")
            waits.append(time.monotonic() - began)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(look)
        try:
            sent = []
            for _ in range(10):
                sent += [ada.submit(actor, {"append": [str(record), "x"]}) for _ in range(20)]
                ada.result("PUT", f"/{actor}", json={"image": "warm", "force": True})
            for each in sent:
                assert ada.ended(actor, each)["exitCode"] == 0
        finally:
            ended.set()
    assert len(record.read_text()) == len(sent)
    assert max(waits) < WAIT_SECONDS


@pytest.mark.parametrize("image", ["cold", "warm"])
def test_who_waits_gets_the_first_of_several_results(ada: Client, image: str) -> None:
    actor = ada.actor(image)
    orders = {"results": ["first"], "sleep": 1.2, "results again": ["second", "third"]}
    assert ada.ask(actor, orders).content == b"first"
    (execution,) = ada.result("GET", f"/{actor}/executions")["executions"]
    found = [ada.result_of(actor, execution["id"]) for _ in range(3)]
    assert found == [b"second", b"third", b""]


def test_what_runs_while_its_actor_is_deleted_ends_as_it_would(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor, gate = ada.actor("cold"), tmp_path / "gate"

    def status() -> list[str]:
        found = ada.result("GET", f"/{actor}/executions")["executions"]
        return [execution["status"] for execution in found]

    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(ada.ask, actor, {"wait for": str(gate), "results": ["done"]})
        eventually(lambda: status() == ["RUNNING"])
        deleted = threads.submit(ada.delete, f"/{actor}")
        eventually(lambda: ada.result("GET", f"/{actor}")["status"] == "SHUTTING_DOWN")
        # what comes now is for an actor that has no worker any more
        ada.refusal("POST", f"/{actor}/messages", 404, json={})
        ada.run(ada.actor("warm"), {})
        gate.touch()
        assert asked.result().content == b"done"
        assert deleted.result().status_code == 200
    assert "Traceback" not in gateway.log.read_text()


@pytest.mark.long
def test_a_clock_that_is_set_back_does_not_put_off_what_is_tried_again(tmp_path: Path) -> None:
    oven = Oven(tmp_path)
    with RunningGateway(tmp_path, IMAGES) as gateway, gateway.client() as ada:
        actor = ada.actor("patient")
        oven.cold.touch()
        sent = ada.submit(actor, oven.orders("it"))
        eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
        gateway.kill()
        # as if the clock had been a day ahead
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / "abaco.db")) as db, db:
            db.execute(
                "UPDATE executions SET due = strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1 day')"
            )
        oven.cold.unlink()
        gateway.start()
        path = f"/{actor}/executions/{sent}"
        eventually(lambda: ada.result("GET", path)["status"] == "COMPLETE")


def test_a_purge_that_fails_drops_nothing_and_keeps_the_order(
    gateway: RunningGateway, ada: Client, oven: Oven
) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    sent = [ada.submit(actor, oven.orders(str(number))) for number in range(5)]
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
    with locked(gateway):
        assert ada.delete(f"/{actor}/messages").status_code == 503
    sent += [ada.submit(actor, oven.orders(str(number))) for number in range(5, 8)]
    oven.cold.unlink()
    assert [ada.ended(actor, each)["exitCode"] for each in sent] == [0] * 8
    assert oven.done() == [str(number) for number in range(8)]


@pytest.mark.long
def test_many_messages_that_wait_are_counted_and_dropped_without_keeping_others_waiting(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor, other, gate = ada.actor("cold"), ada.actor("warm"), tmp_path / "gate"
    ada.submit(actor, {"wait for": str(gate)})
    gateway.stop()
    message = executions.Message(b"{}", executions.TEXT, {})
    submission = executions.Submission("SD2E", actor, "ada", message, "ada")
    with (
        contextlib.closing(Database(gateway.settings.database)) as database,
        database.write() as tx,
    ):
        executions.Submission.write(tx, [submission] * MANY)
    gateway.start()
    assert ada.result("GET", f"/{actor}/messages")["messages"] >= MANY
    with ThreadPoolExecutor(1) as threads:
        for _ in range(20):
            counted = threads.submit(ada.get, f"{gateway.url}/metrics")
            while not counted.done():
                ada.submit(actor, {})
            assert counted.result().status_code == 200
        purging = threads.submit(ada.delete, f"/{actor}/messages")
        while not purging.done():
            began = time.monotonic()
            ada.submit(other, {})
            assert time.monotonic() - began < WAIT_SECONDS
        assert purging.result().status_code == 200
    gate.touch()
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 0)
