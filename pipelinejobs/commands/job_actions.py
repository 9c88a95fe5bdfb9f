"""What changes jobs: `jobs create`, `send`, `cancel`, `delete`, `undelete`.

A change is a message to the manager, by the gateway's HTTP. With `--direct` it takes the same way
through the manager's code, in this process.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from datacatalog.linkedstores.basestore import CatalogUpdateFailure
from datacatalog.linkedstores.pipelinejob.fsm import TRANSITIONS
from datacatalog.managers.pipelinejobs import ManagedPipelineJob, ManagedPipelineJobError
from datacatalog.tokens import InvalidToken
from manager import schemas
from manager.exceptions import Refusal
from manager.messages import Message
from pipelinejobs import in_process, output, parsing
from pipelinejobs.backend import HIDDEN_REMEDY
from pipelinejobs.commands import common, several
from pipelinejobs.commands.common import backend_of, command
from pipelinejobs.exceptions import CommandError, UsageError
from pipelinejobs.exit_codes import explain
from pipelinejobs.output import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelinejobs.backend import Backend
    from pipelinejobs.columns import Row

Token = Annotated[
    str | None,
    typer.Option(help="The job's token or an administrative one; computed by default."),
]
Nonce = Annotated[str | None, typer.Option(help="Post with this nonce, not the access token.")]
Direct = Annotated[bool, typer.Option("--direct", help="Straight to the database.")]
Data = Annotated[
    str, typer.Option(metavar="JSON", help="An object, @FILE, or - or @- for standard input.")
]


_STANDARD_INPUT, _HEADING = "-", "uuid"
_CANCEL = "fail"


def register(group: typer.Typer) -> None:
    """Add the commands."""
    example = """jobs create --pipeline tacobot:9000 --data '{"tacos": 3}'"""
    command(group, "create", example, panel=common.CHANGE)(create)
    command(
        group, "send", """jobs send run $JOB --data '{"step": "alignment"}'""", panel=common.CHANGE
    )(send)
    command(group, "cancel", "jobs cancel $JOB", panel=common.CHANGE)(cancel)
    command(group, "delete", "jobs delete $JOB", panel=common.CHANGE)(delete)
    command(group, "undelete", "jobs undelete $JOB", panel=common.CHANGE)(undelete)


def create(
    context: typer.Context,
    pipeline: Annotated[str, typer.Option(help="Its uuid or id.")],
    data: Data = "{}",
    archive_path: Annotated[
        str | None, typer.Option(help="Where outputs go; by default made of pipeline and data.")
    ] = None,
    archive_system: Annotated[
        str | None, typer.Option(help="The storage system of that path; by default the catalog's.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="A name for the run.")] = None,
    nonce: Nonce = None,
    direct: Direct = False,
    output_format: output.Output = Format.table,
) -> None:
    """Create a job, or find the one that exists already; print its callback, for whoever reports.

    A job of the same pipeline with the same data exists once. JSON and CSV have its token, too.
    """
    backend = backend_of(context)
    job = ManagedPipelineJob(
        backend.mongodb,
        {},
        pipeline_uuid=backend.pipeline_uuid(pipeline),
        data=parsing.json_object(data, "--data"),
        archive_path=archive_path,
        archive_system=archive_system,
        session=session,
        catalog=backend.catalog,
    )
    body: dict[str, Any] = {
        "pipeline_uuid": job.pipeline_uuid,
        "archive_path": job.archive_path,
        "data": job.data,
        "session": job.session,
        **({"archive_system": archive_system} if archive_system else {}),
    }
    exists = _exists(job)
    if direct:
        _check_direct(nonce)
        owner = {"_abaco_username": backend.catalog.owner}
        result = in_process.handle(backend, Message(schemas.CREATE, body=body), **owner)
    else:
        result = backend.gateway.send(body, nonce=nonce)
    if "token" in result:
        session = backend.jobs.load(result["uuid"]).get("session")
        result["callback"] = backend.callback(result["uuid"], result["token"], session)
    if output_format is Format.table:
        # the callback has it, and once is enough for a secret
        result.pop("token", None)
    output.record(result, output_format)
    if exists:
        output.note("it exists already: nothing was changed")
    if output_format is Format.table and result["state"] in TRANSITIONS["run"].sources:
        output.note(
            f'to report on it: curl "$(pipelinejobs token job {result["uuid"]} --callback)'
            "&event=run\" -H 'Content-Type: application/json' -d '{}'"
        )


def _exists(job: ManagedPipelineJob) -> bool:
    """Tell whether a job has been created before."""
    try:
        job.attach()
    except ManagedPipelineJobError:
        return False
    return True


def send(
    context: typer.Context,
    event: common.Event,
    jobs: common.Jobs,
    data: Data = "{}",
    token: Token = None,
    nonce: Nonce = None,
    event_id: Annotated[
        str | None, typer.Option(help="The same on each delivery of one event.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the manager's answer.")] = True,
    direct: Direct = False,
    output_format: output.Output = Format.table,
) -> None:
    """Send an event to a job, or to several.

    To several, it is said what became of each, and the exit code is 1 if one of them refused it.
    `reset` and `ready` need an administrative token, which is worked out of
    `CATALOG_ADMIN_TOKEN_KEY` and `CATALOG_ADMIN_TOKEN_SECRET`.
    """
    backend, name = backend_of(context), parsing.event(event)
    if _STANDARD_INPUT in jobs and data == _STANDARD_INPUT:
        message = "standard input has either the jobs or the data"
        raise UsageError(message)
    content = parsing.json_object(data, "--data")
    parameters = {} if event_id is None else {"event_id": event_id}
    how = _How(token, nonce, direct=direct, wait=wait)
    deliver = _deliverer(backend, name, content, parameters, how)
    _send(backend, name, jobs, deliver, output_format)


def cancel(
    context: typer.Context,
    jobs: common.Jobs,
    token: Token = None,
    nonce: Nonce = None,
    direct: Direct = False,
    output_format: output.Output = Format.table,
) -> None:
    """Say that jobs will not complete: send `fail`, with `cancelled` as the reason.

    It stops no work by itself, and sends nothing to a job that has ended already.
    """
    backend, how = backend_of(context), _How(token, nonce, direct=direct)
    deliver = _deliverer(backend, _CANCEL, {"message": "cancelled"}, {}, how)

    def deliver_unless_ended(uuid: str) -> dict[str, Any]:
        state = backend.visible_head(uuid)["state"]
        if state not in TRANSITIONS[_CANCEL].sources:
            message = f"job {uuid} is {state}: there is nothing to cancel"
            raise CommandError(message)
        return deliver(uuid)

    _send(backend, _CANCEL, jobs, deliver_unless_ended, output_format)


class _How(NamedTuple):
    """How an event is sent; the arguments are those of `send`."""

    token: str | None
    nonce: str | None
    direct: bool = False
    wait: bool = True


def _deliverer(
    backend: Backend, name: str, content: dict[str, Any], parameters: dict[str, str], how: _How
) -> Callable[[str], dict[str, Any]]:
    """Return what sends an event to the job with a UUID, and returns the answer."""
    if how.direct:
        _check_direct(how.nonce)

    def deliver(uuid: str) -> dict[str, Any]:
        administrative = TRANSITIONS[name].administrative
        shown = how.token or _token(backend, uuid, administrative=administrative)
        if how.direct:
            message = Message(schemas.EVENT, uuid=uuid, token=shown, event=name, data=content)
            return in_process.handle(backend, message, **parameters)
        body = {"uuid": uuid, "name": name, "data": content, "token": shown}
        return backend.gateway.send(body, parameters, nonce=how.nonce, wait=how.wait)

    return deliver


def _send(
    backend: Backend,
    event: str,
    jobs: list[str],
    deliver: Callable[[str], dict[str, Any]],
    output_format: Format,
) -> None:
    """Send an event to one job and print the answer, or to several and list what became of each."""
    if len(jobs) > 1 or _STANDARD_INPUT in jobs:
        several.for_each(
            _named(jobs), lambda name: _outcome(backend, event, name, deliver), output_format
        )
    else:
        output.record(deliver(backend.job_uuid(jobs[0])), output_format)


def _named(jobs: list[str]) -> list[str]:
    """Return the names of jobs, with those from standard input where `-` is."""
    names: list[str] = []
    for job in jobs:
        if job == _STANDARD_INPUT:
            lines = [line.strip() for line in sys.stdin]
            # a listing in a pipe begins with the names of its columns
            names += [line for line in lines if line and line.lower() != _HEADING]
        else:
            names.append(job)
    return names


def _outcome(
    backend: Backend, event: str, name: str, deliver: Callable[[str], dict[str, Any]]
) -> Row:
    uuid, outcome = name, "sent"
    try:
        uuid = backend.job_uuid(name)
        result = deliver(uuid)
    except several.SAME_FOR_ALL:
        raise
    except (CommandError, Refusal, InvalidToken, CatalogUpdateFailure) as error:
        outcome, detail = several.REFUSED, explain(error, backend)[1]
    else:
        is_applied = "state" in result
        detail = f"state {result['state']}" if is_applied else str(result.get("execution", ""))
    return {"uuid": uuid, "event": event, "outcome": outcome, "detail": detail}


def delete(
    context: typer.Context,
    job: common.Job,
    force: Annotated[
        bool, typer.Option("--force", help="Remove it for good; a copy is in `updates`.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    token: Token = None,
    nonce: Nonce = None,
    direct: Direct = False,
    output_format: output.Output = Format.table,
) -> None:
    """Hide a job, so that it accepts no events; with `--force` remove it."""
    backend = backend_of(context)
    uuid = backend.job_uuid(job)
    if force and not yes:
        if not sys.stdin.isatty():
            message = "--force removes the job for good: add --yes where nobody can be asked"
            raise UsageError(message)
        if not typer.confirm(f"Remove job {uuid} for good?", err=True):
            message = "nothing was removed"
            raise CommandError(message)
    shown = token or _token(backend, uuid, hidden=True)
    if direct:
        _check_direct(nonce)
        result = in_process.handle(
            backend, Message(schemas.DELETE, uuid=uuid, token=shown, force=force)
        )
    else:
        body = {"uuid": uuid, "action": "delete", "force": force, "token": shown}
        result = backend.gateway.send(body, nonce=nonce)
    output.record(result, output_format)
    if not force:
        output.note(HIDDEN_REMEDY.format(uuid))


def undelete(
    context: typer.Context,
    job: common.Job,
    token: Token = None,
    output_format: output.Output = Format.table,
) -> None:
    """Bring a hidden job back; goes straight to the database, since no message does this."""
    backend = backend_of(context)
    uuid = backend.job_uuid(job)
    back = backend.jobs.undelete(uuid, token or _token(backend, uuid, hidden=True))
    output.record({"uuid": uuid, "state": back["state"], "hidden": False}, output_format)


def _token(
    backend: Backend, uuid: str, *, administrative: bool = False, hidden: bool = False
) -> str:
    """Return the token that allows a change: who has the database or the secrets has it."""
    if administrative:
        return backend.admin_token()
    stored = backend.jobs.load_deletable(uuid) if hidden else backend.visible_head(uuid)
    return backend.jobs.get_token(stored)


def _check_direct(nonce: str | None) -> None:
    if nonce is not None:
        message = "--nonce is for HTTP, --direct does without: give one of them"
        raise UsageError(message)
