"""The dispatcher: a process that tells the subscribers what happens, until it is stopped.

Beside a gateway it runs as `python -m pipelinejobs.dispatcher FOLDER PARENT`, and so without the command line:
what that takes would be 6 MiB of memory for nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from abaco.loading import INTERRUPTED, uncollected

with uncollected():
    from manager.subscriptions import service
    from pipelinejobs.backend import Backend
    from pipelinejobs.exit_codes import explain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

NICENESS = 10
"""What runs an event goes first."""
_AGAIN_SECONDS = 1.0
"""After which a second Ctrl-C was pressed by somebody who does not want to wait."""


class _Stop:
    """Takes SIGTERM and Ctrl-C, so that what is being told is noted before the process ends."""

    def __init__(self) -> None:
        self.number = 0
        self._since = 0.0
        signal.signal(signal.SIGTERM, self._note)
        # where it is ignored, as behind `nohup`, it stays so
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        moment = time.monotonic()
        if not self.number:
            self.number, self._since = number, moment
        elif number == signal.SIGINT and moment - self._since > _AGAIN_SECONDS:
            os._exit(INTERRUPTED)


def run(backend: Backend, parent: int = 0) -> None:
    """Tell the subscribers what happens, until SIGTERM, or until a process has ended that has started this one.

    Args:
        backend: whose jobs.
        parent: the id of that process; 0 where there is none.

    Raises:
        KeyboardInterrupt: Ctrl-C has stopped it; all is noted. Pressed again, it ends the process at once.
    """
    stop = _Stop()
    os.nice(NICENESS)
    service.dispatch(
        backend.reactor(),
        backend.jobs,
        lambda: bool(stop.number or (parent and os.getppid() != parent)),
    )
    if stop.number == signal.SIGINT:
        raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Be the dispatcher of a gateway; return the exit code.

    Args:
        arguments: the folder of `make up`, and the id of the process that has started this one.
    """
    folder, parent = arguments
    backend = Backend(Path(folder))
    try:
        run(backend, int(parent))
    except Exception as error:  # noqa: BLE001 - as the command line does
        code, text = explain(error, backend)
        sys.stderr.write(f"ERROR {text}\n")
        return code
    return 0


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    # at once: a subscriber that has not answered yet is told again by the next dispatcher
    os._exit(exit_code)
