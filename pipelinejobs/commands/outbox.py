"""`outbox ls`, `outbox drain`."""

from __future__ import annotations

import typer

from pipelinejobs import deeds, output
from pipelinejobs.commands import common
from pipelinejobs.commands.common import command, site_of
from pipelinejobs.exceptions import FAILED
from pipelinejobs.output import Column, Format

_COLUMNS = (
    Column("uuid", "JOB", whole=True),
    Column("waiting", whole=True),
    Column("oldest", whole=True),
    Column("due", whole=True),
    Column("tries", whole=True),
    Column("removed", whole=True),
)


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "ls", "outbox ls --output json")(list_outboxes)
    command(group, "drain", "outbox drain")(drain)


def list_outboxes(
    context: typer.Context,
    limit: common.Limit = 50,
    cursor: common.Cursor = None,
    output_format: output.Output = Format.table,
) -> None:
    """List the jobs with events that have yet to be announced, and when that is tried again."""
    search = site_of(context).search
    removed = [] if cursor is not None else search.outboxes(removed=True, limit=limit).rows
    page = search.outboxes(cursor=cursor, limit=limit)
    output.listing([*removed, *page.rows], _COLUMNS, output_format)
    if not page.rows and not removed:
        output.note("nothing waits to be announced")
    output.more(page.cursor)


def drain(context: typer.Context, output_format: output.Output = Format.table) -> None:
    """Announce what waits, as `python reactor.py drain` does; exit code 1 if something stays."""
    emptied, left = deeds.drain(site_of(context))
    output.record({"emptied": emptied, "left": left}, output_format)
    if left:
        raise typer.Exit(FAILED)
