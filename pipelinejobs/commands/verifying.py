"""`verify`: whether every history tells how its job came to be as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from datacatalog.linkedstores.pipelinejob.replay import verify as verify_job
from pipelinejobs import formatting, output
from pipelinejobs.columns import Column
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import FAILED
from pipelinejobs.output import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from pipelinejobs.backend import Backend
    from pipelinejobs.columns import Row

_COLUMNS = (Column("uuid", "JOB", whole=True, brief=formatting.short), Column("problem"))


def register(group: typer.Typer) -> None:
    """Add the command."""
    command(group, "verify", "verify --output json")(verify)


def verify(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="These; by default all.")
    ] = None,
    output_format: output.Output = Format.table,
) -> None:
    """Replay histories through the state machine; check their order, their gaps and the revision.

    Prints what is off; exit code 1 if anything is.
    """
    backend = backend_of(context)
    problems: list[Row] = []
    checked = events = 0
    total = len(jobs) if jobs else backend.search.count()
    bar, task = output.progress(total)
    with bar:
        for job in _wanted(backend, jobs):
            found = verify_job(backend.jobs, job)
            problems += [{"uuid": found.uuid, "problem": text} for text in found.problems]
            checked, events = checked + 1, events + found.events
            bar.advance(task)
    output.listing(problems, ("uuid", "problem"), _COLUMNS, output_format)
    wrong = len({row["uuid"] for row in problems})
    summary = f"jobs: {checked:,}, events: {events:,}, jobs with problems: {wrong:,}"
    (output.result if output_format is Format.table else output.note)(summary)
    if problems:
        raise typer.Exit(FAILED)


def _wanted(backend: Backend, jobs: list[str] | None) -> Iterator[StoredJob]:
    if not jobs:
        yield from backend.search.everything()
    for job in jobs or []:
        yield backend.jobs.load_deletable(backend.job_uuid(job))
