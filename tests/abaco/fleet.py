"""Gateways and nodes that share a PostgreSQL and a RabbitMQ, as on several machines."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.abaco.running import PROBE, SECONDS, RunningGateway, basis, eventually, opened
from tests.network import Machine
from tests.services import Postgres, RabbitMQ, free_port


class RunningNode:
    """A node: started, told to end, or killed with all its processes.

    Args:
        folder: where its configuration, data and log are.
        images: what `images.yml` says.
        settings: what `abaco.yml` says.
        concurrency: how many messages it runs at a time.
        queues: of the actors.
        within: what its command begins with, if it does not run here.
    """

    def __init__(
        self,
        folder: Path,
        images: dict[str, Any],
        settings: dict[str, Any],
        concurrency: int,
        queues: str,
        within: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.configuration = folder / "abaco.yml"
        self.configuration.write_text(yaml.safe_dump({"data": "data", **settings}, sort_keys=False))
        (folder / "images.yml").write_text(yaml.safe_dump(opened(images)))
        self.log = folder / "node.log"
        self._within = within
        self._options = [f"--concurrency={concurrency}", f"--queues={queues}", "--port=0"]
        self._process: subprocess.Popen[bytes] | None = None
        self.metrics = ""

    def start(self) -> RunningNode:
        """Start it; return when it says that it is there."""
        command = [*self._within, sys.executable, "-m", "abaco"]
        command += ["--config", str(self.configuration), "worker", *self._options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=basis(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def written() -> list[str]:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            lines = self.log.read_text().splitlines()
            return [line for line in lines if line.startswith("The node ")]

        line = eventually(written)[-1]
        self.id, self.metrics = line.split()[2], line.split()[-1]
        return self

    @property
    def pid(self) -> int:
        """Of the process that has started all others of it."""
        assert self._process is not None
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """Of the processes that run messages, and of those that these started."""
        assert self._process is not None
        return [each.pid for each in psutil.Process(self._process.pid).children(recursive=True)]

    def pause(self) -> None:
        """Let it stand still, as one does that nobody hears of any more."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in [self._process.pid, *self.pids]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> int:
        """Let it end what runs; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """End it and all that it started, as the loss of the machine does."""
        if self._process is None or self._process.poll() is not None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait(SECONDS)


class RunningFleet:
    """Gateways and nodes; all of them are ended with the block.

    Args:
        folder: of their files.
        postgres: the server of their database.
        rabbitmq: their broker.
        images: what all of them know.
        settings: of all of them, besides those of a fleet.
    """

    def __init__(
        self,
        folder: Path,
        postgres: Postgres,
        rabbitmq: RabbitMQ,
        images: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self._images = PROBE if images is None else images
        port = free_port()
        self.database = postgres.database()
        self._settings = {
            "engine": "celery",
            "database": self.database,
            "broker": rabbitmq.url,
            "public_url": f"http://127.0.0.1:{port}",
            **(settings or {}),
        }
        self._ports = [port]
        self._numbers = itertools.count()
        self.gateways: list[RunningGateway] = []
        self.nodes: list[RunningNode] = []

    def __enter__(self) -> RunningFleet:  # noqa: PYI034 - Self is newer than Python 3.10
        """Return it, without gateways and nodes yet."""
        return self

    def gateway(self, machine: Machine | None = None) -> RunningGateway:
        """Start one more gateway, here or on another machine."""
        folder = self.folder / f"gateway{next(self._numbers)}"
        folder.mkdir()
        settings, within = self._on(machine)
        gateway = RunningGateway(folder, self._images, settings, within=within)
        gateway.port = self._ports.pop() if self._ports else 0
        self.gateways.append(gateway)
        return gateway.start()

    def node(
        self, concurrency: int = 1, queues: str = "default", machine: Machine | None = None
    ) -> RunningNode:
        """Start one more node, here or on another machine."""
        folder = self.folder / f"node{next(self._numbers)}"
        settings, within = self._on(machine)
        node = RunningNode(folder, self._images, settings, concurrency, queues, within)
        self.nodes.append(node)
        return node.start()

    def _on(self, machine: Machine | None) -> tuple[dict[str, Any], Sequence[str]]:
        """Return the settings of what runs on a machine, and what its command begins with."""
        if machine is None:
            return self._settings, ()
        return {**self._settings, "host": machine.address}, machine.within

    def know(self, name: str, image: dict[str, Any]) -> None:
        """Let all of them know one more image."""
        self._images = {**self._images, name: image}
        for folder in [each.folder for each in self.gateways] + [
            each.folder for each in self.nodes
        ]:
            (folder / "images.yml").write_text(yaml.safe_dump(opened(self._images)))

    def __exit__(self, *_exception: object) -> None:
        """End all."""
        for node in self.nodes:
            node.kill()
        for gateway in self.gateways:
            with contextlib.suppress(subprocess.TimeoutExpired):
                gateway.stop()
            gateway.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
