"""`jobs open`, `jobs logs`: what the gateway knows of a job."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from pipelinejobs import formatting, output
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import CommandError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "logs", "jobs logs $JOB", panel=common.LOOK)(logs)
    command(group, "open", "jobs open $JOB", panel=common.LOOK)(open_page)


def open_page(context: typer.Context, job: common.Job) -> None:
    """Print an address of the job's page that signs you in once; open it where there is a browser."""
    backend = backend_of(context)
    uuid = str(backend.jobs.load_deletable(backend.job_uuid(job))["uuid"])
    address = urlsplit(backend.gateway.page())._replace(path=f"/jobs/{uuid}").geturl()
    typer.echo(address)
    if not (sys.stdout.isatty() and webbrowser.open(address)):
        output.note("it signs in once, within ten minutes")


def logs(context: typer.Context, job: common.Job) -> None:
    """Print the logs of the executions that brought the events of a job, oldest first."""
    backend = backend_of(context)
    stored = backend.jobs.load_deletable(backend.job_uuid(job))
    brought = _by_execution(backend.search.entries(stored, data=False))
    unknown = brought.pop(None, [])
    for execution, entries in brought.items():
        names = ", ".join(str(entry["name"]) for entry in entries)
        date = formatting.plain(entries[0]["date"])
        typer.echo(formatting.printable(f"== {date}  {names}  execution {execution}"))
        try:
            found = backend.gateway.ask("GET", backend.actor, "executions", str(execution), "logs")
        except Unreachable:
            raise
        except CommandError as error:
            output.note(f"its log is not there: {error}")
        else:
            for line in str(found["logs"]).splitlines():
                typer.echo(formatting.printable(line))
    if unknown:
        names = ", ".join(dict.fromkeys(str(entry.get("name")) for entry in unknown))
        output.note(
            f"without a log, since no execution brought them: {len(unknown)} ({names}). "
            "`make up` made them, or they were written straight to the database, as --direct and "
            "other actors do"
        )
    if not brought:
        output.note(
            "what the gateway brings has a log: try "
            f"`pipelinejobs jobs send update {stored['uuid']}`, and then this again"
        )


def _by_execution(
    entries: Iterable[Mapping[str, Any]],
) -> dict[str | None, list[Mapping[str, Any]]]:
    """Return entries by the execution that brought them, in the order in which these came."""
    found: dict[str | None, list[Mapping[str, Any]]] = {}
    for entry in entries:
        found.setdefault(entry["execution"], []).append(entry)
    return found
