"""What shows jobs: `jobs ls`, `stuck`, `show`, `history`, `graph`."""

from __future__ import annotations

import contextlib
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datacatalog import documents
from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.pipelinejob import fsm
from datacatalog.linkedstores.pipelinejob.history import moved
from datacatalog.linkedstores.pipelinejob.naming import title_of
from datacatalog.linkedstores.pipelinejob.replay import DAMAGE, unreadable
from pipelinejobs import (
    failures,
    figures,
    formatting,
    graph,
    output,
    stuck,
)
from pipelinejobs.backend import HIDDEN_REMEDY
from pipelinejobs.columns import WIDE, Column
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import CommandError, UsageError
from pipelinejobs.output import Format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datacatalog.linkedstores.pipelinejob.search import Filters
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document
    from pipelinejobs.backend import Backend
    from pipelinejobs.columns import Row

COLUMNS = (
    Column("uuid", whole=True, brief=formatting.short),
    Column("state", whole=True),
    Column("last_event", whole=True, room=100),
    Column("updated", whole=True, brief=formatting.ago),
    Column("created", whole=True, brief=formatting.ago, room=WIDE),
    Column("title"),
    Column("pipeline"),
    Column("session", room=WIDE),
)
_STUCK = (
    Column("uuid", whole=True, brief=formatting.short),
    Column("state", whole=True),
    Column("quiet_seconds", "QUIET FOR", whole=True),
    Column("usual_seconds", "95 % LEAVE WITHIN", whole=True),
    Column("title"),
    Column("pipeline"),
)
FIELDS = (
    *("uuid", "title", "state", "last_event", "updated", "created", "revision", "pipeline"),
    *("pipeline_uuid", "session", "owner", "archive_system", "archive_path", "agent", "task"),
    "hidden",
)
"""What a listing knows of a job."""
_ENTRY = ("position", "date", "name", "data", "uuid", "state", "revision", "sender", "execution")
SEARCH_SECONDS = 10.0


class Order(str, Enum):
    """Which jobs come first."""

    created = "created"
    updated = "updated"


class Drawing(str, Enum):
    """What a state machine is drawn as."""

    text = "text"
    mermaid = "mermaid"
    svg = "svg"


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "ls", "jobs ls --state RUNNING --idle 1d", panel=common.LOOK)(list_jobs)
    command(group, "stuck", "jobs stuck --pipeline tacobot:9000", panel=common.LOOK)(list_stuck)
    command(group, "show", "jobs show $JOB --output json", panel=common.LOOK)(show)
    command(group, "history", "jobs history $JOB --limit 20", panel=common.LOOK)(history)
    command(group, "graph", "jobs graph $JOB --format svg --to ~/job.svg", panel=common.LOOK)(draw)


def list_jobs(
    context: typer.Context,
    states: common.States = None,
    pipeline: common.Pipelines = None,
    session: common.Sessions = None,
    owner: common.Owners = None,
    newer: common.Newer = None,
    older: common.Older = None,
    idle: common.Idle = None,
    active: common.Active = None,
    text: common.Containing = "",
    hidden: common.Hidden = False,
    columns: Annotated[
        str, typer.Option(metavar="NAMES", help="What to show, with commas in between.")
    ] = "",
    sort: Annotated[Order, typer.Option(help="By which date.")] = Order.created,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="The oldest first, not the newest.")
    ] = False,
    limit: common.Limit = 50,
    cursor: common.Cursor = None,
    output_format: output.Output = Format.table,
) -> None:
    """List jobs, the newest first, or the oldest.

    With `--cursor` from the page before, the next page of jobs by creation is what it would have
    been then, whatever is added meanwhile.
    """
    backend = backend_of(context)
    shown = _columns(columns)
    wanted = common.filters(
        backend,
        states,
        pipeline,
        sessions=session,
        owners=owner,
        newer=newer,
        older=older,
        idle=idle,
        active=active,
        text=text,
        hidden=hidden,
    )
    rows, following = rows_of(
        backend,
        wanted,
        order=sort.value,
        oldest_first=oldest_first,
        cursor=cursor,
        limit=limit,
    )
    if columns:
        rows = [{column.key: row[column.key] for column in shown} for row in rows]
    fields = [column.key for column in shown] if columns else FIELDS
    output.listing(rows, fields, shown, output_format)
    if not rows:
        output.note(
            "no job matches these filters" if following is None else "none was found so far"
        )
    output.more(following)


