from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import sqlalchemy
import yaml

from abaco.command_line import main
from abaco.store.database import Database
from abaco.workers.container_labels import FENCE_LABEL, GATEWAY_LABEL
from abaco.workers.fleet import bell
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from tests import services
from tests.abaco.fleet import RunningFleet
from tests.abaco.running import (
    SECONDS,
    Client,
    RunningGateway,
    eventually,
    is_in_status,
)
from tests.conftest import ENGINES, NO_SERVICES, ROOT, SERVICES
from tests.containers.engines import IMAGE as CONTAINER_IMAGE
from tests.containers.engines import running as containers
from tests.loopback import Loopback, Reply, Request
from tests.reliability.checker import Outcome, Record, problems
from tests.reliability.running import (
    IMAGE,
    Sender,
    manager_image,
    read_back,
    running_jobs,
    settled,
    under_load,
)

pytestmark = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)
ROUNDS = 20
"""Of what takes many seconds of processor time: test_leases.py looks at the same rules in the store."""

# The engine local


def test_a_second_gateway_does_not_start_on_the_same_database(
    postgres: services.Postgres, tmp_path: Path
) -> None:
    settings = {"database": postgres.database()}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with RunningGateway(tmp_path / "one", settings=settings) as first:
        second = RunningGateway(tmp_path / "two", settings=settings)
        said = second.complaint("serve", "--port=0")
        assert "another gateway is using the platform's database" in said
        with first.client() as ada:
            actor = ada.actor()
            assert ada.run(actor, {"print": "tacos"})["status"] == "COMPLETE"
            assert postgres.break_connections() > 0
            eventually(lambda: ada.post(f"/{actor}/messages", json={}).status_code == 200)
            assert ada.run(actor, {"print": "tacos"})["status"] == "COMPLETE"


# From one machine to several


@pytest.mark.long
def test_a_gateway_moves_to_a_fleet_without_losing_a_message_or_a_nonce(
    postgres: services.Postgres,
    rabbitmq: services.RabbitMQ,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "one").mkdir()
    one = RunningGateway(tmp_path / "one").start()
    orders = {"print": "tacos", "wait for": str(tmp_path / "go")}
    with one.client("ada") as ada, Client(one.url) as bob:
        actor = ada.actor("warm", stateless=False)
        nonce = ada.result("POST", f"/{actor}/nonces", json={"maxUses": 3, "level": "EXECUTE"})[
            "id"
        ]
        sent = [ada.submit(actor, orders) for _ in range(3)]
        assert bob.submit(actor, orders, params={"x-nonce": nonce})
        eventually(lambda: ada.logs(actor, sent[0]) == "tacos\n")
        token = ada.headers["authorization"]
    with RunningFleet(tmp_path / "fleet", postgres, rabbitmq) as fleet:
        (tmp_path / "fleet").mkdir()
        settings = {"engine": "celery", "database": fleet.database, "broker": rabbitmq.url}
        settings["public_url"] = one.url
        (tmp_path / "fleet.yml").write_text(json.dumps(settings))

        def move() -> tuple[int, list[str], str]:
            mask = os.umask(0o077)
            configuration = str(tmp_path / "fleet.yml")
            code = main(["--config", configuration, "copy", str(one.configuration)])
            os.umask(mask)
            out, err = capsys.readouterr()
            return code, out.splitlines(), err

        code, copied, err = move()
        assert (code, copied) == (1, [])
        assert "another gateway is running with the data folder" in err
        # one message runs, the others wait
        one.kill()
        code, copied, err = move()
        assert (code, err) == (0, "")
        assert {"actors: 1", "executions: 4", "messages: 4", "nonces: 1"} <= set(copied)
        code, copied, err = move()
        assert (code, copied) == (1, [])
        assert "the database to copy into is not empty: it has actors," in err
        (tmp_path / "go").touch()
        gateway = fleet.gateway()
        fleet.node()
        with Client(gateway.url) as bob:
            left = [bob.submit(actor, {"print": "salsa"}, params={"x-nonce": nonce}) for _ in "ab"]
            refused = bob.post(f"/{actor}/messages", json={}, params={"x-nonce": nonce})
            assert refused.status_code in (400, 401, 403)
            bob.headers["authorization"] = token
            assert [bob.ended(actor, each)["exitCode"] for each in sent + left] == [0] * 5
            assert [bob.logs(actor, each) for each in sent] == ["tacos\n"] * 3
            listed = bob.result("GET", f"/{actor}/executions")["executions"]
            assert [each["status"] for each in listed] == ["COMPLETE"] * 6


