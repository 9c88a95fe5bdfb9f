"""`page`: an address that signs in."""

from __future__ import annotations

import typer

from pipelinejobs import output
from pipelinejobs.commands.common import backend_of, command


def register(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "page", "page")(page)


def page(context: typer.Context) -> None:
    """Print an address of the web page that signs you in once, within ten minutes."""
    typer.echo(backend_of(context).gateway.page())
    output.note("it signs in once, within ten minutes")
