"""A fleet on machines of its own, under load: three gateways behind a balancer, four nodes, and what all of them need."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psycopg

from abaco.workers.fleet import bell
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db
from local.database import Server
from tests.abaco.fleet import RunningFleet, RunningNode
from tests.abaco.running import ADMIN, EVERYONE, PROBE, SECONDS, Client, eventually
from tests.balancer import Balancer
from tests.conftest import ROOT, TACOBOT, TIMEOUT
from tests.manager.receiving import Receiver
from tests.network import Machine, Network
from tests.reliability.checker import (
    Outcome,
    Record,
    announcement_problems,
    exclusion_problems,
    leaks,
    problems,
)
from tests.reliability.running import (
    IMAGE,
    Sender,
    manager_image,
    read_back,
    running_jobs,
    settled,
    under_load,
)
from tests.services import Postgres, RabbitMQ

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_GATEWAYS, _NODES, _CONCURRENCY = 3, 4, 2
_JOBS, _RACES = 8, 6
_THREADS, _FILLERS = 6, 8
_MAX_SECONDS = 60.0
"""Until something is back: one that takes longer is not."""
_RACE_EVERY = 20
_RIVALS = ("finish", "fail")


def after(began: float, condition: Callable[[], Any], seconds: float = _MAX_SECONDS) -> float:
    """Return how many seconds after a moment a condition holds."""
    eventually(condition, seconds)
    return time.monotonic() - began


class Drill:
    """All of it, from `with` to the end of the block.

    Args:
        folder: of the files of gateways and nodes.
        server: of the job database.
        db: of the jobs, a new one.

    Attributes:
        nodes: that are there, by their machines.
        actor: the manager.
        probe: an actor that does what its message says.
    """

    def __init__(self, folder: Path, server: Server, db: Db) -> None:
        self._folder, self._server, self.db = folder, server, db
        self.nodes: dict[Machine, RunningNode] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Drill:  # noqa: PYI034 - Self is newer than Python 3.10
        """Start it.

        Raises:
            NetworkError: there can be no machines here.
        """
        with contextlib.ExitStack() as stack:
            network = stack.enter_context(Network())
            host = network.address
            self.postgres = stack.enter_context(contextlib.closing(Postgres(host)))
            self.rabbitmq = stack.enter_context(contextlib.closing(RabbitMQ(host)))
            self.receiver = stack.enter_context(Receiver())
            gateways = [network.machine() for _ in range(_GATEWAYS)]
            nodes = [network.machine() for _ in range(_NODES)]
            self._start(stack, host, gateways, nodes)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End it."""
        self._stack.close()

    def _start(
        self, stack: contextlib.ExitStack, host: str, gateways: list[Machine], nodes: list[Machine]
    ) -> None:
        mongodb = {"authn": self._server.uri, "database": self.db.name, "timeout": TIMEOUT}
        self.jobs = PipelineJobStore(mongodb)
        self.pipeline = PipelineStore(mongodb).add_update_document(TACOBOT)
        uri = urlsplit(self._server.uri)
        assert uri.hostname is not None
        assert uri.port is not None
        # the server of the jobs listens on the loopback address alone
        database = stack.enter_context(Balancer(host, [(uri.hostname, uri.port)]))
        user = uri.netloc.rpartition("@")[0]
        beside = uri._replace(netloc=f"{user}@{host}:{database.port}").geturl()
        image = manager_image({**mongodb, "authn": beside})
        image["environment"] |= self._dispatched
        self.balancer = stack.enter_context(Balancer(host))
        settings = {
            "public_url": f"http://{host}:{self.balancer.port}",
            "limits": {"execution_seconds": 60},
        }
        images = {**PROBE, IMAGE: image}
        self.fleet = stack.enter_context(
            RunningFleet(self._folder, self.postgres, self.rabbitmq, images, settings)
        )
        first = self.fleet.gateway(gateways[0])
        with ThreadPoolExecutor() as threads:
            list(threads.map(self.fleet.gateway, gateways[1:]))
            list(threads.map(self.node, nodes))
        self.balancer.servers = [(each.settings.host, each.port) for each in self.fleet.gateways]
        self.token = first.token("root", (EVERYONE, ADMIN))
        self.client = stack.enter_context(self.sender())
        self.actor = self.client.actor(IMAGE)
        self.probe = self.client.actor("cold")
        stack.enter_context(self._dispatcher())

    @property
    def _dispatched(self) -> dict[str, str]:
        """What the manager and the dispatcher are told of subscribers."""
        subscription = {"name": "receiver", "url": self.receiver.url, "allow_private": True}
        return {
            "_REACTOR_SUBSCRIPTIONS": json.dumps([subscription]),
            "_REACTOR_DELIVERIES_DISPATCHER": "true",
        }

    @contextlib.contextmanager
    def _dispatcher(self) -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelinejobs", "dispatch"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "_REACTOR_MONGODB_AUTHN": self._server.uri,
                "_REACTOR_MONGODB_DATABASE": self.db.name,
                **self._dispatched,
            },
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)

    def node(self, machine: Machine, queues: str = "default") -> RunningNode:
        """Start a node on a machine, in the place of one that has ended."""
        self.nodes[machine] = node = self.fleet.node(_CONCURRENCY, queues, machine)
        return node

    def serve(self, queues: str) -> None:
        """Let all nodes end what they run, and start others for some queues."""
        machines = [*self.nodes]
        with ThreadPoolExecutor() as threads:
            assert {*threads.map(lambda machine: self.nodes[machine].stop(), machines)} == {0}
            list(threads.map(lambda machine: self.node(machine, queues), machines))

    def sender(self, **options: Any) -> Client:
        """Return a client of the balancer, an administrator."""
        return Client(f"http://{self.balancer.host}:{self.balancer.port}", self.token, **options)

    @contextlib.contextmanager
    def load(self, pause_seconds: float = 0.05) -> Iterator[Load]:
        """Send events meanwhile; in the end, find that none was lost or doubled.

        Args:
            pause_seconds: of each thread that sends, after each event.
        """
        with contextlib.ExitStack() as stack:
            # each request has a connection of its own, for the balancer to choose a gateway
            limits = httpx.Limits(max_keepalive_connections=0)
            client = stack.enter_context(self.sender(limits=limits))
            load = Load(self, client, pause_seconds)
            with under_load(load.send, _THREADS):
                load.accept_more()
                yield load
                load.accept_more()
            settled(self.client, self.actor)
            eventually(lambda: self.jobs.untold.count() == 0)
        assert load.problems() == []

    def fill(self, actor: str, messages: Sequence[Any]) -> None:
        """Send messages to an actor, many at a time."""

        def send(first: int) -> None:
            with self.sender() as client:
                for message in messages[first::_FILLERS]:
                    client.submit(actor, message)

        with ThreadPoolExecutor(_FILLERS) as threads:
            list(threads.map(send, range(_FILLERS)))

    def ended(self, actor: str) -> tuple[int, int]:
        """Return how many messages of an actor were run, and how many dropped."""
        query = "SELECT count(*) FROM executions WHERE actor_id = %s AND status = %s"
        return self._ask(query, actor, "COMPLETE"), self._ask(query, actor, "ERROR")

    def rings(self, actor: str) -> int:
        """Return how many rings for an actor wait in RabbitMQ."""
        name = bell.name_of(actor, stateless=True)
        _, lengths = bell.lengths_of(self.rabbitmq.url, [name])
        return lengths.get(name, 0)

    def waiting_before(self) -> Callable[[], int]:
        """Return what counts, of the messages that are there now, those that have not ended yet."""
        query = "SELECT count(*) FROM executions WHERE sequence <= %s AND status IN (%s, %s)"
        return functools.partial(self._ask, query, self._newest(), "SUBMITTED", "RUNNING")

    def taken_by(self, node: RunningNode) -> Callable[[], int]:
        """Return what counts, of the messages that come from now on, those that a node has taken."""
        query = "SELECT count(*) FROM executions WHERE sequence > %s AND starts_with(holder, %s)"
        return functools.partial(self._ask, query, self._newest(), f"{node.id}:")

    def taken_by_each(self) -> Callable[[], bool]:
        """Return what tells whether each node has taken a message of those that come from now on."""
        counts = [self.taken_by(node) for node in self.nodes.values()]
        return lambda: all(count() for count in counts)

    def _newest(self) -> int:
        return self._ask("SELECT coalesce(max(sequence), 0) FROM executions")

    def _ask(self, query: LiteralString, *values: object) -> int:
        """Return the number that the platform's database answers."""
        with psycopg.connect(self.fleet.database.replace("+psycopg", "")) as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None
        return int(row[0])


