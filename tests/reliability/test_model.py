"""Rows 6 and 7: a model of jobs and the actor agree, on two database servers of different makers."""

from __future__ import annotations

import itertools
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from local.database import LocalDatabase
from tests.abaco.running import SECONDS, eventually
from tests.actor import TRUSTED, Actor, Reply, create, delete, event
from tests.conftest import TACOBOT, TIMEOUT
from tests.datacatalog.linkedstores.pipelinejob.test_fsm import LEADS_TO
from tests.reliability.checker import MARK, Call, Outcome, Record, problems
from tests.reliability.running import own_connections, read_back
from tests.reliability.soak import is_long, many, note
from tests.reliability.wire import Proxy

ENOUGH = many(120, 10_000)
STEPS = many(50, 250)
EXAMPLES = many(4, 40)
JOBS = many(3, 25)
RESTARTS = 60
"""Of so many in a long run, one is a kill -9 of the server."""
EVENTS = ("run", "update", "resource", "fail", "finish", "index", "validate", "retire")
NX = """
from neosqlite.collection.query_helper import set_force_fallback
from nx_27017.nx_27017 import main
set_force_fallback(True)  # its translation to SQL would turn dates into text
main()
"""


class SecantusDB:
    """The server that comes with this project: its own, on WiredTiger."""

    def __init__(self, folder: Path) -> None:
        self._local = LocalDatabase(folder)
        self.start()

    def start(self) -> None:
        self._server = self._local.start()
        self.uri = self._server.uri

    def kill(self) -> None:
        process = psutil.Process(self._server.pid)
        process.kill()
        process.wait(SECONDS)


