"""What a message costs, in counts: modules that are imported, commands to the database."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from abaco.workers.host import LENGTH
from abaco.workers.processes import HOST
from datacatalog.mongo import Document
from tests.actor import (
    ALOE_POST,
    UNKNOWN_JOB,
    Actor,
    cloud_event,
    event,
    job_event,
    run_event,
    tapis,
    url,
)
from tests.conftest import ROOT


def test_an_event_is_processed_without_what_takes_long_to_import(
    actor: Actor, job: Document
) -> None:
    for body, parameters in (
        (event(job, "run"), {}),
        ({**ALOE_POST, "status": "RUNNING"}, url(job)),
        (repr({"cost": None}), url(job, name="update")),
        (cloud_event(tapis("QUEUED")), url(job)),
        (job_event(job, "update"), {}),
        (run_event(job, "RUNNING"), {}),
        ({**job_event(job), "type": "org.example.eat"}, url(job, name="update")),
    ):
        environ = actor.message(body, {**parameters, "PATH": os.environ["PATH"]})
        done = subprocess.run(
            [sys.executable, "-X", "importtime", str(ROOT / "reactor.py")],
            env=environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        imported = {
            line.rpartition("|")[2].strip().partition(".")[0]
            for line in done.stderr.splitlines()
            if line.startswith("import time:")
        }
        assert "pymongo" in imported
        assert not imported & {"agavepy", "requests", "jsonschema", "referencing", "petname"}


MODULES = "import sys; {}; print(*[name for name, module in sys.modules.items() if module])"


def modules(statement: str) -> set[str]:
    """Return the modules that are there after a statement in a new process."""
    command = [sys.executable, "-c", MODULES.format(statement)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_cold_start_imports_little_beyond_the_driver_and_yaml() -> None:
    bare = modules("import os, datetime, pymongo, yaml")
    more = modules("import reactor") - bare - {"reactor"}
    rooms = ("manager", "reactors", "datacatalog", "strictjson", "yamlfiles")
    own = {name for name in more if name.partition(".")[0] in rooms}
    assert more - own <= {"gc", "secrets", "shlex"}
    assert len(own) <= 80
    assert "datacatalog.linkedstores.basestore.paging" not in own
    # it is installed here, though no start needs it
    assert {name for name in bare if name.startswith("cryptography")}
    assert not {name for name in modules("import reactor") if name.startswith("cryptography")}


COLLECTIONS = """
import gc, logging, sys
code = compile(open("reactor.py").read(), "reactor.py", "exec")
before = len(sys.modules)
seen = []
gc.callbacks.append(lambda *_: seen.append(len(sys.modules)))
def tell():
    print(sum(before < number < len(sys.modules) for number in seen), gc.isenabled(), flush=True)
logging.shutdown = tell
sys.argv = ["reactor.py", "--help"]
exec(code, {"__name__": "__main__", "__file__": "reactor.py"})
"""


def test_a_cold_start_looks_for_no_garbage_among_modules() -> None:
    command = [sys.executable, "-c", COLLECTIONS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "0 True\n"


COUNT = """
import json, sys
from pathlib import Path
import pymongo.monitoring
import reactor
from manager.exceptions import Refusal
from reactors.runtime import Reactor

class Listener(pymongo.monitoring.CommandListener):
    def started(self, event):
        if not event.command:  # what signs in is not told
            return
        awaited = event.command.get("writeConcern", {}).get("w") != 0
        sent.append(event.command_name + ("" if awaited else " (not awaited)"))
    def succeeded(self, event):
        pass
    def failed(self, event):
        pass

pymongo.monitoring.register(Listener())
for environ in json.load(sys.stdin):
    sent = []
    rx = Reactor(environ, folders=[Path.cwd()])
    try:
        reactor.process(rx)
    except Refusal:
        pass
    print(json.dumps(sent))
"""


def commands(actor: Actor, messages: list[dict[str, str]]) -> list[list[str]]:
    """Return the names of the commands that each message sends to the database."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("settings", [{}, {"_REACTOR_STATE_ENTER": "true"}])
def test_an_event_takes_two_round_trips_and_one_while_the_job_is_remembered(
    actor: Actor, job: Document, settings: dict[str, str]
) -> None:
    actor.environ |= settings
    messages = [
        actor.message(event(job, "run")),
        actor.message({**ALOE_POST, "status": "RUNNING"}, url(job)),
        actor.message("", url(job, name="update")),
        *(actor.message(event(job, "update")) for _ in range(4)),
    ]

    assert commands(actor, messages) == [["find", "update"], *[["update"]] * 6]
    assert len(actor.job(job["uuid"])["history"]) == 8


def test_a_wrong_token_costs_what_an_unknown_job_costs(actor: Actor, job: Document) -> None:
    messages = [
        actor.message({"uuid": uuid, "name": "run", "token": token})
        for uuid in (job["uuid"], UNKNOWN_JOB)
        for token in ("0" * 16, job["_update_token"][:-1])
    ]

    assert commands(actor, messages) == [["find"]] * 4


class Warm:
    """A warm process of the actor, to which messages are sent as the gateway sends them."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, str(HOST), str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, "reactor:main", "reactor:together"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"]},
                pass_fds=[theirs.fileno()],
            )
        self._answer()

    def handle(self, environments: list[dict[str, str]]) -> int:
        """Let it handle messages together; return how many bytes they have."""
        content = json.dumps({"environments": environments}).encode()
        self._ours.sendall(LENGTH.pack(len(content)) + content)
        assert [code for code, *_ in self._answer()["ends"]] == [0] * len(environments)
        return len(content)

    @property
    def size(self) -> int:
        """How many bytes it has in memory."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def end(self) -> None:
        self._ours.close()
        assert self._process.wait() == 0

    def _answer(self) -> Any:
        size = LENGTH.unpack(self._ours.recv(LENGTH.size, socket.MSG_WAITALL))[0]
        return json.loads(self._ours.recv(size, socket.MSG_WAITALL))


def test_a_warm_process_does_not_grow_by_what_it_is_sent(
    actor: Actor, job: Document, tmp_path: Path
) -> None:
    def batch() -> list[dict[str, str]]:
        place = {"_abaco_results_socket": str(tmp_path / "results")}
        place |= {"_abaco_access_token": secrets.token_hex(24), "PADDING": "x" * 800}
        return [actor.message(event(job, "update"), place) for _ in range(16)]

    actor.run(event(job, "run"))
    warm = Warm()
    for _ in range(10):
        warm.handle(batch())
    before = warm.size
    sent = sum(warm.handle(batch()) for _ in range(30))
    assert warm.size - before < sent / 4
    warm.end()
