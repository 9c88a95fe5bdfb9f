"""`dispatch`: tell the subscribers what happens, until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated

import typer

from pipelinejobs.commands.common import backend_of, command

NICENESS = 10
"""What runs an event goes first."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "dispatch", "dispatch")(dispatch)


def dispatch(
    context: typer.Context,
    parent: Annotated[
        int, typer.Option(help="End when this process has started it and has ended.")
    ] = 0,
) -> None:
    """Tell the subscribers what happens, until it is stopped; `make up` runs it by itself."""
    from manager.subscriptions import service  # noqa: PLC0415 - no other command needs it

    backend = backend_of(context)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    os.nice(NICENESS)
    typer.echo("subscribers are told what happens, until this is stopped")
    sys.stdout.flush()
    service.dispatch(
        backend.reactor(),
        backend.jobs,
        lambda: over.is_set() or bool(parent and os.getppid() != parent),
    )
