"""`token admin`, `token job`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from datacatalog.managers.pipelinejobs.callback import callback_url
from manager.settings import section_of
from pipelinejobs import output, values
from pipelinejobs.commands import common
from pipelinejobs.commands.common import command, site_of

if TYPE_CHECKING:
    from pipelinejobs.site import Site


def register(group: typer.Typer) -> None:
    """Add the commands."""
    command(group, "admin", "token admin")(admin)
    command(group, "job", "token job $JOB --callback")(job_token)


def admin(context: typer.Context) -> None:
    """Print the administrative token of this moment; it holds for one to two lifetimes."""
    site = site_of(context)
    typer.echo(site.admin_token())
    lifetime = site.catalog.admin_lifetime
    left = lifetime - int(time.time()) % lifetime + lifetime
    output.note(f"it holds for {left:,} seconds more")


def job_token(
    context: typer.Context,
    job: common.Job,
    callback: Annotated[
        bool, typer.Option("--callback", help="Print the URL to give to the platform instead.")
    ] = False,
) -> None:
    """Print the token of a job, which holds for its life; hidden jobs have one too."""
    site = site_of(context)
    stored = site.jobs.load_deletable(values.job_uuid(job))
    token = site.jobs.get_token(stored)
    typer.echo(_callback(site, stored["uuid"], token, stored.get("session")) if callback else token)


def _callback(site: Site, uuid: str, token: str, session: str | None) -> str:
    rx = site.reactor()
    pipelines = section_of(rx.settings, "pipelines")
    actor, nonce = pipelines.get("job_manager_id") or site.actor, pipelines.get("job_manager_nonce")
    return callback_url(rx.api_server, actor, nonce, token=token, uuid=uuid, session=session)
