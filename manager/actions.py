"""Handle a message, if its sender may: create, apply, forward, delete (docs/reference/actor.md#handling-an-event)."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog import documents
from datacatalog.documents import DocumentError, TooLargeError
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import CatalogUpdateFailure
from datacatalog.linkedstores.basestore.store import revision_of
from datacatalog.linkedstores.pipelinejob import (
    EventConflict,
    EventRefused,
    JobError,
    JobUpdateFailure,
    LateDelivery,
    Outdated,
    UnknownJob,
    UnknownRejection,
)
from manager import authorization, platform_jobs
from manager.exceptions import Conflict, InvalidMessage, NotAllowed, NotAuthorized, Unavailable
from manager.messages import NEVER_KEPT, Message
from manager.schemas import (
    CLOUD,
    CREATE,
    DELETE,
    EVENT,
    FORWARDED,
    INDEX,
    LINEAGE,
    TAPIS,
    URL,
    credentials,
    masked,
    parameter,
    without,
)
from manager.settings import section_of
from reactors.exceptions import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datacatalog.linkedstores.pipelinejob import Applied, Event, PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from manager.authorization import Permit
    from manager.exceptions import UnreadableReport
    from reactors.runtime import Reactor

MAX_SESSION_LENGTH = 256
_RUNNING = "RUNNING"
_EXECUTION = "execution:"
"""How a key begins that the platform has given, not the sender."""

_KEYS = {
    CLOUD: "source with its id",
    TAPIS: "source with its eventUuid or id",
    LINEAGE: "runId with its eventType and eventTime",
}
"""What the keys of messages of some kinds are made of."""


class Outcome(NamedTuple):
    """What a message has brought about."""

    result: dict[str, Any]
    """what a synchronous caller is answered"""
    line: str
    """what the log says"""


def handle(rx: Reactor, message: Message, jobs: PipelineJobStore) -> Outcome:
    """Do what a message says, if its sender may.

    Raises:
        Refusal: it was not done.
    """
    while True:
        try:
            return _act(rx, message, authorization.authorize(rx, message, jobs), jobs)
        except Outdated:
            # it is remembered no longer, unless another thread has just done so again
            continue


def _act(rx: Reactor, message: Message, permit: Permit, jobs: PipelineJobStore) -> Outcome:
    """Do what a message says.

    Raises:
        Refusal: it could not be done.
    """
    with _refusals(message):
        if message.kind == CREATE:
            return _create(rx, message, permit, jobs)
        job = permit.job or {}
        if message.kind == DELETE:
            return _delete(rx, message, job, jobs)
        indexer = section_of(rx.settings, "pipelines").get("job_indexer_id")
        if message.event in FORWARDED and indexer:
            return _forward(rx, message, job, jobs, indexer)
        return _apply(rx, message, permit, jobs)


def keep_unread(rx: Reactor, refusal: UnreadableReport, jobs: PipelineJobStore) -> None:
    """Keep a report that cannot be read among the refused events, if its sender has the job's token."""
    uuid, token = typeduuid.canonical(parameter(rx, "uuid")), rx.environ.get("token")
    try:
        job = jobs.load_head(uuid)
    except UnknownJob:
        return
    if not (jobs.is_own_token(job, token) or jobs.is_admin_token(token)):
        return
    told = {name: refusal.body[name] for name in refusal.body if name not in NEVER_KEPT}
    body: Any = without(credentials(rx, token), told)
    try:
        documents.check(body)
    except DocumentError:
        body = {"value": masked(json.dumps(body))}
    jobs.keep_unread(
        job,
        body,
        str(refusal),
        key=idempotency_key(rx, Message(URL)),
        execution_id=rx.environ.get("_abaco_execution_id"),
    )


def retry(
    rx: Reactor, rejected_id: str, jobs: PipelineJobStore, event: str | None = None
) -> Outcome:
    """Apply an event that was refused before, for somebody who may do so.

    Args:
        rx: of whoever does it.
        rejected_id: of the event among those that were refused.
        jobs: the store.
        event: what a report that could not be read was about.

    Raises:
        Refusal: it could not be done.
    """
    try:
        row = jobs.load_rejected(rejected_id)
    except UnknownRejection as error:
        raise InvalidMessage(str(error)) from error
    name = row["event"]["name"] or event
    if not name:
        text = "the report does not say what happened: name the event yourself (--as)"
        raise InvalidMessage(text)
    message = Message(EVENT, uuid=row["uuid"], event=name)

    def apply() -> Applied:
        return jobs.retry(rejected_id, name=name)

    with _refusals(message):
        return _apply_or_index(rx, message, jobs.load(message.uuid), jobs, None, apply)


