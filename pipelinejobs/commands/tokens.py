"""`token admin`, `token job`, `token rotate`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from datacatalog.linkedstores.pipelinejob.former_salts import GRACE_SECONDS, MAX_GRACE_SECONDS
from pipelinejobs import output
from pipelinejobs.commands import common
from pipelinejobs.commands.common import backend_of, command

Callback = Annotated[
    bool, typer.Option("--callback", help="Print the URL to give to the platform instead.")
]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "admin", "token admin")(admin)
    command(group, "job", "token job $JOB --callback")(job_token)
    command(group, "rotate", "token rotate $JOB --grace 86400")(rotate)


def admin(context: typer.Context) -> None:
    """Print the administrative token of this moment; it holds for one to two lifetimes."""
    backend = backend_of(context)
    typer.echo(backend.admin_token())
    lifetime = backend.catalog.admin_lifetime
    left = lifetime - int(time.time()) % lifetime + lifetime
    output.note(f"it holds for {left:,} seconds more")


def job_token(context: typer.Context, job: common.Job, callback: Callback = False) -> None:
    """Print the token of a job, which holds until it is rotated; hidden jobs have one too."""
    backend = backend_of(context)
    stored = backend.jobs.load_deletable(backend.job_uuid(job))
    token = backend.jobs.get_token(stored)
    typer.echo(
        backend.callback(stored["uuid"], token, stored.get("session")) if callback else token
    )


def rotate(
    context: typer.Context,
    job: common.Job,
    grace: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_GRACE_SECONDS,
            metavar="SECONDS",
            help="How long the former token still holds; 0 ends all former ones at once.",
        ),
    ] = GRACE_SECONDS,
    callback: Callback = False,
) -> None:
    """Give a job a new token and print it; goes straight to the database.

    Within the grace period both tokens hold, so that the platform can be given the new one.
    """
    backend = backend_of(context)
    uuid = backend.job_uuid(job)
    present = backend.jobs.get_token(backend.jobs.load_deletable(uuid))
    stored = backend.jobs.rotate_token(uuid, present, grace=grace)
    token = stored["_update_token"]
    typer.echo(backend.callback(uuid, token, stored.get("session")) if callback else token)
    output.note(
        f"the former token holds for {grace:,} seconds more" if grace else "no former token holds"
    )