# Requests at one gateway, workers elsewhere


@pytest.fixture(scope="module")
def actor(ada: Client) -> str:
    return ada.actor("warm")


@pytest.fixture(scope="module")
def ordered(ada: Client) -> str:
    return ada.actor("ordered")


def test_what_one_gateway_accepts_any_gateway_shows(ada: Client, there: Client, actor: str) -> None:
    execution = ada.submit(actor, {"print": "tacos", "results": ["salsa"]})
    assert there.ended(actor, execution)["exitCode"] == 0
    assert there.logs(actor, execution) == "tacos\n"
    assert there.result_of(actor, execution) == b"salsa"
    assert ada.result_of(actor, execution) == b""


def test_a_log_with_a_nul_which_postgresql_does_not_take_is_written(
    ada: Client, actor: str
) -> None:
    execution = ada.submit(actor, {"print": "salt\0pepper"})
    assert ada.ended(actor, execution)["exitCode"] == 0
    assert ada.logs(actor, execution) == "salt\N{REPLACEMENT CHARACTER}pepper\n"


def test_who_waits_is_answered_at_whatever_gateway(ada: Client, there: Client, actor: str) -> None:
    with ThreadPoolExecutor() as threads:
        asked = [
            threads.submit(client.ask, actor, {"results": [str(number)]})
            for number, client in enumerate([ada, there] * 4)
        ]
        assert [each.result().text for each in asked] == [str(number) for number in range(8)]


def test_the_log_of_what_runs_is_seen_and_it_is_stopped_at_the_other_gateway(
    ada: Client, there: Client, actor: str
) -> None:
    execution = ada.submit(actor, {"print": "tacos", "sleep": 60})
    eventually(lambda: there.logs(actor, execution) == "tacos\n")
    path = f"/{actor}/executions/{execution}"
    eventually(lambda: there.result("GET", path)["status"] == "RUNNING")
    there.result("DELETE", path)
    ended = ada.ended(actor, execution)
    assert (ended["status"], ended["exitCode"]) == ("COMPLETE", 143)
    assert "stopped on request" in there.logs(actor, execution)


def test_who_waits_for_a_message_that_is_dropped_at_the_other_gateway_is_told_so(
    ada: Client, there: Client, tmp_path: Path
) -> None:
    actor, go = ada.actor("cold", stateless=False), tmp_path / "go"
    execution = ada.submit(actor, {"wait for": str(go)})
    path = f"/{actor}/messages"
    eventually(lambda: ada.result("GET", path)["messages"] == 0)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ada.ask, actor, {"print": "never"})
        eventually(lambda: there.result("GET", path)["messages"] == 1)
        there.result("DELETE", path)
        assert answer.result().status_code == 410
    go.touch()
    assert ada.ended(actor, execution)["status"] == "COMPLETE"


def test_messages_of_an_actor_with_a_state_run_one_at_a_time_in_order(
    ada: Client, there: Client, tmp_path: Path
) -> None:
    actor, notes = ada.actor("cold", stateless=False), str(tmp_path / "notes")
    for number in range(10):
        client = ada if number % 2 else there
        orders = {"append": [notes, f"+{number} "], "sleep": 0.01}
        last = client.submit(actor, {**orders, "append again": [notes, f"-{number} "]})
    ada.ended(actor, last)
    expected = [f"{sign}{number}" for number in range(10) for sign in "+-"]
    assert Path(notes).read_text().split() == expected


