"""Actors in containers, by docker and by podman: what they find, what they may not, how they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abaco.images import Image
from abaco.settings import Containers
from abaco.workers.container_engine import Engine as ContainerEngine
from abaco.workers.container_labels import FENCE_LABEL, GATEWAY_LABEL
from abaco.workers.containers import Container
from abaco.workers.workspace import Log, LogPipe
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from local import demo
from local.database import Server
from local.tacobot import TACOBOT
from pipelinejobs.backend import Backend
from pipelinejobs.checks import examine
from tests.abaco.running import Client, RunningGateway, eventually, is_in_status
from tests.conftest import ENGINES, TIMEOUT
from tests.containers.engines import IMAGE, MANAGER, Engine, running

FACTS = """
from pathlib import Path
status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines())
def writable(folder):
    try:
        Path(folder, "crumb").write_text("")
    except OSError as error:
        return error.strerror
    return "yes"
answer({
    "uid": os.getuid(), "gid": os.getgid(),
    "privileges": [status["CapEff"].strip("0"), status["CapBnd"].strip("0"), status["NoNewPrivs"]],
    "writable": {folder: writable(folder) for folder in ("/", "/usr/local", "/tmp", "/work")},
    "interfaces": os.listdir("/sys/class/net"),
    "environment": dict(os.environ), "folder": os.getcwd(),
})
"""
ONCE = pytest.mark.parametrize("engine", ENGINES[:1], indirect=True)
"""Of what does not depend on the engine: it is tried with one of them."""
pytestmark = pytest.mark.skipif(not ENGINES, reason="no engine can be started here")


TRIED = [*ENGINES[:1], *(pytest.param(each, marks=pytest.mark.long) for each in ENGINES[1:])]
"""One engine in each run of the tests, all of them in a long one."""


@pytest.fixture(scope="module", params=TRIED)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with running(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    settings = {
        "containers": {
            "engine": engine.name,
            "socket": str(engine.socket),
            "registries": ["localhost"],
            "network": "none",
            "memory": "64m",
            "pids": 16,
        },
        "limits": {"stop_seconds": 0.5},
    }
    limited: dict[str, Any] = {"mode": "container", "seconds": 1}
    folder = tmp_path_factory.mktemp("gateway")
    with RunningGateway(folder, {MANAGER: limited}, settings) as started:
        yield started


@pytest.fixture(scope="module")
def probe(ada: Client) -> str:
    return ada.actor(IMAGE)


def run(client: Client, actor: str, code: str) -> tuple[dict[str, Any], str]:
    """Run code; return the execution and its log."""
    execution = client.run(actor, {"run": code})
    return execution, client.logs(actor, execution["id"])


def test_an_actor_has_nothing_but_its_message_and_a_folder(ada: Client, probe: str) -> None:
    execution = ada.run(probe, {"run": FACTS}, params={"salsa": "hot"})
    assert execution["exitCode"] == 0, ada.logs(probe, execution["id"])
    facts = json.loads(ada.result_of(probe, execution["id"]))
    assert 10_000 <= facts["uid"] < 60_000
    assert facts["gid"] == facts["uid"]
    assert facts["privileges"] == ["", "", "1"]
    refused = "Read-only file system"
    assert facts["writable"] == {"/": refused, "/usr/local": refused, "/tmp": "yes", "/work": "yes"}  # noqa: S108 - in the container
    assert facts["interfaces"] == ["lo"]
    environment = facts["environment"]
    assert environment["salsa"] == "hot"
    assert environment["_abaco_actor_id"] == probe
    assert environment["_abaco_results_socket"] == "/_abaco_results.sock"
    assert environment["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert (environment["HOME"], facts["folder"]) == ("/work", "/work")
    assert "localhost" not in str({**environment, "_abaco_container_repo": ""})


def test_each_message_has_a_container_of_its_own(ada: Client, probe: str, engine: Engine) -> None:
    facts = []
    for _ in range(2):
        execution, _ = run(
            ada, probe, "open(os.path.expanduser('~/mark'), 'x'); answer(os.getuid())"
        )
        assert execution["exitCode"] == 0
        facts.append(ada.result_of(probe, execution["id"]))
    assert facts[0] != facts[1]
    assert engine.containers() == []


def test_a_binary_message_is_read_from_the_fifo(ada: Client, probe: str) -> None:
    code = "import hashlib; answer(len(open(os.environ['_abaco_binary_fifo'], 'rb').read()))"
    reply = ada.result(
        "POST",
        f"/{probe}/messages",
        content=b"\0taco" * 500_000,
        headers={"Content-Type": "application/octet-stream"},
        params={"orders": repr({"run": code})},
    )
    assert ada.ended(probe, reply["executionId"])["exitCode"] == 0
    assert json.loads(ada.result_of(probe, reply["executionId"])) == 2_500_000


def test_what_it_writes_is_seen_while_it_runs_and_a_stop_ends_it(
    ada: Client, probe: str, gateway: RunningGateway, engine: Engine
) -> None:
    code = "import time; os.write(1, b'grilling'); time.sleep(0.2); os.write(2, b', hot'); time.sleep(60)"
    execution = ada.submit(probe, {"run": code})
    eventually(lambda: ada.logs(probe, execution) == "grilling, hot")
    (worker,) = ada.result("GET", f"/{probe}/workers")
    assert worker["location"] == f"unix://{engine.socket}"
    assert [worker["cid"]] == engine.containers()
    ada.result("DELETE", f"/{probe}/executions/{execution}")
    ended = ada.ended(probe, execution)
    # the first process of a container has no handler for SIGTERM, and so does not notice it
    assert (ended["status"], ended["exitCode"]) == ("COMPLETE", 137)
    assert "stopped on request" in ada.logs(probe, execution)
    assert engine.containers() == []


@ONCE
def test_an_actor_may_end_in_order_when_it_is_stopped(ada: Client, probe: str) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(9)); print('on', flush=True); time.sleep(60)"
    execution = ada.submit(probe, {"run": code})
    eventually(lambda: ada.logs(probe, execution) == "on\n")
    ada.result("DELETE", f"/{probe}/executions/{execution}")
    assert ada.ended(probe, execution)["exitCode"] == 9


def test_memory_is_limited(ada: Client, probe: str, engine: Engine) -> None:
    child = (
        "if (child := os.fork()) == 0: bytearray(200 << 20)\nelse: answer(os.waitpid(child, 0)[1])"
    )
    execution, _ = run(ada, probe, child)
    assert json.loads(ada.result_of(probe, execution["id"])) == 9
    if engine.name == "docker":
        # podman does not always know why the kernel killed it
        execution, log = run(ada, probe, "bytearray(200 << 20)")
        assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 137)
        assert execution["finalState"]["OOMKilled"]
        assert "used more memory than it may" in log


def test_doctor_says_which_engine_answers(
    gateway: RunningGateway, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(gateway.folder)
    (row,) = [each for each in examine(Backend()) if each.subject == "containers"]
    assert row.status == "ok"
    assert row.found.startswith(f"{engine.name} ")
    assert row.found.endswith(f" at {engine.socket}")


def test_what_an_actor_may_use_is_what_its_description_says(
    admin: Client, probe: str, engine: Engine
) -> None:
    actor = admin.actor(IMAGE, memLimit="300m", maxCpus="500000000", useContainerUid=True)
    code = "held = bytearray(200 << 20); answer(os.getuid()); import time; time.sleep(3)"
    execution = admin.submit(actor, {"run": code})
    (described,) = eventually(engine.described)
    host = described["HostConfig"]
    assert host["Memory"] == 300 << 20
    assert engine.name == "podman" or host["NanoCpus"] == 500_000_000
    ended = admin.ended(actor, execution)
    assert ended["exitCode"] == 0
    assert ended["cpu"] > 10_000_000
    assert json.loads(admin.result_of(actor, execution)) == 10_001
    admin.result("DELETE", f"/{actor}")


def test_processes_are_limited(ada: Client, probe: str) -> None:
    code = """
