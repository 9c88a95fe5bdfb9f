"""Containers, in which an actor's code runs apart from the gateway: a fresh one for each message."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from docker.errors import ImageNotFound
from docker.types import LogConfig, Ulimit
from docker.utils.socket import frames_iter

from abaco import references
from abaco.workers import threads
from abaco.workers.container_engine import FAULTS, remove
from abaco.workers.container_labels import GATEWAY_LABEL, WORKER_LABEL
from abaco.workers.environment import BINARY, RESULTS, WORK
from abaco.workers.processes import Ending, NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from docker import APIClient

    from abaco.images import Image
    from abaco.store.rows import Actor
    from abaco.workers.container_engine import Engine
    from abaco.workers.workspace import LogPipe

SOCKET = "/_abaco_results.sock"
FIFO = "/_abaco_binary_data"
_PLACES = {RESULTS: (SOCKET, 0o777), BINARY: (FIFO, 0o666)}
"""Where a container finds what the environment names, and what every user may do with it."""
_FIRST_UID, _UIDS = 10_000, 50_000
"""From which a uid is drawn by chance: nobody's here, and mapped where the engine has no root."""
_FILES = 1024
_KILLED = 128 + signal.SIGKILL
_NANO = 1_000_000_000
_FIRST_SAMPLE_SECONDS = 0.2
_SAMPLE_SECONDS = 1.0


class Container:
    """Runs each message in a container of its own.

    Attributes:
        actor: whose message is run next.
        cid: the id of the container of the present message.

    Args:
        image: what it runs.
        engine: which runs it.
        worker_id: of the worker.
        labels: returns what the container of the present message is marked with as well.
    """

    def __init__(
        self,
        image: Image,
        engine: Engine,
        worker_id: str,
        labels: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.actor = cast("Actor", {})
        self.cid = ""
        self.location = engine.location
        self._image = image
        self._engine = engine
        self._worker_id = worker_id
        self._labels = labels
        self._signals: list[signal.Signals] = []
        self._started = False
        self._cpu = self._io = 0

    async def prepare(self) -> None:
        """Fetch the image.

        Raises:
            NotStarted: it is not there afterwards.
        """
        await threads.wait(self._engine.fetch, self._image.name)

    async def run(self, environment: Mapping[str, str], log: LogPipe) -> Ending:
        """Run one message.

        Raises:
            NotStarted: the container does not start.
        """
        self._signals, self._started = [], False
        self._cpu = self._io = 0
        sampling = asyncio.create_task(self._sample())
        try:
            return await threads.wait(self._run, environment, log.descriptor)
        finally:
            sampling.cancel()
            self._started, self.cid = False, ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the container's first process, also if it is just being started."""
        self._signals.append(number)
        if self._started:
            # it is not waited for: the end of the container says what came of it
            asyncio.get_running_loop().run_in_executor(None, _kill, self._engine, self.cid, number)

    async def close(self) -> None:
        """There is nothing between messages."""

    def _run(self, environment: Mapping[str, str], log: int) -> Ending:
        try:
            with contextlib.closing(self._engine.connect()) as client:
                try:
                    self._create(client, environment)
                except ImageNotFound:
                    # somebody has removed it since the worker has begun
                    self._engine.fetch(self._image.name)
                    self._create(client, environment)
                try:
                    return self._follow(client, log)
                finally:
                    with contextlib.suppress(*FAULTS):
                        remove(client, self.cid)
        except FAULTS as error:
            if self._started:
                # the engine is gone, and maybe the container with it: as if it was killed
                return Ending(-signal.SIGKILL)
            message = f"the container does not start: {self._engine.explain(error)}"
            raise NotStarted(message) from error

    def _create(self, client: APIClient, environment: Mapping[str, str]) -> None:
        binds, inside = {}, dict(environment)
        for name, (place, mode) in _PLACES.items():
            if name in inside:
                # the folder that it is in is closed to everybody else
                Path(inside[name]).chmod(mode)
                binds[inside[name]] = {"bind": place, "mode": "rw"}
                inside[name] = place
        created = client.create_container(
            str(references.read(self._image.name)),
            command=list(self._image.command) or None,
            environment=inside,
            user=self._user(),
            labels={
                GATEWAY_LABEL: self._engine.gateway,
                WORKER_LABEL: self._worker_id,
                **self._labels(),
            },
            host_config=client.create_host_config(binds=binds, **self._bounds()),
        )
        self.cid = created["Id"]

    def _bounds(self) -> dict[str, Any]:
        """Return what the container may not, and how much of the machine it may use."""
        settings = self._engine.settings
        memory = self.actor.get("mem_limit") or settings.memory
        cpus = int(self.actor.get("max_cpus") or settings.cpus * _NANO)
        return {
            "read_only": True,
            "tmpfs": dict.fromkeys((WORK, "/tmp"), "rw,exec,nosuid,nodev,mode=1777"),  # noqa: S108 - in the container
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "mem_limit": memory,
            "memswap_limit": memory,
            "nano_cpus": cpus,
            "pids_limit": settings.pids,
            "ulimits": [
                Ulimit(name="nofile", soft=_FILES, hard=_FILES),
                Ulimit(name="nproc", soft=settings.pids, hard=settings.pids),
            ],
            "network_mode": settings.network,
            # what it writes is read while it runs, and kept by nobody else
            "log_config": LogConfig(type="none"),
        }

    def _user(self) -> str | None:
        if self.actor.get("use_container_uid"):
            return None
        uid = _FIRST_UID + secrets.randbelow(_UIDS)
        return self._engine.settings.user or f"{uid}:{uid}"

    def _follow(self, client: APIClient, log: int) -> Ending:
        """Start the container, pass its output on, and wait for its end."""
        output = client.attach_socket(self.cid, {"stdout": 1, "stderr": 1, "stream": 1})
        try:
            client.start(self.cid)
            self._started = True
            for number in self._signals:
                _kill(self._engine, self.cid, number)
            for _, content in frames_iter(output, tty=False):
                _write(log, content)
        finally:
            # the client keeps the connection there, and leaves it open
            output._response.close()  # noqa: SLF001 - there is no other way to close it
        code = int(client.wait(self.cid, timeout=None)["StatusCode"])
        out_of_memory = bool(client.inspect_container(self.cid)["State"]["OOMKilled"])
        if out_of_memory:
            _write(log, b"\n[abaco] the container used more memory than it may\n")
        elif code == _KILLED and not self._signals:
            code = -signal.SIGKILL
        return Ending(code, self._cpu, io=self._io, out_of_memory=out_of_memory)

    async def _sample(self) -> None:
        """Look now and then what the container has used: nothing tells of it afterwards."""
        seconds = _FIRST_SAMPLE_SECONDS
        while True:
            await asyncio.sleep(seconds)
            if self._started:
                await threads.wait(self._look, self.cid)
                seconds = _SAMPLE_SECONDS

    def _look(self, container: str) -> None:
        try:
            with contextlib.closing(self._engine.connect()) as client:
                stats = client.stats(container, stream=False, one_shot=True)
        except FAULTS:
            return
        self._cpu = max(self._cpu, int(stats["cpu_stats"]["cpu_usage"]["total_usage"]))
        networks = (stats.get("networks") or {}).values()
        self._io = max(self._io, sum(int(each["rx_bytes"]) for each in networks))


def _kill(engine: Engine, container: str, number: signal.Signals) -> None:
    with contextlib.suppress(*FAULTS), contextlib.closing(engine.connect()) as client:
        client.kill(container, int(number))


def _write(log: int, content: bytes) -> None:
    """Write all of something into a pipe."""
    while content:
        content = content[os.write(log, content) :]
