"""The dispatcher beside the gateway: started, started again when it ends, stopped at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_SECONDS = 5.0
_MAX_PAUSE = 30.0
_WELL_SECONDS = 60.0
"""After which the end of a dispatcher has nothing to do with those before."""
_logger = logging.getLogger(__name__)


class DispatcherSupervisor:
    """Keeps a dispatcher running while the gateway does.

    Args:
        folder: of `make up`.
        environ: what the dispatcher is to know.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "pipelinejobs.dispatcher", str(folder)]
        self._command += [str(os.getpid())]
        self._environ = {**os.environ, **environ}
        self._closing = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._attend, name="dispatcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._closing.set()
        self._thread.join()

    def _start(self) -> subprocess.Popen[bytes]:
        # a Ctrl-C is for the gateway, which stops it in its turn
        return subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _attend(self) -> None:
        pause, began = 1.0, time.monotonic()
        while not self._closing.wait(0.2):
            if (code := self._process.poll()) is None:
                continue
            if time.monotonic() - began > _WELL_SECONDS:
                pause = 1.0
            _logger.warning("the dispatcher ended with %d and is started again", code)
            if self._closing.wait(pause):
                break
            pause, began = min(_MAX_PAUSE, pause * 2), time.monotonic()
            with contextlib.suppress(OSError):  # it is tried again after the next pause
                self._process = self._start()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
            return
        self._process.kill()
        self._process.wait()
