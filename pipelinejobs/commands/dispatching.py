"""`dispatch`: tell the subscribers what happens, until it is stopped."""

from __future__ import annotations

import sys

import typer

from pipelinejobs.commands.common import backend_of, command


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "dispatch", "dispatch")(dispatch)


def dispatch(context: typer.Context) -> None:
    """Tell the subscribers what happens, until it is stopped; `make up` runs it by itself."""
    from pipelinejobs import dispatcher  # noqa: PLC0415 - no other command needs it

    backend = backend_of(context)
    # where there is no database, it ends here
    backend.jobs.untold.holder()
    typer.echo("subscribers are told what happens, until this is stopped")
    sys.stdout.flush()
    dispatcher.run(backend)
