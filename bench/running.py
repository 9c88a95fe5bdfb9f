"""Servers to measure: processes of their own, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from bench.load import post
from local import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.catalog import Catalog
    from datacatalog.mongo import Document

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120.0
ACCEPTED, COMMITTED = b'"success"', b'"RUNNING"'
"""What is in the answer to an update: to one that is only accepted, and to one that is waited for."""
_FIRST = f"The gateway is at http://{processes.HOST}:"
_LAST = "Ctrl-C stops it.\n"


class Gateway:
    """A gateway with this repository's actor, as `make up` serves it.

    Args:
        pid: of the process.
        lines: what it has printed at its start.
    """

    def __init__(self, pid: int, lines: list[str]) -> None:
        self.pid = pid
        self.port = int(lines[0].removeprefix(_FIRST))
        self._told = {words[0]: words[1:] for line in lines if (words := line.split())}
        self.actor, self.token = self._told["actor"][0], self._told["token"][0]

    @property
    def job(self) -> Document:
        """The job to try it with, which is made where there are no jobs of other pipelines."""
        uuid, *_, token = self._told["job"]
        return {"uuid": uuid, "_update_token": token}

    def client(self) -> httpx.Client:
        """Return a client of its API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://{processes.HOST}:{self.port}"
        return httpx.Client(base_url=url, headers=headers, timeout=SECONDS)

    def update(self, job: Document, *, wait: bool, actor: str = "", event_id: str = "") -> bytes:
        """Return the request that updates a job.

        Args:
            job: with `_update_token`.
            wait: whether it is answered only when the update is in the database.
            actor: by which it is done, by default that of `make up`.
            event_id: by which the actor knows it if it comes again.
        """
        query = {"_abaco_synchronous": "true"} if wait else {}
        query |= {"event_id": event_id} if event_id else {}
        path = f"/actors/v2/{actor or self.actor}/messages?{urlencode(query)}"
        body = {
            "uuid": job["uuid"],
            "name": "update",
            "token": job["_update_token"],
            "data": {"step": 1},
        }
        return post(path, body, self.token)


@contextlib.contextmanager
def gateway(
    jobs: Catalog | None = None, limits: Mapping[str, int] | None = None
) -> Iterator[Gateway]:
    """Run a gateway as `make up` does, in a folder that is removed in the end.

    Args:
        jobs: the catalog that its actor uses; by default, it starts a database of its own.
        limits: those of `abaco.yml` that are not as usual.
    """
    with tempfile.TemporaryDirectory() as name, serving(Path(name), jobs, limits) as started:
        yield started


@contextlib.contextmanager
def serving(
    folder: Path, jobs: Catalog | None = None, limits: Mapping[str, int] | None = None
) -> Iterator[Gateway]:
    """Run a gateway as `gateway` does, in a given folder."""
    settings: dict[str, Any] = {
        "data": ".local/abaco",
        "setup": "local.up",
        "images": str(ROOT / "images.yml"),
        "limits": dict(limits or {}),
    }
    configuration = folder / "abaco.yml"
    configuration.write_text(json.dumps(settings))
    environ = dict(os.environ)
    if jobs is not None:
        environ["_REACTOR_MONGODB_AUTHN"] = jobs.mongodb["authn"]
        environ["_REACTOR_MONGODB_DATABASE"] = jobs.mongodb["database"]
    module = ["abaco", "--config", str(configuration), "serve", "--port", "0"]
    with _running(module, environ, folder / "log") as process:
        yield Gateway(process.pid, _expect(lambda: _lines(folder / "log"), process))


@contextlib.contextmanager
def accepting() -> Iterator[int]:
    """Run the floor of what accepts messages; give its port."""
    port = processes.free_port(0)
    with tempfile.TemporaryDirectory() as name:
        environ = {**os.environ, "DB": f"{name}/floor.db"}
        module = ["uvicorn", "bench.floor_accept:app", "--port", str(port)]
        module += ["--log-level", "warning"]
        with _running(module, environ, Path(name) / "log") as process:
            _expect(lambda: processes.is_open(port), process)
            yield port


@contextlib.contextmanager
def _running(
    module: Sequence[str], environ: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as file:
        command = [sys.executable, "-m", *module]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _lines(log: Path) -> list[str]:
    """Return what a gateway has printed, when it is all of it."""
    text = log.read_text()
    return text.splitlines() if text.startswith(_FIRST) and text.endswith(_LAST) else []


def _expect(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    """Return what a condition returns as soon as it holds."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline or process.poll() is not None:
            sys.exit(f"it does not start: {process.args!r}")
        time.sleep(0.01)
    return value
