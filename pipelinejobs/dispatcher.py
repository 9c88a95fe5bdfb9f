"""The dispatcher: a process that tells the subscribers what happens, until it is stopped.

Beside a gateway it runs as `python -m pipelinejobs.dispatcher FOLDER PARENT`, and so without the command line:
what that takes would be 6 MiB of memory for nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from manager.subscriptions import service
from pipelinejobs.backend import Backend
from pipelinejobs.exit_codes import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

NICENESS = 10
"""What runs an event goes first."""


def run(backend: Backend, parent: int = 0) -> None:
    """Tell the subscribers what happens, until SIGTERM, or until a process has ended that has started this one.

    Args:
        backend: whose jobs.
        parent: the id of that process; 0 where there is none.
    """
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    os.nice(NICENESS)
    service.dispatch(
        backend.reactor(),
        backend.jobs,
        lambda: over.is_set() or bool(parent and os.getppid() != parent),
    )


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
