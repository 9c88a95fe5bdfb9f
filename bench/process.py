"""A cold event: `python reactor.py` against a bare script that checks nothing and ends as quickly."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from bench.catalog import Catalog, catalog
from bench.measuring import Bench, Table, alone, at_most
from bench.running import ROOT

MAX_RATIO = 1.1
_FLOOR, _PATIENT = "bare script, quick exit", "bare script that waits for the driver's threads"
_BY_JSON, _BY_URL = "reactor.py, a JSON message", "reactor.py, by the URL"
_NOTE = (
    "A process for each event, from its start until it has ended. The bare script (bare_event.py) imports"
    " the driver and YAML, reads the job and updates it. Medians; so is the ratio of the rounds."
)


class Cost(NamedTuple):
    """Of one process, in seconds."""

    wall: float
    processor: float


def measure(bench: Bench) -> list[Table]:
    """Compare a process of the actor with the floor."""
    with catalog() as jobs:
        ways = _Ways(jobs)
        turns = bench.many(25, 1)
        rounds = [ways.costs(turn) for turn in bench.track(range(turns), "a cold event")]
    rows = []
    for name in rounds[0]:
        wall, processor = (
            statistics.median(column) * 1000
            for column in zip(*(costs[name] for costs in rounds), strict=True)
        )
        ratio = statistics.median(costs[name].wall / costs[_FLOOR].wall for costs in rounds)
        wanted = at_most(ratio, MAX_RATIO) if name in (_BY_JSON, _BY_URL) else ""
        rows.append([name, f"{wall:.0f}", f"{processor:.0f}", f"{ratio:.2f}", wanted])
    columns = ["", "ms", "processor ms", "/ bare", "wanted"]
    return [Table("A cold event", columns, rows, _NOTE)]


class _Ways:
    """What is compared."""

    def __init__(self, jobs: Catalog) -> None:
        uri = jobs.mongodb["authn"]
        self._actor, self._bare = jobs.running_job(), jobs.running_job()
        basis = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        self._for_bare = {**basis, "MONGODB": uri}
        self._for_reactor = {
            **basis,
            "_REACTOR_MONGODB_AUTHN": uri,
            "_REACTOR_MONGODB_DATABASE": jobs.mongodb["database"],
        }

    def costs(self, turn: int) -> dict[str, Cost]:
        """Run each once."""
        script = [sys.executable, "bench/bare_event.py", self._bare["uuid"]]
        command = [sys.executable, "reactor.py"]
        named = {"uuid": self._actor["uuid"], "token": self._actor["_update_token"]}
        message = {"MSG": json.dumps({**named, "name": "update"})}
        by_url = {**named, "event": "update", "MSG": '{"step": 1}'}
        return {
            _FLOOR: _run([*script, "quick"], self._for_bare),
            _BY_JSON: _run(command, self._delivery(message, f"json{turn}")),
            _PATIENT: _run(script, self._for_bare),
            _BY_URL: _run(command, self._delivery(by_url, f"url{turn}")),
        }

    def _delivery(self, message: dict[str, str], execution: str) -> dict[str, str]:
        """Return the environment of the actor for a message that comes for the first time."""
        about = {"_abaco_execution_id": execution, "_abaco_first_attempt": "true"}
        return {**self._for_reactor, **message, **about}


def _run(command: list[str], environ: dict[str, str]) -> Cost:
    """Run a process that has to succeed."""
    with tempfile.TemporaryFile() as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            sys.exit(f"{command}: {log.read().decode()}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    alone(measure)
