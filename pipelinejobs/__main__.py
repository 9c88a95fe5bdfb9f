"""`pipelinejobs`, also as `python -m pipelinejobs`; Ctrl-C ends it without a trace from the start."""

from __future__ import annotations

from typing import NoReturn

from abaco.loading import ended_quietly


def run() -> NoReturn:
    """Be the command: run what the arguments say and end with its exit code."""
    with ended_quietly():
        from pipelinejobs import app  # noqa: PLC0415 - loading it takes a third of a second
    app.run()


if __name__ == "__main__":
    run()