def test_messages_with_one_key_run_in_order_and_those_with_others_at_the_same_time(
    ada: Client, there: Client, ordered: str, tmp_path: Path
) -> None:
    actor, notes = ordered, [tmp_path / key for key in "ab"]
    go = tmp_path / "go"
    first = [ada.submit(actor, {"about": "c", "wait for": str(go)})]
    sent = [
        client.submit(actor, {"about": note.name, "append": [str(note), f"{number} "]})
        for number, client in enumerate([ada, there] * 3)
        for note in notes
    ]
    for execution in sent:
        ada.ended(actor, execution)
    go.touch()
    ada.ended(actor, first[0])
    assert [note.read_text().split() for note in notes] == [[str(each) for each in range(6)]] * 2


def test_what_is_away_is_waited_for_and_who_waits_is_told(
    ada: Client, there: Client, ordered: str, tmp_path: Path
) -> None:
    actor, cold = ordered, tmp_path / "cold"
    cold.touch()
    reply = there.ask(actor, {"away while": str(cold)})
    assert (reply.status_code, "the oven is cold" in reply.text) == (503, True)
    execution = ada.submit(actor, {"away while": str(cold)})
    eventually(lambda: there.result("GET", f"/{actor}/messages")["postponed"])
    cold.unlink()
    assert there.ended(actor, execution)["exitCode"] == 0


def test_a_change_at_one_gateway_counts_at_the_other(
    fleet: RunningFleet, ada: Client, actor: str
) -> None:
    with fleet.gateways[1].client("bob") as bob:
        path = f"/{actor}/permissions"
        for level, status in (("READ", 200), ("NONE", 400)) * 3:
            ada.result("POST", path, json={"user": "bob", "level": level})
            eventually(functools.partial(_answers, bob, actor, status))


def test_an_actor_that_is_admitted_again_is_ready_with_the_workers_it_had(
    fleet: RunningFleet, ada: Client, there: Client, tmp_path: Path
) -> None:
    actor = ada.actor("warm")
    began, go = tmp_path / "began", tmp_path / "go"
    each = {"append": [str(began), "."], "wait for": str(go)}
    running = [ada.submit(actor, each) for _ in fleet.nodes]
    eventually(lambda: began.exists() and began.read_text() == "." * len(fleet.nodes))
    go.touch()
    for execution in running:
        ada.ended(actor, execution)
    files = [gateway.folder / "images.yml" for gateway in fleet.gateways]
    before = [file.read_text() for file in files]
    for file in files:
        images = yaml.safe_load(file.read_text())
        images["warm"]["register"] = {"users": ["bob"]}
        file.write_text(yaml.safe_dump(images))
    try:
        eventually(is_in_status(there, actor, "ERROR"))
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)
    assert ada.result("PUT", f"/{actor}", json={"image": "warm"})["status"] == "SUBMITTED"
    eventually(is_in_status(there, actor, "READY"))


def _answers(client: Client, actor: str, status: int) -> bool:
    return client.get(f"/{actor}").status_code == status


def test_the_token_of_an_execution_is_good_at_every_gateway(
    fleet: RunningFleet, ada: Client
) -> None:
    with fleet.gateways[0].admin() as admin:
        teller = admin.actor("teller", token=True)
        execution = admin.submit(teller, {})
        admin.ended(teller, execution)
        token = str(json.loads(admin.result_of(teller, execution))["_abaco_access_token"])
    assert len(token) == 48
    # with the execution it has ended
    for gateway in fleet.gateways:
        with Client(gateway.url, token) as client:
            assert client.get("").status_code == 401


def test_an_actor_that_is_deleted_runs_no_more(ada: Client, there: Client, tmp_path: Path) -> None:
    actor, begun = ada.actor("warm"), tmp_path / "begun"
    running = ada.submit(actor, {"touch": str(begun), "sleep": 0.5})
    eventually(begun.exists)
    there.result("DELETE", f"/{actor}")
    assert ada.get(f"/{actor}/executions/{running}").status_code == 404


