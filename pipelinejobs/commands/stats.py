"""`stats`, `stats rebuild`."""

from __future__ import annotations

import datetime
from collections import Counter
from enum import Enum
from typing import Annotated, Any

import typer

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.statistics.reader import Period
from pipelinejobs import figures, formatting, output, parsing
from pipelinejobs.columns import Column
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import FAILED, UsageError
from pipelinejobs.output import Format

_DAY = datetime.timedelta(days=1)
_TIMES = ("median_seconds", "p95_seconds", "wait_seconds")
_COUNTS = tuple(Column(name, whole=True) for name in ("created", "started", "finished", "failed"))
_MORE = (
    Column("failure_rate", "FAILED %", whole=True),
    Column("median_seconds", "MEDIAN", whole=True),
    Column("p95_seconds", "P95", whole=True),
    Column("wait_seconds", "WAIT", whole=True),
    Column("events", whole=True),
    Column("refused", whole=True),
)


class By(str, Enum):
    """What is counted apart."""

    pipeline = "pipeline"
    state = "state"
    hour = "hour"


_COLUMNS = {
    By.pipeline: (Column("pipeline"), *_COUNTS, *_MORE, Column("ended", whole=True)),
    By.hour: (Column("since", whole=True), *_COUNTS, *_MORE),
    By.state: (
        Column("state", whole=True),
        Column("jobs", "JOBS NOW", whole=True),
        Column("came", whole=True),
        Column("left", whole=True),
        Column("median_seconds", "MEDIAN", whole=True),
        Column("p95_seconds", "P95", whole=True),
    ),
}
_FIELDS = {kind: [column.key for column in columns] for kind, columns in _COLUMNS.items()}
_FIELDS[By.pipeline].insert(1, "pipeline_uuid")
group = typer.Typer(
    name="stats",
    invoke_without_command=True,
    epilog="Example: `pipelinejobs stats --since 7d`",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="stats")


@group.callback()
def stats(
    context: typer.Context,
    by: Annotated[By, typer.Option(help="What is counted apart.")] = By.pipeline,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="From when on: an age, such as 7d, or a date.")
    ] = "1d",
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Until when; by default now.")
    ] = None,
    pipelines: common.Pipelines = None,
    output_format: output.Output = Format.table,
) -> None:
    """Show how the pipelines are doing: what started, finished and failed, and how long it took.

    A time of up to two days is divided into hours, a longer one into days; `--by hour` shows each of them.
    """
    if context.invoked_subcommand is not None:
        return
    backend = backend_of(context)
    common.catch_up(backend)
    # what is later has not happened
    end = min(parsing.moment_of("--until", until) or now(), now() + _DAY)
    begin = parsing.moment_of("--since", since) or end
    if begin > end:
        message = f"--since {since} is after --until {until or 'now'}"
        raise UsageError(message)
    period = Period.of(begin, end)
    uuids = [backend.pipeline_uuid(name) for name in pipelines or []]
    cells = backend.statistics.cells(period, uuids)
    if by is By.pipeline:
        rows = figures.pipeline_rows(backend, figures.by_pipeline(cells, period))
    elif by is By.hour:
        rows = figures.span_rows(cells, period)
    else:
        every = backend.statistics.states().items()
        there = [states for uuid, states in every if not uuids or uuid in uuids]
        rows = figures.state_rows(cells, sum(there, Counter()))
    if output_format is Format.table:
        rows = [_for_people(row) for row in rows]
    output.listing(rows, _FIELDS[by], _COLUMNS[by], output_format)
    whole = f"from {period.since:%Y-%m-%d %H:%M} to {period.until:%Y-%m-%d %H:%M} UTC, in whole {period.span}s"
    if not rows:
        output.note(f"nothing has happened {whole}")
    elif output_format is Format.table:
        # a program knows what it has asked for, and cron would mail it each time
        output.note(whole)


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    shown = dict(row)
    for name in _TIMES:
        if row.get(name) is not None:
            shown[name] = formatting.duration(row[name])
    if row.get("failure_rate") is not None:
        shown["failure_rate"] = figures.share(row["failure_rate"])
    if "ended" in row:
        shown["ended"] = figures.sparkline(row["ended"])
    return shown


def rebuild(context: typer.Context, output_format: output.Output = Format.table) -> None:
    """Count everything again, from the histories of all jobs.

    Use it when you doubt a number. Where a dispatcher runs, it does the counting; what happens meanwhile is
    told to subscribers when it is done.
    """
    from manager.subscriptions import service  # noqa: PLC0415 - as in `dispatching`

    backend = backend_of(context)
    done = service.catch_up(backend.reactor(), backend.jobs, rebuild=True)
    counted = backend.statistics.ever().values()
    jobs, events = sum(each.created for each in counted), sum(e.events.total() for e in counted)
    output.record({"jobs": jobs, "events": events}, output_format)
    if not done:
        output.note("not everything is counted yet: try again later")
        raise typer.Exit(FAILED)


command(group, "rebuild", "stats rebuild")(rebuild)
