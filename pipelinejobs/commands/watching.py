"""`jobs watch`: the jobs to which something happened last, live."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

import typer

from pipelinejobs import formatting
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.commands.jobs import COLUMNS, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.table import Table

    from pipelinejobs.columns import Row

    _Page = Callable[[str | None], tuple[list[Row], str | None]]

_SHOWN = ("uuid", "state", "last_event", "updated", "pipeline", "session")
_RECENT = datetime.timedelta(seconds=10)
_SKEW = datetime.timedelta(seconds=10)
"""By which the clocks of those who write may differ."""
_LONG_AGO = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
_ROOM = 5


def register(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "watch", "jobs watch --state RUNNING --interval 5", panel=common.LOOK)(watch)


def watch(
    context: typer.Context,
    states: common.States = None,
    pipeline: common.Pipelines = None,
    limit: common.Limit = 20,
    interval: common.Interval = 2.0,
) -> None:
    """Watch the jobs to which something happened last, until Ctrl-C.

    In a pipe, each job to which something has happened since the last look is one line.
    """
    from pipelinejobs import drawing  # noqa: PLC0415 - the other commands do without

    backend = backend_of(context)
    wanted = common.filters(backend, states, pipeline)
    screen = drawing.console()
    most = max(1, min(limit, screen.height - _ROOM)) if screen.is_terminal else limit

    def page(cursor: str | None) -> tuple[list[Row], str | None]:
        return rows_of(backend, wanted, order="updated", cursor=cursor, limit=most)

    if screen.is_terminal:
        from rich.live import Live  # noqa: PLC0415 - for a terminal only

        with Live(console=screen, auto_refresh=False) as live:
            while True:
                live.update(_table(page(None)[0], screen), refresh=True)
                time.sleep(interval)
    for rows in _changes(page, interval):
        for row in rows:
            cells = (formatting.printable(formatting.shown(row[name])) for name in _SHOWN)
            typer.echo("\t".join(cells))


def _changes(page: _Page, interval: float) -> Iterator[list[Row]]:
    """Yield the first page, then after each look what has changed, the oldest change first."""
    rows, _ = page(None)
    known = {row["uuid"]: row["revision"] for row in rows}
    yield rows[::-1]
    first = since = max(map(_updated, rows), default=_LONG_AGO)
    while True:
        time.sleep(interval)
        begin = max(first, since - _SKEW)
        rows, cursor = page(None)
        while cursor is not None and all(_updated(row) >= begin for row in rows[-1:]):
            more, cursor = page(cursor)
            rows += more
        recent = [row for row in rows if _updated(row) >= begin]
        yield [row for row in recent[::-1] if known.get(row["uuid"]) != row["revision"]]
        known = {row["uuid"]: row["revision"] for row in recent}
        since = max(map(_updated, recent), default=since)


def _updated(row: Row) -> datetime.datetime:
    """Return when something happened to a job last; a document that others have written may not say it."""
    moment: datetime.datetime = row["updated"] or _LONG_AGO
    return moment


def _table(rows: list[Row], screen: Console) -> Table:
    from rich.text import Text  # noqa: PLC0415 - for a terminal only

    from pipelinejobs import drawing  # noqa: PLC0415 - as above

    now = datetime.datetime.now(datetime.timezone.utc)
    fit = drawing.fitting(COLUMNS, screen)
    table = drawing.grid(fit)
    table.caption = Text(f"{now:%Y-%m-%d %H:%M:%S} UTC, Ctrl-C ends", style="dim")
    table.caption_justify = "left"
    for row in rows:
        is_new = now - _updated(row) < _RECENT
        table.add_row(*drawing.cells(row, fit), style="bold" if is_new else "")
    return table
