"""`refused ls`, `refused retry`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from datacatalog.linkedstores.pipelinejob import UnknownJob, UnknownRejection
from manager.exceptions import Refusal
from pipelinejobs import formatting, in_process, output, parsing
from pipelinejobs.columns import Column
from pipelinejobs.commands import common, several
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import CommandError, UsageError
from pipelinejobs.output import Format

if TYPE_CHECKING:
    from pipelinejobs.backend import Backend
    from pipelinejobs.columns import Row

_COLUMNS = (
    Column("uuid", "JOB", whole=True, brief=formatting.short),
    Column("date", whole=True, brief=formatting.ago),
    Column("event", whole=True),
    Column("state", whole=True),
    Column("reason", room=100),
    Column("id", whole=True, brief=formatting.short),
)
_WITH_SETTLED = (*_COLUMNS[:-1], Column("applied", whole=True, brief=formatting.ago), _COLUMNS[-1])
_FIELDS = ("id", "uuid", "date", "event", "data", "state", "reason", "execution_id", "applied")
_OUTCOME = (*several.FIELDS, "id")
JobOption = Annotated[str | None, typer.Option("--job", help="Of this job.")]
EventOption = Annotated[str | None, typer.Option("--event", help="Of this name.")]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "ls", "refused ls --event finish")(list_refused)
    command(group, "retry", "refused retry --job $JOB")(retry)


def list_refused(
    context: typer.Context,
    job: JobOption = None,
    event: EventOption = None,
    settled: Annotated[
        bool, typer.Option("--settled", help="Also those that were applied since.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Since when: an age, such as 7d, or a date.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Before when.")] = None,
    limit: common.Limit = 50,
    cursor: common.Cursor = None,
    output_format: output.Output = Format.table,
) -> None:
    """List the events that the state of a job did not allow, the newest first."""
    backend = backend_of(context)
    after = parsing.moment_of("--since", since)
    before = parsing.moment_of("--until", until)
    if after is not None and before is not None and after > before:
        message = f"--since {since} is after --until {until}"
        raise UsageError(message)
    page = backend.search.rejected(
        job_uuid=None if job is None else backend.job_uuid(job),
        event=None if event is None else parsing.event(event),
        settled=settled,
        after=after,
        before=before,
        cursor=cursor,
        limit=limit,
    )
    columns = _WITH_SETTLED if settled else _COLUMNS
    output.listing(page.rows, _FIELDS, columns, output_format)
    if not page.rows:
        output.note("no event waits for a retry")
    output.more(page.cursor)


def retry(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="As `refused ls` shows them, or their beginnings."),
    ] = None,
    job: JobOption = None,
    event: EventOption = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    meant: Annotated[
        str | None, typer.Option("--as", help="The event that an unreadable report stands for.")
    ] = None,
    output_format: output.Output = Format.table,
) -> None:
    """Apply events that were refused, the oldest first, as the deliveries that they were.

    Exit code 1 if one of them is refused again.
    """
    backend = backend_of(context)
    if bool(ids) == bool(job or event or every):
        problem = "give either" if ids else "nothing is chosen: give"
        message = f"{problem} IDs, or --job, --event or --all"
        raise UsageError(message)
    named = None if meant is None else parsing.event(meant)
    if ids:
        chosen = [*dict.fromkeys(backend.rejected_id(name) for name in ids)]
    else:
        chosen = _chosen(backend, job, event)
    if not chosen:
        output.note("no event waits for a retry")
    several.for_each(
        chosen, lambda rejected_id: _outcome(backend, rejected_id, named), output_format, _OUTCOME
    )


def _chosen(backend: Backend, job: str | None, event: str | None) -> list[str]:
    """Return the ids of all events that are meant, the oldest first."""
    uuid = None if job is None else backend.job_uuid(job)
    name = None if event is None else parsing.event(event)
    found: list[str] = []
    cursor = None
    while True:
        page = backend.search.rejected(job_uuid=uuid, event=name, cursor=cursor, limit=1000)
        found += [row["id"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return found[::-1]


def _outcome(backend: Backend, rejected_id: str, event: str | None) -> Row:
    uuid, name, outcome = None, event, "applied"
    try:
        row = backend.jobs.load_rejected(rejected_id)
        uuid, name = row["uuid"], row["event"]["name"] or event
        # where there is none, the manager says so
        with contextlib.suppress(UnknownJob):
            backend.visible_head(row["uuid"])
        detail = f"state {in_process.retry(backend, rejected_id, event)['state']}"
    except several.SAME_FOR_ALL:
        raise
    except (CommandError, Refusal, UnknownRejection) as refusal:
        outcome, detail = several.REFUSED, str(refusal)
    return {"uuid": uuid, "event": name, "outcome": outcome, "detail": detail, "id": rejected_id}