def list_stuck(
    context: typer.Context,
    pipeline: common.Pipelines = None,
    output_format: output.Output = Format.table,
) -> None:
    """List jobs to which nothing has happened for longer than is usual, the longest quiet first.

    Usual is the time within which 95 % of the jobs of the same pipeline have left the same state, if
    that is known of at least five.
    """
    backend = backend_of(context)
    common.catch_up(backend)
    uuids = [backend.pipeline_uuid(name) for name in pipeline or []]
    found = [job for job in stuck.find(backend) if not uuids or job.get("pipeline_uuid") in uuids]
    names = backend.search.pipeline_names(str(job.get("pipeline_uuid")) for job in found)
    shown = formatting.duration if output_format is Format.table else figures.rounded
    rows = [
        {
            **_row(job, names),
            "quiet_seconds": shown(job["quiet"]),
            "usual_seconds": shown(job["usual"]),
        }
        for job in found
    ]
    fields = (*FIELDS, "quiet_seconds", "usual_seconds")
    output.listing(rows, fields, _STUCK, output_format)
    if not rows:
        output.note("no job is quiet for unusually long")


def _columns(names: str) -> Sequence[Column]:
    """Return the columns that somebody has named, or the usual ones."""
    if not names:
        return COLUMNS
    known = {column.key: column._replace(room=0) for column in COLUMNS}
    chosen = [name.strip().lower() for name in names.split(",")]
    for name in chosen:
        if name not in FIELDS:
            problem = f"there is no column {name!r:.40}: use some of {', '.join(FIELDS)}"
            raise UsageError(problem)
    return [known.get(name, Column(name)) for name in chosen]


def rows_of(
    backend: Backend,
    wanted: Filters,
    *,
    order: str,
    oldest_first: bool = False,
    cursor: str | None,
    limit: int,
) -> tuple[list[Row], str | None]:
    """Return a page of jobs as rows, and the cursor of the next."""
    seconds = SEARCH_SECONDS if wanted.text else None
    page = backend.search.jobs(
        wanted,
        order=order,
        oldest_first=oldest_first,
        cursor=cursor,
        limit=limit,
        seconds=seconds,
    )
    names = backend.search.pipeline_names(str(row.get("pipeline_uuid")) for row in page.rows)
    return [_row(row, names) for row in page.rows], page.cursor


def _row(job: Document, names: dict[str, str]) -> Row:
    pipeline_uuid = str(job.get("pipeline_uuid"))
    return {
        "uuid": job["uuid"],
        "title": job.get("title"),
        "state": job.get("state"),
        "last_event": job.get("last_event"),
        "updated": job.get("updated"),
        "created": documents.value_at(job, "_properties", "created_date"),
        "revision": documents.value_at(job, "_properties", "revision"),
        "pipeline": names.get(pipeline_uuid, pipeline_uuid),
        "pipeline_uuid": pipeline_uuid,
        "session": job.get("session"),
        "owner": documents.value_at(job, "_admin", "owner"),
        "archive_system": job.get("archive_system"),
        "archive_path": job.get("archive_path"),
        "agent": job.get("agent"),
        "task": job.get("task"),
        "hidden": job.get(VISIBLE) is False,
    }


def show(
    context: typer.Context, job: common.Job, output_format: output.Output = Format.table
) -> None:
    """Show a job, hidden or not: why it failed, its fields, what it may do next, what waits for it.

    A table leaves out what is empty.
    """
    backend = backend_of(context)
    stored = backend.jobs.load_deletable(backend.job_uuid(job))
    row = _details(backend, stored)
    if output_format is Format.table:
        row = {name: value for name, value in row.items() if value not in (None, "", [])}
    output.record(row, output_format)
    if output_format is Format.table and row["hidden"]:
        output.note(HIDDEN_REMEDY.format(stored["uuid"]))