@contextlib.contextmanager
def _refusals(message: Message) -> Iterator[None]:
    """Say to the sender of a message why the store did not do it."""
    try:
        yield
    except EventRefused as refusal:
        raise NotAllowed(str(refusal)) from refusal
    except EventConflict as conflict:
        key = _KEYS.get(message.kind)
        raise Conflict(str(conflict) if key is None else conflict.known_by(key)) from conflict
    except LateDelivery as late:
        raise Conflict(str(late)) from late
    except UnknownJob as error:
        raise NotAuthorized(authorization.unknown(message)) from error
    except JobError as error:
        text = f"{message.subject}: {_one_line(error)}"
        raise InvalidMessage(text) from error
    except CatalogUpdateFailure as error:
        raise Conflict(str(error)) from error


def _apply(rx: Reactor, message: Message, permit: Permit, jobs: PipelineJobStore) -> Outcome:
    job = permit.job or {}
    if message.event == INDEX:
        # what is to be indexed, and where
        job = jobs.load(message.uuid)
    try:
        return _apply_with(rx, message, _event_data(rx, message), job, jobs, permit)
    except JobUpdateFailure as failure:
        if message.kind == EVENT or not _is_unfaithful(failure.__cause__):
            raise
    # whoever reports by a URL cannot change it: what happened counts, and the data is kept as JSON
    message = message._replace(data={"value": json.dumps(message.data)})
    return _apply_with(rx, message, message.data, job, jobs, permit)


def _is_unfaithful(cause: BaseException | None) -> bool:
    """Tell whether data was refused that a string could hold."""
    return isinstance(cause, DocumentError) and not isinstance(cause, TooLargeError)


def _apply_with(
    rx: Reactor,
    message: Message,
    data: Any,
    job: StoredJob,
    jobs: PipelineJobStore,
    permit: Permit,
) -> Outcome:
    key = idempotency_key(rx, message)
    event = event_of(rx, message, data, key, job, jobs)

    def apply() -> Applied:
        return jobs.apply_event(job, event, remembered=permit.remembered)

    return _apply_or_index(rx, message, job, jobs, key, apply)


def event_of(
    rx: Reactor,
    message: Message,
    data: Any,
    key: str | None,
    job: StoredJob,
    jobs: PipelineJobStore,
) -> Event:
    """Return the event that a message brings a job.

    The first call takes from `rx` that this is the first attempt; for a further one it is not.

    Args:
        rx: of the message.
        message: the message.
        data: what the history is to keep.
        key: as `idempotency_key` returns it.
        job: as it was read.
        jobs: the store.

    Raises:
        JobUpdateFailure: the data cannot be stored.
    """
    return jobs.new_event(
        job,
        message.event,
        data,
        key=key,
        first=_take_first_attempt(rx, key),
        lasting=message.key is not None or not rx.environ.get("event_id"),
        sent=message.data,
        happened=message.happened,
        execution_id=rx.environ.get("_abaco_execution_id"),
        sender=authorization.user_of(rx),
    )


def _apply_or_index(
    rx: Reactor,
    message: Message,
    job: StoredJob,
    jobs: PipelineJobStore,
    key: str | None,
    apply: Callable[[], Applied],
) -> Outcome:
    note = ""
    if message.event == INDEX and (job.get("archive_patterns") or job.get("product_patterns")):
        from manager import indexing  # noqa: PLC0415 - for an index only

        applied, note = indexing.index(rx, jobs, job, key, apply)
    else:
        applied = apply()
    return outcome_of(message, applied, note)


def outcome_of(message: Message, applied: Applied, note: str = "") -> Outcome:
    """Return what an event has brought about, with a note for the log."""
    result = {
        "uuid": message.uuid,
        "state": applied.state,
        "last_event": applied.entry["name"],
        "revision": applied.revision,
    }
    again = ", which an earlier delivery had applied" if applied.duplicate else ""
    line = f"job {message.uuid}: {message.subject}{note}{again}, state {applied.state}, revision {applied.revision}"
    return Outcome(result, line)


def _event_data(rx: Reactor, message: Message) -> Any:
    if not message.is_callback or message.body["status"].strip().upper() == _RUNNING:
        return message.data
    description = platform_jobs.latest_description(rx, message.body)
    known = {} if description is None else {"description": description}
    return {**message.data, "status": message.body["status"], **known}


def idempotency_key(rx: Reactor, message: Message) -> str | None:
    """Return what a second delivery of a message is known by, None if nothing tells.

    Raises:
        InvalidMessage: it has characters that cannot be printed.
    """
    if event_id := message.key or rx.environ.get("event_id"):
        if not event_id.isprintable():
            place = "the event's uuid" if message.key else "the URL parameter 'event_id'"
            text = f"{message.subject}: {place} has characters that cannot be printed"
            raise InvalidMessage(text)
        return f"event:{event_id}"
    if execution_id := rx.environ.get("_abaco_execution_id"):
        return f"{_EXECUTION}{execution_id}"
    return None