class NX27017:
    """NX-27017 on NeoSQLite, which shares no code with the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.uri = f"mongodb://127.0.0.1:{self._port}/?directConnection=true"
        self.start()

    def start(self) -> None:
        files = {name: str(self._folder / name) for name in ("data", "log", "pid")}
        command = [sys.executable, "-c", NX, "--port", str(self._port), "--data-dir", files["data"]]
        command += ["--log-file", files["log"], "--pid-file", files["pid"]]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

        def listens() -> bool:
            assert self._process.poll() is None, "it ended at once: is its port taken?"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        eventually(listens)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)


SERVERS: dict[str, Callable[[Path], SecantusDB | NX27017]] = {
    "SecantusDB": SecantusDB,
    "NX-27017": NX27017,
}


@dataclass
class Place:
    """A server, and the actor that works on it."""

    server: SecantusDB | NX27017
    mongodb: dict[str, Any]
    folder: Path
    disconnect: Callable[[], None]
    steps: int = 0
    kills: int = 0
    record: Record = field(default_factory=Record)


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    server = SERVERS[request.param](tmp_path)
    try:
        with Proxy(server.uri) as proxy, own_connections() as disconnect:
            yield Place(server, {"authn": proxy.uri, "timeout": TIMEOUT}, tmp_path, disconnect)
    finally:
        server.kill()


@dataclass
class Sent:
    """An event that was sent, and what it was answered if it was applied."""

    name: str
    key: str
    answer: dict[str, Any] | None = None


@dataclass
class Modelled:
    """What a job is to be."""

    job: Document
    state: str = "CREATED"
    last: str = "create"
    revision: int = 0
    hidden: bool = False
    sent: list[Sent] = field(default_factory=list)

    def of(self, *, applied: bool) -> list[Sent]:
        return [each for each in self.sent if (each.answer is not None) == applied]


class Machine(RuleBasedStateMachine):
    """Sends messages to the actor, and does to a model what they should do to the jobs."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.record = Record()
        self.jobs: dict[int, Modelled] = {}
        self.keys = itertools.count()
        mongodb = {**place.mongodb, "database": f"model_{secrets.token_hex(6)}"}
        self.store = PipelineJobStore(mongodb)
        self.pipeline = PipelineStore(mongodb).add_update_document(TACOBOT)
        self.actor = Actor(mongodb, place.folder)

    def send(self, job: Modelled, sent: Sent, mark: str | None = None) -> Reply:
        body = event(job.job, sent.name, data={MARK: mark or sent.key})
        return self.actor.send(body, {"event_id": sent.key})

    def deliver(self, job: Modelled, sent: Sent) -> None:
        """Send an event that was not applied yet."""
        call = self.record.sent(job.job["uuid"], sent.key)
        reply = self.send(job, sent)
        following = LEADS_TO.get((job.state, sent.name))
        call.outcome = Outcome.ACKNOWLEDGED if reply.result else Outcome.REFUSED
        if job.hidden:
            assert reply.kind == "not_authorized"
        elif following is None:
            assert reply.kind == "not_allowed"
        else:
            job.state, job.last, job.revision = following, sent.name, job.revision + 1
            sent.answer = {
                "uuid": job.job["uuid"],
                "state": job.state,
                "last_event": job.last,
                "revision": job.revision,
            }
            assert reply.result == sent.answer

    @rule(number=st.integers(0, JOBS - 1))
    def create(self, number: int) -> None:
        self.place.steps += 1
        known = self.jobs.get(number)
        if known is not None and known.hidden:
            return
        reply = self.actor.send(create(self.pipeline, data={"number": number}), TRUSTED)
        assert reply.error == ""
        if known is None:
            job = self.store.load(reply.result["uuid"])
            self.jobs[number] = known = Modelled(self.store.with_token(job))
        assert reply.result["uuid"] == known.job["uuid"]
        assert reply.result["revision"] == known.revision

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), legal=st.booleans())
    def event(self, data: st.DataObject, *, legal: bool) -> None:
        self.place.steps += 1
        job = self.pick(data)
        names = [name for name in EVENTS if not legal or (job.state, name) in LEADS_TO]
        name = data.draw(st.sampled_from(names or EVENTS))
        job.sent.append(Sent(name, f"event {next(self.keys)}"))
        self.deliver(job, job.sent[-1])

    @precondition(lambda self: any(job.of(applied=True) for job in self.jobs.values()))
    @rule(data=st.data(), other=st.booleans())
    def duplicate(self, data: st.DataObject, *, other: bool) -> None:
        self.place.steps += 1
        job = data.draw(st.sampled_from([j for j in self.jobs.values() if j.of(applied=True)]))
        sent = data.draw(st.sampled_from(job.of(applied=True)))
        reply = self.send(job, sent, "another event" if other else None)
        if job.hidden:
            assert reply.kind == "not_authorized"
        elif other:
            assert reply.kind == "conflict"
        else:
            assert reply.result == sent.answer

    @precondition(lambda self: any(job.of(applied=False) for job in self.jobs.values()))
    @rule(data=st.data())
    def late(self, data: st.DataObject) -> None:
        """Send again what came too early, or while the job was hidden."""
        self.place.steps += 1
        job = data.draw(st.sampled_from([j for j in self.jobs.values() if j.of(applied=False)]))
        self.deliver(job, data.draw(st.sampled_from(job.of(applied=False))))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.place.steps += 1
        job = self.pick(data)
        assert self.actor.send(delete(job.job)).error == ""
        job.revision += not job.hidden
        job.hidden = True

    @precondition(lambda self: any(job.hidden for job in self.jobs.values()))
    @rule(data=st.data())
    def undelete(self, data: st.DataObject) -> None:
        self.place.steps += 1
        job = data.draw(st.sampled_from([j for j in self.jobs.values() if j.hidden]))
        self.store.undelete(job.job["uuid"], job.job["_update_token"])
        job.hidden = False
        job.revision += 1

    @rule(die=st.integers(1, RESTARTS))
    def restart(self, die: int) -> None:
        """Connect again, as each execution does; now and then, to a server that was killed."""
        self.place.steps += 1
        # one in the middle: those at the ends are drawn more often
        if is_long() and die == RESTARTS // 2:
            self.place.server.kill()
            self.place.server.start()
            self.place.kills += 1
        self.place.disconnect()
        self.store = PipelineJobStore(self.actor.mongodb)

    def pick(self, data: st.DataObject) -> Modelled:
        picked: Modelled = data.draw(st.sampled_from([*self.jobs.values()]))
        return picked

    def teardown(self) -> None:
        self.actor.close()
        found = read_back(self.store.db)
        assert problems(self.record, found) == []
        stored = {job.document["uuid"]: job for job in found}
        for job in self.jobs.values():
            document = stored[job.job["uuid"]].document
            assert (document["state"], document["last_event"]) == (job.state, job.last)
            assert document["_properties"]["revision"] == job.revision
            applied = [each.name for each in job.of(applied=True)]
            assert sorted(entry["name"] for entry in stored[job.job["uuid"]].entries[1:]) == sorted(
                applied
            )
        self.place.record.calls += [
            Call(f"{self.actor.mongodb['database']} {call.job}", call.event, call.outcome)
            for call in self.record.calls
        ]
        (self.place.folder / "results.sock").unlink()


def test_the_model_and_the_actor_agree(place: Place, request: pytest.FixtureRequest) -> None:
    while place.steps < ENOUGH:
        run_state_machine_as_test(
            lambda: Machine(place),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                database=None,
                deadline=None,
                derandomize=not is_long(),
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            ),
        )
    name = request.node.callspec.params["place"]
    note(
        6 if name == "SecantusDB" else 7,
        f"steps on {name}",
        place.steps,
        record=place.record,
        measured=f"{place.kills} kills of the server meanwhile",
    )