def _details(backend: Backend, stored: StoredJob) -> Row:
    links = ("child_of", "acted_on", "acted_using", "archive_patterns", "product_patterns")
    with _reading(stored):
        names = backend.search.pipeline_names([str(stored.get("pipeline_uuid"))])
        public = backend.jobs.public(stored)
        refused = backend.search.rejected(job_uuid=stored["uuid"], limit=1000)
        more = {
            "allowed": [] if stored.get(VISIBLE) is False else fsm.allowed_events(stored["state"]),
            "entries": moved(stored) + len(stored.get("history", [])),
            "refused": len(refused.rows),
            "waiting": backend.jobs.untold.waiting_of(stored),
            **{name: public.get(name) for name in links},
            "data": public.get("data"),
        }
        failure = failures.of(stored, reversed(public["history"]))
        why = {} if failure is None else {"failure": failure.message, "trace": failure.trace}
        row = _row({**public, "title": title_of(public)}, names)
        first = {name: row[name] for name in ("uuid", "title", "state")}
        return {**first, **why, **row, **more}


@contextlib.contextmanager
def _reading(stored: StoredJob) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        message = f"job {stored['uuid']} {unreadable(error)}: see its document in the database"
        raise CommandError(message) from error


def history(
    context: typer.Context,
    job: common.Job,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 100,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")
    ] = False,
    interval: common.Interval = 1.0,
    output_format: output.Output = Format.table,
) -> None:
    """Show the history of a job, oldest entry first, also what has moved out of its document.

    While it follows, JSON is one object a line.
    """
    backend = backend_of(context)
    uuid = backend.job_uuid(job)
    stored = backend.jobs.load_deletable(uuid)
    with _reading(stored):
        count = moved(stored) + len(stored.get("history", []))
        skip = 0 if every else max(0, count - limit)
        if not follow:
            _print_entries(backend.search.entries(stored, skip), output_format)
            return
    if output_format is Format.csv:
        message = "--follow goes with --output table or json"
        raise UsageError(message)
    while True:
        with _reading(stored):
            for entry in backend.search.entries(stored, skip):
                _print_line(entry, output_format)
                skip = entry["position"] + 1
        sys.stdout.flush()
        time.sleep(interval)
        stored = backend.jobs.load_deletable(uuid)


def _print_entries(entries: Iterator[dict[str, Any]], output_format: Format) -> None:
    if output_format is Format.table:
        for entry in entries:
            _print_line(entry, output_format)
    else:
        output.listing(entries, _ENTRY, (), output_format)


def _print_line(entry: dict[str, Any], output_format: Format) -> None:
    if output_format is Format.json:
        sys.stdout.write(formatting.as_json(entry) + "\n")
        return
    from pipelinejobs import drawing  # noqa: PLC0415 - JSON does without

    drawing.history_line(entry)


def draw(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="The job; none: no path.")
    ] = None,
    form: Annotated[Drawing, typer.Option("--format", help="As what.")] = Drawing.text,
    to: Annotated[
        Path | None, typer.Option(callback=common.file_named, help="A file to write to; or -.")
    ] = None,
) -> None:
    """Draw the state machine, and in it the path of a job."""
    backend = backend_of(context)
    path = graph.Path()
    if job is not None:
        stored = backend.jobs.load_deletable(backend.job_uuid(job))
        with _reading(stored):
            path = graph.Path.of(backend.search.path(stored))
    if form is Drawing.svg:
        from pipelinejobs import state_diagram  # noqa: PLC0415 - the other commands do without

        text = state_diagram.svg(path)
    else:
        text = graph.mermaid(path) if form is Drawing.mermaid else graph.text(path)
    if to is None or str(to) == "-":
        sys.stdout.write(text)
    else:
        with output.writing(to):
            to.write_text(text, encoding="utf-8")
        output.note(f"written to {to}")
