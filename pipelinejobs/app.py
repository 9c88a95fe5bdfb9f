"""The command line: its commands, and how each of them ends."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path  # noqa: TC003 - Typer reads it
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup

from abaco import streams
from abaco.loading import INTERRUPTED
from local.database import DEFAULT_FOLDER
from pipelinejobs import output
from pipelinejobs.backend import Backend
from pipelinejobs.exceptions import DONE, FAILED
from pipelinejobs.exit_codes import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


class _Group(NamedTuple):
    """Commands of two words that begin with the same one."""

    help: str
    modules: tuple[str, ...]


_GROUPS = {
    "jobs": _Group(
        "Jobs: list, follow, create, move, delete.",
        ("jobs", "watching", "reaching", "job_actions"),
    ),
    "pipelines": _Group("Pipelines: what jobs are runs of.", ("pipelines",)),
    "refused": _Group("Events that were refused.", ("refused",)),
    "subscriptions": _Group("Who is told what happens.", ("subscriptions",)),
    "outbox": _Group("What subscribers have yet to be told.", ("outbox",)),
    "token": _Group("Tokens: who may change what.", ("tokens",)),
}
_MODULES = {
    "report": "reporting",
    "verify": "verifying",
    "export": "transferring",
    "import": "transferring",
    "dispatch": "dispatching",
}
"""Where the other commands are, unless in a module of their name."""


class _Commands(TyperGroup):
    """The commands, in the order of `_PANELS`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - given by the library
        """Return their names."""
        return list(_PANEL_OF)


def make_app(names: Iterable[str] = _PANEL_OF) -> typer.Typer:
    """Return the command line with those of its commands that begin with one of these words."""
    app = typer.Typer(
        name=NAME,
        cls=_Commands,
        callback=_options,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    alone: dict[str, None] = {}
    for name in names:
        if name in _GROUPS:
            group = typer.Typer(name=name, help=_GROUPS[name].help, no_args_is_help=True)
            for module in _GROUPS[name].modules:
                _commands_in(module).register(group)
            app.add_typer(group, name=name)
        else:
            alone[_MODULES.get(name, name)] = None
    for module in alone:
        _commands_in(module).register(app)
    made: list[Any] = [*app.registered_commands, *app.registered_groups]
    for info in made:
        info.rich_help_panel = _PANEL_OF[info.name or ""]
    return app


def _commands_in(module: str) -> Any:
    return importlib.import_module(f"pipelinejobs.commands.{module}")


def command_of(arguments: Sequence[str]) -> Callable[..., Any]:
    """Return what runs these arguments: all commands, or those alone that the first argument names.

    To load them all, and to make them of what Typer is told, takes as long as most of them.
    """
    named = tuple(name for name in arguments[:1] if name in _PANEL_OF)
    return _made(named or tuple(_PANEL_OF))


@functools.cache
def _made(names: tuple[str, ...]) -> Callable[..., Any]:
    return typer.main.get_command(make_app(names))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    backend = Backend()
    try:
        try:
            command_of(given)(given, prog_name=NAME, obj=backend)
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
