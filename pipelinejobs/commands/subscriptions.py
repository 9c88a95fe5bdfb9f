"""`subscriptions ls`, `add`, `rm`, `test`, `dead`, `replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from manager.subscriptions.formats import FORMATS
from pipelinejobs import formatting, output, subscribing
from pipelinejobs.columns import Column
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import FAILED
from pipelinejobs.output import Format

_COLUMNS = (
    Column("name", whole=True),
    Column("where"),
    Column("only"),
    Column("origin", whole=True),
    Column("status", whole=True),
    Column("lag_events", "EVENTS BEHIND", whole=True),
    Column("lag_seconds", "SECONDS BEHIND", whole=True),
    Column("dead", whole=True),
    Column("delivered", whole=True),
    Column("error", "LAST ERROR"),
)
_DEAD_COLUMNS = (
    Column("id", whole=True),
    Column("job_uuid", "JOB", whole=True, brief=formatting.short),
    Column("event", whole=True),
    Column("date", whole=True, brief=formatting.ago, room=100),
    Column("tries", whole=True),
    Column("reason"),
)
_Name = Annotated[str, typer.Argument(help="The name of the subscription.")]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "ls", "subscriptions ls --output json")(list_subscriptions)
    command(group, "add", "subscriptions add lab https://lab.example.org/jobs --event finish")(add)
    command(group, "test", "subscriptions test lab")(test)
    command(group, "dead", "subscriptions dead lab")(dead)
    command(group, "replay", "subscriptions replay lab")(replay)
    command(group, "rm", "subscriptions rm lab")(remove)


def list_subscriptions(context: typer.Context, output_format: output.Output = Format.table) -> None:
    """List who is told what happens, and how far each is behind."""
    rows = [each.row() for each in subscribing.overview(backend_of(context))]
    output.listing(rows, subscribing.FIELDS, _COLUMNS, output_format)
    if not rows:
        output.note("nobody subscribes")


def add(
    context: typer.Context,
    name: _Name,
    url: Annotated[str, typer.Argument(help="Where events are sent, by POST.")],
    event: Annotated[list[str] | None, typer.Option(help="Only of these events.")] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option(help="Only of these pipelines, by uuid or id.")
    ] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only of these states.")] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(help="Sign with it; $NAME for the value of a variable of the dispatcher."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = FORMATS[
        0
    ],
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="The URL may lead to a private network.")
    ] = False,
) -> None:
    """Tell a URL what happens, from now on."""
    given = {
        "name": name,
        "url": url,
        "format": form,
        "events": event,
        "pipelines": pipeline,
        "states": state,
        "secrets": secret,
        "allow_private": allow_private,
    }
    subscribing.add(backend_of(context), given)
    output.note(f"try it: pipelinejobs subscriptions test {name}")


def remove(context: typer.Context, name: _Name) -> None:
    """Drop a subscription, with what it has yet to be told."""
    subscribing.remove(backend_of(context), name)
    output.note(f"{name} is told nothing more")


def test(context: typer.Context, name: _Name) -> None:
    """Send a test, and say what it was answered."""
    typer.echo(subscribing.test(backend_of(context), name))


def dead(context: typer.Context, name: _Name, output_format: output.Output = Format.table) -> None:
    """List dead letters: events that could not be delivered, and are no longer tried."""
    rows = subscribing.dead_letters(backend_of(context), name)
    output.listing(rows, subscribing.LETTER_FIELDS, _DEAD_COLUMNS, output_format)
    if not rows:
        output.note("there are no dead letters")


def replay(
    context: typer.Context,
    name: _Name,
    letter: Annotated[
        str | None, typer.Option("--id", help="Only this dead letter, by its id.")
    ] = None,
    output_format: output.Output = Format.table,
) -> None:
    """Tell dead letters again, and try at once what has failed; exit code 1 if something is left.

    It says how many dead letters were told, how many were dropped because their event is nowhere any
    more, and how many are left.
    """
    replayed = subscribing.replay(backend_of(context), name, letter)
    output.record(replayed._asdict(), output_format)
    output.note("events that only wait are tried again now: see `pipelinejobs outbox ls`")
    if replayed.left:
        raise typer.Exit(FAILED)
