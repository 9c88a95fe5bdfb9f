"""A gateway to measure: a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = "abaco.yml"
SECONDS = 120.0
_FIRST = "The gateway is at "


@contextlib.contextmanager
def serving(
    folder: Path,
    settings: Mapping[str, Any],
    images: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
) -> Iterator[list[str]]:
    """Give the lines that a gateway prints at its start.

    Args:
        folder: for its configuration, data and log.
        settings: what `abaco.yml` says.
        images: what `images.yml` says.
        environ: of the process, beside what this one has.
    """
    (folder / "images.yml").write_text(json.dumps(images))
    configuration = folder / CONFIGURATION
    configuration.write_text(json.dumps(settings))
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "abaco", "--config", str(configuration), "serve", "--port", "0"],
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdout=log,
            stderr=log,
        )
        try:
            yield _lines(folder / "log", process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def address_of(lines: list[str]) -> str:
    """Return the base URL."""
    return lines[0].removeprefix(_FIRST)


def _lines(log: Path, process: subprocess.Popen[bytes]) -> list[str]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()
        # all that it has to say is written at once
        if text.startswith(_FIRST) and text.endswith("\n"):
            return text.splitlines()
        time.sleep(0.02)
    sys.exit(f"the gateway does not start: {log.read_text()}")