def test_a_node_keeps_its_connection_to_the_broker_when_an_actor_is_deleted(
    fleet: RunningFleet, rabbitmq: services.RabbitMQ, ada: Client
) -> None:
    actor = ada.actor("warm")
    ada.run(actor, {"print": "here"})
    name = bell.name_of(actor, stateless=True)

    def is_there() -> bool:
        return name in bell.lengths_of(rabbitmq.url, [name])[1]

    def lost() -> list[int]:
        return [node.log.read_text().count("Connection to broker lost") for node in fleet.nodes]

    before = lost()
    ada.result("DELETE", f"/{actor}")
    assert is_there()
    eventually(lambda: not is_there())
    # whoever is disconnected says so before it hears anything
    other = ada.actor("warm")
    ada.run(other, {"print": "there"})
    assert lost() == before


def test_cron_messages_and_webhooks_come_once_though_there_are_several_gateways(
    ada: Client, there: Client
) -> None:
    class Webhook(Loopback):
        def answer(self, request: Request) -> Reply:
            heard.append(request.content)
            return Reply(200)

    heard: list[bytes] = []
    with Webhook() as webhook:
        actor = ada.actor("cold", webhook=webhook.url, cronOn=True, cronSchedule="now + 1 hour")
        for client in (ada, there, ada):
            client.run(actor, {})
        eventually(lambda: len(heard) >= 5)
    kinds = sorted(json.loads(each)["event_type"] for each in heard)
    assert kinds == ["ACTOR_READY", *["EXECUTION_COMPLETE"] * 4]
    assert len(ada.result("GET", f"/{actor}/executions")["executions"]) == 4


