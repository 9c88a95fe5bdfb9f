"""`outbox ls`, `outbox drain`."""

from __future__ import annotations

import typer

from pipelinejobs import formatting, in_process, output, subscribing
from pipelinejobs.columns import Column
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import FAILED
from pipelinejobs.output import Format

_COLUMNS = (
    Column("uuid", "JOB", whole=True, brief=formatting.short),
    Column("subscriber", whole=True),
    Column("waiting", whole=True),
    Column("since", whole=True, brief=formatting.ago, room=100),
    Column("due", whole=True, room=100),
    Column("tries", whole=True),
    Column("reason"),
)

_FIELDS = ("uuid", "subscriber", "waiting", "since", "tries", "due", "reason")


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "ls", "outbox ls --output json")(list_waiting)
    command(group, "drain", "outbox drain")(drain)


def list_waiting(
    context: typer.Context,
    limit: common.Limit = 50,
    cursor: common.Cursor = None,
    output_format: output.Output = Format.table,
) -> None:
    """List the jobs of which a subscriber has yet to be told events, and when that is tried again."""
    page = subscribing.waiting(backend_of(context), cursor, limit)
    output.listing(page.rows, _FIELDS, _COLUMNS, output_format)
    if not page.rows:
        output.note("nobody is behind")
    output.more(page.cursor)


def drain(context: typer.Context, output_format: output.Output = Format.table) -> None:
    """Tell what waits, as `python reactor.py drain` does; exit code 1 if something stays.

    It says how many events were told, and of how many jobs something is left.
    """
    told, left = in_process.drain(backend_of(context))
    output.record({"told": told, "left": left}, output_format)
    if left:
        output.note(f"jobs of which events are left: {left}, see `pipelinejobs outbox ls`")
        raise typer.Exit(FAILED)
