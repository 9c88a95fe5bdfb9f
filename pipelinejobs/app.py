"""The command line: its commands, and how each of them ends."""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path  # noqa: TC003 - Typer reads it
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from abaco import streams
from abaco.loading import INTERRUPTED
from local.database import DEFAULT_FOLDER
from pipelinejobs import output
from pipelinejobs.backend import Backend
from pipelinejobs.commands import (
    dispatching,
    doctor,
    job_actions,
    jobs,
    outbox,
    page,
    pipelines,
    reaching,
    refused,
    reporting,
    stats,
    subscriptions,
    tokens,
    transferring,
    verifying,
    watching,
)
from pipelinejobs.exceptions import DONE, FAILED
from pipelinejobs.exit_codes import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "pipelinejobs"
_EPILOG = """\
Exit codes: 0 done; 1 refused, not found, or something is off; 2 wrong arguments or settings;
3 the database or the gateway is not there or does not answer; 130 ended by Ctrl-C.

Example: pipelinejobs jobs ls --state RUNNING --idle 1d
"""


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {metadata.version('pipelinejobs-manager')}")
        raise typer.Exit


def _options(
    context: typer.Context,
    local: Annotated[
        Path,
        typer.Option(
            help="The folder of `make up`, where the settings name no database.",
            envvar="PIPELINEJOBS_LOCAL",
            readable=False,
        ),
    ] = DEFAULT_FOLDER,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show where an unexpected error came from.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _show_version(wanted=value),
            is_eager=True,
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """Look after jobs: list, follow, move and check them, straight or by the gateway's HTTP."""
    context.obj.folder = local


_PANELS = {
    "Jobs": ("jobs", "report", "token"),
    "Pipelines": ("pipelines", "stats"),
    "Operate": (
        "page",
        "doctor",
        "refused",
        "verify",
        "export",
        "import",
        "subscriptions",
        "outbox",
    ),
    "Deploy": ("dispatch",),
}
"""The commands by what people do, as `--help` lists them: what they use first comes first."""
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names}


class _Commands(TyperGroup):
    """The commands, in the order of `_PANELS`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - given by the library
        """Return their names."""
        return list(_PANEL_OF)


app = typer.Typer(
    name=NAME,
    cls=_Commands,
    callback=_options,
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for _noun, _help, _commands in (
    ("jobs", "Jobs: list, follow, create, move, delete.", (jobs, watching, reaching, job_actions)),
    ("pipelines", "Pipelines: what jobs are runs of.", (pipelines,)),
    ("refused", "Events that were refused.", (refused,)),
    ("subscriptions", "Who is told what happens.", (subscriptions,)),
    ("outbox", "What subscribers have yet to be told.", (outbox,)),
    ("token", "Tokens: who may change what.", (tokens,)),
):
    _group = typer.Typer(name=_noun, help=_help, no_args_is_help=True)
    for _module in _commands:
        _module.register(_group)
    app.add_typer(_group, rich_help_panel=_PANEL_OF[_noun])
app.add_typer(stats.group, rich_help_panel=_PANEL_OF["stats"])
for _module in (verifying, transferring, doctor, dispatching, page, reporting):
    _module.register(app)
for _info in app.registered_commands:
    _info.rich_help_panel = _PANEL_OF[_info.name or ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    backend = Backend()
    try:
        try:
            _command()(given, prog_name=NAME, obj=backend)
        finally:
            _flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a trace is for those who ask for it
        if "--debug" in given:
            traceback.print_exc()
        code, text = explain(error, backend)
        output.fail(text)
        return code
    finally:
        backend.close()
    return DONE


@functools.cache
def _command() -> Callable[..., Any]:
    """Return all commands; to make them of what Typer is told takes as long as most of them."""
    return typer.main.get_command(app)


def run() -> NoReturn:
    """Be the command: run what the arguments say and end with its exit code."""
    streams.prepare()
    code = main()
    logging.shutdown()
    sys.stderr.flush()
    # all is written: to wait for the threads of the database's driver would serve nobody
    os._exit(code)


def _flush() -> None:
    """Write what is left; if who reads it has gone, nobody needs to know."""
    try:
        streams.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