class Load:
    """Events of some jobs, and races of two that exclude each other.

    Args:
        drill: whose fleet they are sent to.
        client: of its balancer.
        pause_seconds: after each event.

    Attributes:
        record: of what became of them.
    """

    def __init__(self, drill: Drill, client: Client, pause_seconds: float) -> None:
        self._drill, self._pause_seconds = drill, pause_seconds
        self.record = Record()
        self._sender = Sender(client, drill.actor, self.record)
        made = running_jobs(drill.jobs, drill.pipeline, _JOBS + _RACES)
        self._jobs, self._races = made[:_JOBS], made[_JOBS:]
        self._rivals = {
            f"{name} in race {number}": name for number in range(_RACES) for name in _RIVALS
        }

    def send(self, number: int) -> None:
        """Send the event with a number."""
        race, rival = divmod(number, _RACE_EVERY)
        if race < _RACES and rival < len(_RIVALS):
            self._compete(race, _RIVALS[rival])
        else:
            self._sender.send(self._jobs[number % _JOBS], wait=number % 3 == 0, seconds=5)
        time.sleep(self._pause_seconds)

    def _compete(self, race: int, name: str) -> None:
        """Send an event of a race until it is known what became of it."""
        event = f"{name} in race {race}"

        def send() -> bool:
            call, _ = self._sender.send(
                self._races[race], name, event=event, seconds=5, event_id=event
            )
            return call.outcome is not Outcome.UNKNOWN

        eventually(send, _MAX_SECONDS)

    def accept_more(self, count: int = 50) -> None:
        """Wait until some more events are accepted."""
        before = self.record.count(Outcome.ACKNOWLEDGED)
        eventually(lambda: self.record.count(Outcome.ACKNOWLEDGED) >= before + count)

    def back(self, began: float) -> float:
        """Return how many seconds after a moment an event is accepted and applied."""

        def send() -> bool:
            call, _ = self._sender.send(self._jobs[0], seconds=5)
            return call.outcome is Outcome.ACKNOWLEDGED

        return after(began, send)

    def problems(self) -> list[str]:
        """Return what is wrong now that everything has been handled."""
        found = read_back(self._drill.db, [*self._jobs, *self._races])
        raced = {job["uuid"] for job in self._races} & {call.job for call in self.record.calls}
        of_races = [job for job in found if job.document["uuid"] in raced]
        told = [request.body for request in self._drill.receiver.told]
        announced = [
            {"job_uuid": body["job_uuid"], "event_name": body["event"], "job_state": body["state"]}
            for body in told
            if body["event"] != "create"
        ]
        secrets = {f"the token of job {job['uuid']}": job["_update_token"] for job in self._jobs}
        secrets["the access token"] = self._drill.token
        logs = [each.log for each in self._drill.fleet.gateways]
        logs += [each.log for each in self._drill.fleet.nodes]
        return [
            *problems(self.record, found),
            *(w for job in of_races for w in exclusion_problems(self.record, job, self._rivals)),
            *announcement_problems(found, {"the receiver": announced}),
            *leaks(secrets, {str(log): log.read_text() for log in logs}),
        ]
