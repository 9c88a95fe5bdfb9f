"""`pipelinejobs`, also as `python -m pipelinejobs`; Ctrl-C ends it without a trace from the start."""

from __future__ import annotations

import sys
from typing import NoReturn

from abaco.loading import ended_quietly, uncollected


def run() -> NoReturn:
    """Be the command: run what the arguments say and end with its exit code."""
    with ended_quietly(), uncollected():
        # loading takes long; `report`, a part of each step of a pipeline, needs little of it
        if sys.argv[1:2] == ["report"]:
            from pipelinejobs.commands.reporting import run as start  # noqa: PLC0415 - what it needs, no more
        else:
            from pipelinejobs.app import command_of  # noqa: PLC0415 - `report` does without
            from pipelinejobs.app import run as start  # noqa: PLC0415 - likewise

            command_of(sys.argv[1:])
    start()


if __name__ == "__main__":
    run()
