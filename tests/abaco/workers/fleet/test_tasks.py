"""What a process of a node does when the bell is rung."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy

from abaco.store import actors, executions, tables
from abaco.store.database import Database
from abaco.workers.fleet import CONFIGURATION, NODE, PLATFORM, bell
from tests import services
from tests.abaco.fleet import RunningFleet
from tests.abaco.running import PROBE, eventually, opened
from tests.abaco.store.test_leases import an_actor, submit
from tests.conftest import NO_SERVICES, SERVICES

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)


def test_a_process_keeps_its_ring_while_the_database_is_away_and_names_its_node(
    postgres: services.Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = postgres.database()
    settings = {"engine": "celery", "database": url, "data": "data"}
    settings |= {"broker": "amqp://127.0.0.1:9//", "public_url": "http://127.0.0.1:9"}
    (tmp_path / "abaco.yml").write_text(json.dumps(settings))
    gone = {**PROBE["cold"], "folder": str(tmp_path / "gone")}
    (tmp_path / "images.yml").write_text(json.dumps(opened({**PROBE, "gone": gone})))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(CONFIGURATION, str(tmp_path / "abaco.yml"))
    monkeypatch.setenv(NODE, "node")
    monkeypatch.setenv(PLATFORM, "platform")
    tasks = importlib.import_module("abaco.workers.fleet.tasks")
    with contextlib.closing(Database(url)) as database:
        actor = an_actor(database, image="cold", status=actors.READY)
        sent = [submit(database, actor) for _ in range(2)]

        def statuses() -> list[str]:
            query = sqlalchemy.select(tables.executions.c.status)
            with database.read() as tx:
                return list(tx.scalars(query.order_by(tables.executions.c.sequence)))

        def kept() -> list[str]:
            lines = [each.getMessage() for each in caplog.records]
            return [line for line in lines if line.startswith("a ring is kept until")]

        with ThreadPoolExecutor(1) as process, caplog.at_level(logging.WARNING):
            # its first ring finds no database to open, its second one a connection that broke
            for number, execution in enumerate(sent, 1):
                postgres.stop(signal.SIGINT)
                try:
                    running = process.submit(tasks.run, execution)
                    eventually(kept)
                    assert not running.done()
                finally:
                    postgres.start()
                running.result()
                expected = [executions.COMPLETE] * number
                assert statuses()[:number] == expected
                assert len(kept()) == 1
                caplog.clear()
            # what others may have
            lacking = {
                "elsewhere": f"image elsewhere is not known here: add it to {tmp_path}",
                "gone": f"its folder {tmp_path / 'gone'} does not exist",
            }
            others = {an_actor(database, image=image): lacking[image] for image in lacking}
            for other in others:
                process.submit(tasks.prepare, other).result()
            process.submit(tasks._end).result()
        for other, reason in others.items():
            with database.read() as tx:
                found = actors.get(tx, other)
            assert found is not None
            assert found["status"] == actors.ERROR
            assert found["status_message"].startswith(f"on node {socket.gethostname()}: {reason}")


@pytest.mark.long
def test_a_node_with_a_ring_ends_though_the_database_does_not_come_back(
    postgres: services.Postgres, rabbitmq: services.RabbitMQ, tmp_path: Path
) -> None:
    with RunningFleet(tmp_path / "fleet", postgres, rabbitmq) as fleet:
        node = fleet.node()
        with contextlib.closing(Database(fleet.database)) as database:
            actor = an_actor(database, image="warm")

            def is_ready() -> bool:
                with database.read() as tx:
                    found = actors.get(tx, actor)
                return found is not None and found["status"] == actors.READY

            eventually(is_ready)
            execution = submit(database, actor)
        name = bell.name_of(actor, stateless=True)
        postgres.stop(signal.SIGINT)
        try:
            with contextlib.closing(bell.Bell(rabbitmq.url)) as ringing:
                ringing.ring(bell.Ring(bell.RUN, execution, actor, True))
            eventually(lambda: "a ring is kept until" in node.log.read_text())
            assert node.stop() == 0
        finally:
            postgres.start()
        assert "Traceback" not in node.log.read_text()
        # it is in its queue again
        eventually(lambda: bell.lengths_of(rabbitmq.url, [name])[1].get(name))
