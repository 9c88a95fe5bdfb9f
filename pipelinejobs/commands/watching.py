"""`jobs watch`: the jobs to which something happened last, live."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from pipelinejobs import formatting, output
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.commands.jobs import COLUMNS, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from pipelinejobs.output import Row

_SHOWN = ("uuid", "state", "last_event", "updated", "pipeline", "session")
_RECENT = datetime.timedelta(seconds=10)
_ROOM = 5


def register(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "watch", "jobs watch --state RUNNING --interval 5", panel=common.LOOK)(watch)


def watch(
    context: typer.Context,
    states: common.States = None,
    pipeline: common.Pipelines = None,
    limit: common.Limit = 20,
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds between looks.")
    ] = 2.0,
) -> None:
    """Watch the jobs to which something happened last, until Ctrl-C.

    In a pipe, each change is one line.
    """
    backend = backend_of(context)
    wanted = common.filters(backend, states, pipeline)
    screen = output.console()
    most = max(1, min(limit, screen.height - _ROOM)) if screen.is_terminal else limit

    def looks() -> Iterator[list[Row]]:
        while True:
            yield rows_of(backend, wanted, order="updated", cursor=None, limit=most)[0]
            time.sleep(interval)

    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            for rows in looks():
                live.update(_table(rows, screen), refresh=True)
    known: dict[str, Any] = {}
    for rows in looks():
        _print_changes(rows, known)


def _table(rows: list[Row], screen: Console) -> Table:
    now = datetime.datetime.now(datetime.timezone.utc)
    fit = output.fitting(COLUMNS, screen)
    table = output.grid(fit)
    table.caption = Text(f"{now:%Y-%m-%d %H:%M:%S} UTC, Ctrl-C ends", style="dim")
    table.caption_justify = "left"
    for row in rows:
        is_new = now - row["updated"] < _RECENT
        table.add_row(*output.cells(row, fit), style="bold" if is_new else "")
    return table


def _print_changes(rows: list[Row], known: dict[str, Any]) -> None:
    for row in reversed(rows):
        if known.get(row["uuid"]) != row["revision"]:
            cells = (formatting.printable(formatting.shown(row[name])) for name in _SHOWN)
            typer.echo("\t".join(cells))
            known[row["uuid"]] = row["revision"]