def _take_first_attempt(rx: Reactor, key: str | None) -> bool:
    """Tell whether no earlier attempt can have applied the event; take what the platform says of that.

    It holds once: what follows for this message is not the first attempt. An id that a sender chose
    may have come long ago.
    """
    by_execution = key is not None and key.startswith(_EXECUTION)
    return rx.environ.pop("_abaco_first_attempt", None) == "true" and by_execution


def _forward(
    rx: Reactor, message: Message, job: StoredJob, jobs: PipelineJobStore, indexer: str
) -> Outcome:
    token = jobs.get_token(job)
    rx.redact.add(token)
    try:
        rx.send_message(
            indexer,
            {"name": message.event, "uuid": message.uuid, "token": token},
            ignoreErrors=False,
            nonce=section_of(rx.settings, "pipelines").get("job_indexer_nonce"),
        )
    except DeliveryError as error:
        text = f"{message.subject}: {error}"
        raise Unavailable(text, temporary=error.temporary) from error
    result = _where_it_is(job)
    line = f"job {message.uuid}: {message.subject} forwarded to the indexer {indexer}"
    return Outcome(result, line)


def _delete(rx: Reactor, message: Message, job: StoredJob, jobs: PipelineJobStore) -> Outcome:
    sender = authorization.user_of(rx)
    if message.force:
        jobs.remove(job, sender)
    else:
        jobs.hide(job, sender)
    deleted = "removed" if message.force else "hidden"
    line = f"job {message.uuid}: {deleted}"
    return Outcome({"uuid": message.uuid, "deleted": deleted}, line)


def _check_patterns(message: Message) -> None:
    """Refuse what indexing could do nothing with."""
    body = message.body
    given = [*body.get("archive_patterns", []), *body.get("product_patterns", [])]
    if not given:
        return
    from datacatalog.managers.pipelinejobs import InvalidRequest  # noqa: PLC0415 - for a create only
    from datacatalog.managers.pipelinejobs.requests import parse_all  # noqa: PLC0415 - as above

    try:
        parse_all(given)
    except InvalidRequest as error:
        text = f"{message.subject}: {error}"
        raise InvalidMessage(text) from error


def _create(rx: Reactor, message: Message, permit: Permit, jobs: PipelineJobStore) -> Outcome:
    from datacatalog.managers.pipelinejobs.callback import callback_url  # noqa: PLC0415 - for a create only

    _check_patterns(message)
    fields = {"session": rx.session[:MAX_SESSION_LENGTH], **message.body}
    execution = rx.environ.get("_abaco_execution_id")
    job, is_new = jobs.find_or_create(fields, owner=rx.username, execution_id=execution)
    result = _where_it_is(job)
    if not job.get("_visible", True):
        text = f"create action: job {job['uuid']} exists and is hidden: bring it back with `pipelinejobs jobs undelete`, or delete it with force"
        raise NotAuthorized(text)
    redelivered = execution is not None and jobs.was_created_by(job, execution)
    if is_new or redelivered or _may_have_token(rx, permit, job):
        token = jobs.get_token(job)
        rx.redact.add(token)
        pipelines = section_of(rx.settings, "pipelines")
        result["token"] = token
        result["callback"] = callback_url(
            rx.api_server,
            pipelines.get("job_manager_id") or rx.uid,
            pipelines.get("job_manager_nonce"),
            token=token,
            uuid=job["uuid"],
            session=job.get("session"),
        )
    line = f"job {job['uuid']}: {'created' if is_new else 'exists already'}, state {job['state']}"
    return Outcome(result, line)


def _may_have_token(rx: Reactor, permit: Permit, job: StoredJob) -> bool:
    """Tell whether the sender may be told the token of a job that was there already.

    Else anybody who can create could take over the jobs whose data they can guess.
    """
    if permit.role in (authorization.ADMIN, authorization.TRUSTED):
        return True
    owner = (job.get("_admin") or {}).get("owner")
    return permit.role == authorization.BEARER and rx.username is not None and owner == rx.username


def _where_it_is(job: StoredJob) -> dict[str, Any]:
    """Return what the sender of a message that applies no event is told of its job."""
    return {
        "uuid": job["uuid"],
        "state": job["state"],
        "last_event": job["last_event"],
        "revision": revision_of(job),
    }


def _one_line(error: Exception) -> str:
    return ": ".join(str(part) for part in error.args)
