"""`doctor`: what works, and what to do where it does not."""

from __future__ import annotations

import typer

from pipelinejobs import output
from pipelinejobs.columns import Column
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import FAILED
from pipelinejobs.output import Format

_COLUMNS = (
    Column("subject"),
    Column("status", whole=True),
    Column("found"),
    Column("remedy", "WHAT TO DO"),
)


def register(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "doctor", "doctor")(doctor)


def doctor(context: typer.Context, output_format: output.Output = Format.table) -> None:
    """Look at settings, database, clocks, permissions, gateway and versions; changes nothing.

    Exit code 1 if something is bad; a warning is not.
    """
    from pipelinejobs import checks  # noqa: PLC0415 - what it looks at takes 90 ms to load

    findings = list(checks.examine(backend_of(context)))
    rows = [found._asdict() for found in findings]
    output.listing(rows, checks.Finding._fields, _COLUMNS, output_format)
    if any(found.status == checks.BAD for found in findings):
        raise typer.Exit(FAILED)