def test_doctor_sees_broker_nodes_queues_and_leases(fleet: RunningFleet, actor: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelinejobs", "doctor", "--output=json"],
        cwd=fleet.gateways[0].folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = {row["subject"]: row for row in json.loads(done.stdout)}
    assert rows["broker"]["found"].startswith("RabbitMQ 3.")
    assert "(default: 1); " in rows["nodes"]["found"]
    assert [rows[subject]["status"] for subject in ("nodes", "queues", "leases")] == ["ok"] * 3


# What is lost on the way


def test_a_process_that_is_killed_loses_no_message(
    fleet: RunningFleet, ada: Client, tmp_path: Path
) -> None:
    actor, notes, go = ada.actor("cold"), tmp_path / "notes", tmp_path / "go"
    execution = ada.submit(actor, {"note": str(notes), "wait for": str(go), "results": ["tacos"]})
    pid = int(eventually(lambda: notes.exists() and notes.read_text()))
    # the process of Celery that waits for it
    worker = psutil.Process(pid).parent()
    assert worker is not None
    worker.kill()
    eventually(lambda: len(notes.read_text().split()) == 2)
    go.touch()
    assert ada.ended(actor, execution)["exitCode"] == 0
    assert ada.result_of(actor, execution) == b"tacos"
    assert ada.result_of(actor, execution) == b""
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.long
@pytest.mark.skipif(not ENGINES, reason="no engine can be started here")
def test_a_container_runs_on_a_node_until_it_is_stopped_or_its_lease_is_lost(
    fleet: RunningFleet, ada: Client
) -> None:
    with containers(ENGINES[0]) as engine:
        (fleet.folder / "engine").symlink_to(engine.socket.parent)
        actor = ada.actor(CONTAINER_IMAGE)
        code = "import time; print('tacos', flush=True); time.sleep(60)"
        execution = ada.submit(actor, {"run": code})
        eventually(lambda: ada.logs(actor, execution) == "tacos\n")
        (running,) = engine.api.containers()
        labels = running["Labels"]
        earlier = {**labels, FENCE_LABEL: str(int(labels[FENCE_LABEL]) - 1)}
        stranger = {**earlier, GATEWAY_LABEL: "another platform"}
        left, other = (
            engine.api.create_container(CONTAINER_IMAGE, labels=each)["Id"]
            for each in (earlier, stranger)
        )
        # a node removes what an earlier holder of the execution left, and nothing else
        eventually(lambda: left not in engine.containers())
        assert sorted(engine.containers()) == sorted([running["Id"], other])
        engine.api.remove_container(other)
        ada.result("DELETE", f"/{actor}/executions/{execution}")
        assert ada.ended(actor, execution)["exitCode"] in (137, 143)
        assert ada.run(actor, {"run": "answer('salsa')"})["exitCode"] == 0
        eventually(lambda: engine.containers() == [])


@pytest.mark.long
def test_a_node_that_is_cut_off_ends_nothing_and_one_that_is_gone_loses_nothing(
    fleet: RunningFleet, root: Client, tmp_path: Path
) -> None:
    lost = [fleet.node(queues="special"), fleet.node(queues="special")]
    actor, go = root.actor("cold", queue="special"), tmp_path / "go"
    notes = [tmp_path / name for name in "ab"]
    sent = [
        root.submit(actor, {"note": str(note), "wait for": str(go), "tell": ["pid"]})
        for note in notes
    ]
    for note in notes:
        eventually(note.exists)
    lost[0].pause()
    lost[1].kill()
    other = fleet.node(2, "special")
    for note in notes:
        eventually(functools.partial(_was_run_twice, note))
    go.touch()
    ended = [root.ended(actor, execution) for execution in sent]
    lost[0].go_on()
    eventually(lambda: "the lease is lost" in lost[0].log.read_text())
    assert (lost[0].stop(), other.stop()) == (0, 0)
    for execution, note, before in zip(sent, notes, ended, strict=True):
        assert before["exitCode"] == 0
        assert root.result("GET", f"/{actor}/executions/{execution}") == before
        second = json.loads(root.result_of(actor, execution))["pid"]
        assert str(second) == note.read_text().split()[1]
        assert root.result_of(actor, execution) == b""


def _was_run_twice(note: Path) -> bool:
    return len(note.read_text().split()) == 2


@pytest.mark.parametrize("way", ["silent", pytest.param("away", marks=pytest.mark.long)])
def test_messages_are_accepted_while_the_broker_is_away_and_run_when_it_is_back(
    ada: Client, actor: str, rabbitmq: services.RabbitMQ, way: str
) -> None:
    with getattr(rabbitmq, way)():
        sent = [ada.submit(actor, {"results": [str(number)]}) for number in range(5)]
    # the actor's queue may have been new
    eventually(functools.partial(_has_ended, ada, actor, sent[-1]), 2 * SECONDS)
    for number, execution in enumerate(sent):
        assert ada.ended(actor, execution)["exitCode"] == 0
        assert ada.result_of(actor, execution) == str(number).encode()


@pytest.mark.long
def test_an_actor_whose_queue_was_new_when_the_broker_was_killed_is_run(
    ada: Client, rabbitmq: services.RabbitMQ
) -> None:
    # RabbitMQ leaves a queue that it had just made without a leader
    actors = [ada.actor("warm") for _ in range(3)]
    with rabbitmq.away():
        sent = [ada.submit(actor, {}) for actor in actors]
    for actor, execution in zip(actors, sent, strict=True):
        find = functools.partial(_has_ended, ada, actor, execution)
        eventually(find, 2 * SECONDS)


def test_connections_to_the_database_may_break_at_any_time(
    ada: Client, there: Client, postgres: services.Postgres, actor: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    sent = [ada.submit(actor, {"sleep": 0.1, "append": [str(notes), "."]}) for _ in range(20)]
    for _ in range(3):
        eventually(postgres.break_connections)
        time.sleep(0.3)
    with ThreadPoolExecutor() as threads:
        waited = threads.submit(
            eventually, lambda: there.ask(actor, {"results": ["tacos"]}).text == "tacos"
        )
        for execution in sent:
            eventually(functools.partial(_has_ended, ada, actor, execution))
        waited.result()
    assert notes.read_text() == "." * 20


def _has_ended(client: Client, actor: str, execution: str) -> bool:
    reply = client.get(f"/{actor}/executions/{execution}")
    return reply.status_code == 200 and reply.json()["result"]["status"] == "COMPLETE"


@pytest.mark.long
def test_a_node_that_is_told_to_end_runs_what_it_has_and_no_more(
    fleet: RunningFleet, root: Client, tmp_path: Path
) -> None:
    last = fleet.node(queues="special")
    actor, begun, go = root.actor("cold", queue="special"), tmp_path / "begun", tmp_path / "go"
    execution = root.submit(actor, {"touch": str(begun), "wait for": str(go)})
    eventually(begun.exists)
    with ThreadPoolExecutor() as threads:
        ending = threads.submit(last.stop)
        eventually(lambda: "abaco_node_draining 1.0" in httpx.get(last.metrics).text)
        waiting = root.submit(actor, {"results": ["tacos"]})
        go.touch()
        assert ending.result() == 0
    assert root.ended(actor, execution)["exitCode"] == 0
    assert root.result("GET", f"/{actor}/executions/{waiting}")["status"] == "SUBMITTED"
    assert root.result("GET", f"/{actor}/workers") == []


@pytest.mark.long
def test_under_load_no_fault_loses_an_event_or_doubles_one(
    fleet: RunningFleet,
    postgres: services.Postgres,
    rabbitmq: services.RabbitMQ,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    fleet.know(IMAGE, manager_image(mongodb))
    record, made = Record(), running_jobs(jobs, pipeline, 4)
    with fleet.gateways[0].admin() as one, fleet.gateways[1].admin() as other:
        actor = one.actor(IMAGE)
        senders = [Sender(client, actor, record) for client in (one, other)]

        def send(number: int) -> None:
            senders[number % 2].send(made[number % len(made)], wait=number % 3 == 0, seconds=5)
            time.sleep(0.05)

        with under_load(send, threads=4):
            for _ in range(ROUNDS):
                _acknowledge_more(record)
                for pid in fleet.nodes[0].pids:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process = psutil.Process(pid)
                        if "ForkPoolWorker" in " ".join(process.cmdline()):
                            process.kill()
                            break
                _acknowledge_more(record)
                assert postgres.break_connections() > 0
                _acknowledge_more(record)
                with rabbitmq.away():
                    _acknowledge_more(record)
                _acknowledge_more(record)
        settled(one, actor)
    assert problems(record, read_back(db, made)) == []
    assert record.count(Outcome.ACKNOWLEDGED) >= 50 * ROUNDS


def _acknowledge_more(record: Record) -> None:
    """Wait until some more events are accepted, as they are whatever is away but the database."""
    before = record.count(Outcome.ACKNOWLEDGED)
    eventually(lambda: record.count(Outcome.ACKNOWLEDGED) >= before + 10)


# the last one: whoever asks next is told once more that the database does not answer
def test_each_gateway_and_node_is_of_the_fleet_also_after_its_connections_were_lost(
    fleet: RunningFleet, postgres: services.Postgres
) -> None:
    shared = sqlalchemy.text(
        "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        "WHERE locktype = 'advisory' AND mode = 'ShareLock' AND datname = current_database()"
    )
    count = len(fleet.gateways) + len(fleet.nodes)

    def members(besides: Collection[int] = ()) -> set[int]:
        """Return the connections that have it, if there are all; a sweep has it for a moment."""
        with contextlib.closing(Database(fleet.database)) as database, database.read() as tx:
            found = set(tx.scalars(shared))
        return found if len(found) == count and found.isdisjoint(besides) else set()

    before = eventually(members)
    postgres.break_connections()
    eventually(lambda: members(besides=before))
