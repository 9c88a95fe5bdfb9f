"""What commands have in common: their examples, their backend, some of their options."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS, STATES
from datacatalog.linkedstores.pipelinejob.search import Filters
from pipelinejobs import output, parsing

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelinejobs.backend import Backend

Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option(help="The cursor that the page before printed.")]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Its uuid or the beginning of it, its title or its session."
    ),
]
Jobs = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB...",
        help="Their uuids or the beginnings of them, titles or sessions; `-`: from standard input, one a line.",
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="In this state; may be repeated.",
        autocompletion=lambda: list(STATES),
    ),
]
Pipelines = Annotated[
    list[str] | None,
    typer.Option("--pipeline", help="Of the pipeline with this uuid or id; may be repeated."),
]
Sessions = Annotated[
    list[str] | None, typer.Option("--session", help="Of this session; may be repeated.")
]
Owners = Annotated[
    list[str] | None, typer.Option("--owner", help="Of this owner; may be repeated.")
]
Newer = Annotated[
    str | None,
    typer.Option(
        "--since",
        "--newer",
        metavar="WHEN",
        help="Created since 2h ago, or a date and time in UTC.",
    ),
]
Older = Annotated[
    str | None,
    typer.Option(
        "--until", "--older", metavar="WHEN", help="Created before, such as 3d or 2030-01-31."
    ),
]
Idle = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN", help="Without an event for this long, or since, such as 15m or 2030-01-31."
    ),
]
Active = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Whose last event came since, such as 1d or 2030-01-31."),
]
Containing = Annotated[
    str,
    typer.Option(
        "--text",
        help="Contains this in its uuid, title, session, path, agent, task, last event or data.",
    ),
]
Hidden = Annotated[bool, typer.Option("--hidden", help="The hidden ones instead.")]
Event = Annotated[
    str,
    typer.Argument(
        metavar="EVENT",
        help="run, finish, fail, update …",
        autocompletion=lambda: list(MESSAGE_EVENTS),
    ),
]


LOOK, CHANGE = "Look", "Change"
"""Headings in the help of `jobs`."""
LISTING = "ls"
_ALIAS = "list"


def _finite(seconds: float) -> float:
    # no bound refuses what is not a number
    if not math.isfinite(seconds):
        message = f"{seconds} is not a number of seconds"
        raise typer.BadParameter(message)
    return seconds


def file_named(file: Path | None) -> Path | None:
    """Return a file that an argument names.

    Raises:
        BadParameter: it is empty, which is read as the folder that one works in.
    """
    if file == Path():
        message = "it names no file: give the name of one"
        raise typer.BadParameter(message)
    return file


Interval = Annotated[
    float,
    typer.Option(min=0.1, max=3600, callback=_finite, help="Seconds between looks."),
]


def command(
    group: typer.Typer, name: str, example: str, *, panel: str | None = None
) -> Callable[..., Any]:
    """Return the decorator of a command, with an example of how it is used.

    What lists has two names, of which the help of its group shows one.

    Args:
        group: that the command is of.
        name: in the group.
        example: all that stands behind `pipelinejobs`.
        panel: under which heading the help of the group lists it.
    """
    epilog = f"Example: `pipelinejobs {example}`"

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if name == LISTING:
            group.command(_ALIAS, epilog=epilog, hidden=True)(function)
        return group.command(name, epilog=epilog, rich_help_panel=panel)(function)

    return register


def backend_of(context: typer.Context) -> Backend:
    """Return what the commands work on."""
    backend: Backend = context.obj
    return backend


def filters(
    backend: Backend,
    states: list[str] | None,
    pipelines: list[str] | None,
    *,
    sessions: list[str] | None = None,
    owners: list[str] | None = None,
    newer: str | None = None,
    older: str | None = None,
    idle: str | None = None,
    active: str | None = None,
    text: str = "",
    hidden: bool = False,
) -> Filters:
    """Return the filters that the options say.

    Raises:
        UsageError: one of them means nothing.
    """
    return Filters(
        states=parsing.states(states or []),
        pipelines=tuple(backend.pipeline_uuid(name) for name in pipelines or []),
        sessions=tuple(sessions or []),
        owners=tuple(owners or []),
        created_after=parsing.moment_of("--since", newer),
        created_before=parsing.moment_of("--until", older),
        updated_before=parsing.moment_of("--idle", idle),
        updated_after=parsing.moment_of("--active", active),
        text=text,
        hidden=hidden,
    )


def catch_up(backend: Backend) -> None:
    """Count what has happened where no dispatcher does, so that statistics are up to date."""
    from manager.subscriptions import service  # noqa: PLC0415 - as in `dispatching`

    if not service.catch_up(backend.reactor(), backend.jobs):
        output.note("not everything is counted yet")
