"""What does `python reactor.py` cost for one event, against a bare script that checks nothing?"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.progress import track

from bench.catalog import catalog

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 25
MOST_RATIO = 1.5
Sample = tuple[float, float]


def run(command: list[str], environ: dict[str, str]) -> Sample:
    """Return the wall-clock and processor seconds of a process that has to succeed."""
    with tempfile.TemporaryFile() as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            sys.exit(f"{command}: {log.read().decode()}")
    return seconds, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the ratios."""
    samples: dict[str, list[Sample]] = {"JSON": [], "URL": [], "bare": [], "bare, quick exit": []}
    with catalog() as jobs:
        uri = jobs.mongodb["authn"]
        basis = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        actor, bare = jobs.running_job(), jobs.running_job()
        script = [sys.executable, "bench/bare_event.py", bare["uuid"]]
        for turn in track(range(ROUNDS), description="in turn"):
            reactor = {
                **basis,
                "_REACTOR_MONGODB_AUTHN": uri,
                "_REACTOR_MONGODB_DATABASE": "bench",
            }
            event = {"uuid": actor["uuid"], "name": "update", "token": actor["_update_token"]}
            by_url = {"event": "update", "uuid": actor["uuid"], "token": actor["_update_token"]}
            command = [sys.executable, "reactor.py"]
            json_environ = {
                **reactor,
                "MSG": json.dumps(event),
                "_abaco_execution_id": f"json{turn}",
            }
            url_environ = {
                **reactor,
                **by_url,
                "MSG": '{"step": 1}',
                "_abaco_execution_id": f"url{turn}",
            }
            samples["JSON"].append(run(command, json_environ))
            samples["bare"].append(run(script, {**basis, "MONGODB": uri}))
            samples["URL"].append(run(command, url_environ))
            samples["bare, quick exit"].append(run([*script, "quick"], {**basis, "MONGODB": uri}))
    for name, measured in samples.items():
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*measured, strict=True))
        print(f"{name:>17}: {wall:5.0f} ms wall clock, {cpu:5.0f} ms processor (medians)")
    for ours in ("JSON", "URL"):
        for theirs in ("bare", "bare, quick exit"):
            pairs = zip(samples[ours], samples[theirs], strict=True)
            ratios = [(a[0] / b[0], a[1] / b[1]) for a, b in pairs]
            wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
            print(f"ratio {ours:>4} / {theirs}: wall clock {wall:.2f}, processor {cpu:.2f}")
    print(f"(at most {MOST_RATIO} is wanted)")


if __name__ == "__main__":
    main()
