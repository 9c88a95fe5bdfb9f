"""`report`: run a command, and tell its job."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Annotated, NoReturn

import typer

from pipelinejobs import report as wrapper
from pipelinejobs.client import PATIENCE, VARIABLE, seconds


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command(
        "report",
        epilog="Example: `pipelinejobs report -- sh -c 'exit 0'`",
        # what begins with a dash behind the command is the command's
        context_settings={"allow_interspersed_args": False},
    )(report)


def run() -> NoReturn:
    """Be this command alone, as `pipelinejobs report`."""
    app = typer.Typer(
        pretty_exceptions_enable=False, rich_markup_mode="markdown", add_completion=False
    )
    register(app)
    try:
        app(sys.argv[2:], prog_name="pipelinejobs report")
    except SystemExit as end:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed
            stream.flush()
        # at once: Ctrl-C could change the code while the interpreter ends
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except argparse.ArgumentTypeError as error:
        raise typer.BadParameter(str(error)) from error


def report(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND", help="The program and its arguments.")
    ],
    callback: Annotated[
        str | None,
        typer.Option(
            help=f"The callback of the job; by default the variable {VARIABLE}, which no list of "
            "processes shows."
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(
            parser=_seconds,
            metavar="FLOAT",
            help="Seconds to try, once the command has ended.",
        ),
    ] = PATIENCE,
) -> None:
    """Run a command, and report to its job how it begins and ends; the exit code is the command's.

    The command does not wait for the manager, nor fail because of it.
    """
    raise typer.Exit(wrapper.run(command, callback, patience=patience))