import time
for number in range(64):
    if os.fork() == 0:
        time.sleep(60)
"""
    execution, log = run(ada, probe, code)
    assert execution["exitCode"] == 1
    assert "BlockingIOError" in log


@ONCE
def test_time_is_limited(ada: Client) -> None:
    actor = ada.actor(MANAGER)
    execution, log = run(ada, actor, "import time; time.sleep(60)")
    assert execution["exitCode"] == 137
    assert "time limit of 1 s" in log


@ONCE
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("quay.io/tacos/grill:1", "is of the registry quay.io; here images are of localhost"),
        ("tacos", "is of the registry docker.io"),
        ("localhost.evil.org/probe:1", "is of the registry localhost.evil.org"),
        ("--privileged", "is not the name of an image"),
        ("localhost/../../etc", "is not the name of an image"),
        ("localhost/probe:1 --volume /:/host", "is not the name of an image"),
        ("localhost/probe:1\n", "is not the name of an image"),
        ("localhost/" + "a/" * 200 + "b", "is not the name of an image"),
    ],
)
def test_an_image_that_may_not_run_is_refused(ada: Client, image: str, reason: str) -> None:
    message = ada.refusal("POST", "", json={"image": image})
    assert message.startswith("Invalid actor description: ")
    assert reason in message


@ONCE
def test_an_image_that_cannot_be_fetched_is_an_error_of_its_actor(ada: Client) -> None:
    actor = ada.result("POST", "", json={"image": "localhost/nothing:1"})["id"]
    eventually(is_in_status(ada, actor, "ERROR"))
    message = ada.result("GET", f"/{actor}")["statusMessage"]
    assert message.startswith("the image localhost/nothing:1 cannot be fetched: ")


def test_a_killed_gateway_leaves_no_container_and_runs_the_message_again(
    ada: Client, probe: str, gateway: RunningGateway, engine: Engine, tmp_path: Path
) -> None:
    other = engine.api.create_container(IMAGE)["Id"]
    execution = ada.submit(probe, {"run": "import time; print('on', flush=True); time.sleep(60)"})
    eventually(lambda: ada.logs(probe, execution) == "on\n")
    (left,) = set(engine.containers()) - {other}
    gateway.kill()
    assert left in engine.containers()
    gateway.start()
    eventually(lambda: ada.logs(probe, execution) == "on\n")
    now = set(engine.containers())
    assert other in now
    assert left not in now
    ada.result("DELETE", f"/{probe}/executions/{execution}")
    assert ada.ended(probe, execution)["exitCode"] == 137
    assert engine.containers() == [other]
    engine.api.remove_container(other)


def test_a_node_removes_the_containers_of_its_platform_that_nobody_needs(engine: Engine) -> None:
    platform = ContainerEngine(Containers(engine.name, str(engine.socket)), "platform")
    before = engine.containers()
    _, held, other = (
        engine.api.create_container(IMAGE, labels={GATEWAY_LABEL: owner, FENCE_LABEL: fence})["Id"]
        for owner, fence in (("platform", "1"), ("platform", "2"), ("another", "1"))
    )
    assert platform.remove_left(lambda labels: labels[FENCE_LABEL] == "1") == 1
    assert sorted(engine.containers()) == sorted([*before, held, other])
    for each in (held, other):
        engine.api.remove_container(each)


class TaggingEngine(ContainerEngine):
    """An engine that fetches an image by giving one that is there its name."""

    def fetch(self, name: str) -> None:
        """Fetch an image."""
        path, _, tag = name.partition(":")
        with contextlib.closing(self.connect()) as client:
            client.tag(IMAGE, path, tag)


@ONCE
def test_an_image_that_was_removed_since_the_worker_began_is_fetched_again(engine: Engine) -> None:
    settings = Containers(engine.name, str(engine.socket), network="none")
    image = Image("localhost/removed:1", mode="container", command=("python3", "-c", "print(1)"))
    container = Container(image, TaggingEngine(settings, "removed"), "worker")

    async def run() -> tuple[int, str]:
        log, pipe = Log(10_000), LogPipe()
        pipe.watch(log)
        ending = await container.run({}, pipe)
        await pipe.close(log, 1)
        return ending.code, log.text

    asyncio.run(container.prepare())
    engine.api.remove_image(image.name)
    assert asyncio.run(run()) == (0, "1\n")
    engine.api.remove_image(image.name)


class InContainers(demo.Platform):
    """The platform of the demonstration, with a container for each message."""

    def __init__(self, uri: str, folder: Path, engine: Engine) -> None:
        super().__init__(uri, folder)
        settings = Containers(engine.name, str(engine.socket), network="host")
        image = Image(MANAGER, mode="container", command=("python3", "/reactor.py"))
        self._container = Container(image, ContainerEngine(settings, "demo"), "worker")

    def run(self, step: demo.Step) -> demo.Outcome:
        """Deliver a message and wait for the end of its execution."""
        return asyncio.run(self._run(step))

    async def _run(self, step: demo.Step) -> demo.Outcome:
        environment = self.environment(step)
        del environment["PATH"]
        log, pipe = Log(10_000), LogPipe()
        pipe.watch(log)
        await self._container.prepare()
        ending = await self._container.run(environment, pipe)
        await pipe.close(log, 1)
        return demo.Outcome(ending.code, log.text, self._answer())


@pytest.mark.long
@ONCE
def test_every_message_of_the_demonstration_runs_in_a_container(
    engine: Engine, server: Server, tmp_path: Path
) -> None:
    mongodb = {"authn": server.uri, "database": demo.DATABASE, "timeout": TIMEOUT}
    pipeline = PipelineStore(mongodb).add_update_document(TACOBOT)
    platform = InContainers(server.uri, tmp_path, engine)
    try:
        created = []
        for order in ("one", "spare"):
            outcome = platform.run(demo.create_step(pipeline["uuid"], order))
            assert outcome.exit_code == 0, outcome.log
            created.append(outcome.answer)
        for step in demo.steps(*created):
            outcome = platform.run(step)
            assert outcome.exit_code == step.exit_code, (step.title, outcome.log)
    finally:
        platform.close()
    job = PipelineJobStore(mongodb).find_one_by_uuid(created[0]["uuid"])
    assert job is not None
    assert job["state"] == "FINISHED"
    assert engine.containers() == []


@ONCE
def test_a_container_that_somebody_kills_is_run_again(
    ada: Client, probe: str, engine: Engine
) -> None:
    execution = ada.submit(probe, {"run": "import time; print('on', flush=True); time.sleep(60)"})
    eventually(lambda: ada.logs(probe, execution) == "on\n")
    (first,) = engine.containers()
    engine.api.kill(first)
    eventually(lambda: set(engine.containers()) - {first} and ada.logs(probe, execution) == "on\n")
    ada.result("DELETE", f"/{probe}/executions/{execution}")
    assert ada.ended(probe, execution)["exitCode"] == 137
