"""On what is measured: the machine, and the commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path

import psutil

from bench.running import ROOT


def commit(results: Path) -> str:
    """Return which commit is measured, and whether anything but the results was changed since."""
    found = _git("rev-parse", "--short=12", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", f":!{results.relative_to(ROOT)}")
    return f"{found}, with changes" if changes else found or "unknown"


def described() -> str:
    """Return what it runs on."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(": ")[2] for line in cpu.splitlines() if line.startswith("model name")]
    memory = psutil.virtual_memory().total / 1024**3
    return (
        f"{len(os.sched_getaffinity(0))} cores ({(models or [platform.machine()])[0]}), {memory:.0f} GiB,"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def pace() -> float:
    """Return how many milliseconds a fixed piece of work takes, the least of a few times."""
    document = {f"name {n}": [n, str(n), {"deeper": [n] * 20}] for n in range(200)}
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(20):
            json.loads(json.dumps(document))
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken)


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
