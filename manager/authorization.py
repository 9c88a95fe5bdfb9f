"""Who may do what (docs/reference/actor.md#authorization)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacatalog.linkedstores.pipelinejob import UnknownJob
from datacatalog.linkedstores.pipelinejob.fsm import TRANSITIONS
from datacatalog.tokens import digest
from manager.exceptions import NotAuthorized
from manager.schemas import AGAVE, ALOE, CREATE, DELETE, FORWARDED, LINEAGE, TAPIS
from manager.settings import section_of

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from manager.messages import Message
    from reactors.runtime import Reactor

JOB, ADMIN, TRUSTED, BEARER, NONCE = "job", "admin", "trusted", "bearer", "nonce"
_PLACES = {
    **dict.fromkeys((ALOE, AGAVE, TAPIS), "the URL (the parameter 'token')"),
    LINEAGE: "the facet pipelinejobs_job of the run, or the URL",
}
"""Where the token of a message is looked for; else in its body, and in the URL."""
_NO_JOB: StoredJob = {"uuid": "", "_admin": None, "_salt": ""}


class Permit(NamedTuple):
    """The permission to do what a message says."""

    role: str
    """by which it was given: the job's token, an administrative one, or the platform's user"""
    job: StoredJob | None
    """the head of the job, all that was read for this; None for a create"""
    remembered: bool = False
    """whether that is not as it was read just now, but as this process has left it"""


def authorize(rx: Reactor, message: Message, jobs: PipelineJobStore) -> Permit:
    """Return the permit for a message, or refuse it.

    A token that is shown has to be right, whoever shows it. An unknown job and a wrong token get
    the same answer, after the same work.

    Raises:
        NotAuthorized: the sender may not do this, or there is no such job.
    """
    _check_nonce(rx)
    if message.token and message.token != message.token.strip():
        text = f"{message.subject}: the token has a blank or a line end around it: leave that out"
        raise NotAuthorized(text)
    if message.kind == CREATE:
        return Permit(_may_create(rx, message, jobs), None)
    head = _remembered(message, jobs)
    if _is_own(message, head, jobs):
        return Permit(_may_change(rx, message, jobs, own=True), head, remembered=True)
    job = _read(message, jobs)
    role = _may_change(rx, message, jobs, own=_is_own(message, job, jobs))
    if job is None:
        text = f"{message.subject}: no job has the uuid {message.uuid}"
        raise NotAuthorized(text)
    return Permit(role, job)


def unknown(message: Message) -> str:
    """Return the one text for an unknown job, a hidden job and a wrong token."""
    return (
        f"{message.subject}: no job {message.uuid} that this token may change: "
        "there is none, it is hidden, or its token is another one"
    )


def _check_nonce(rx: Reactor) -> None:
    expected = section_of(rx.settings, "pipelines").get("job_manager_nonce")
    if expected and _by_nonce(rx) and not digest.same(rx.environ["x-nonce"], expected):
        text = "the nonce is not the one that this actor accepts"
        if rx.environ["x-nonce"] != rx.environ["x-nonce"].strip():
            text += ": it has a blank or a line end around it"
        raise NotAuthorized(text)


def _by_nonce(rx: Reactor) -> bool:
    return "x-nonce" in rx.environ


def user_of(rx: Reactor) -> str | None:
    """Return who has sent a message; None for whoever has a nonce, which is not a person."""
    return None if _by_nonce(rx) else rx.username


def _is_trusted(rx: Reactor) -> bool:
    users = section_of(rx.settings, "authorization").get("trusted_users") or []
    user = user_of(rx)
    return user is not None and user in users


def _may_create(rx: Reactor, message: Message, jobs: PipelineJobStore) -> str:
    if message.token:
        if jobs.is_admin_token(message.token):
            return ADMIN
        text = "create action: the token is not a valid administrative one; leave it out to create as a user"
        raise NotAuthorized(text)
    if _is_trusted(rx):
        return TRUSTED
    if not _by_nonce(rx):
        return BEARER
    if section_of(rx.settings, "authorization").get("nonce_may_create"):
        return NONCE
    text = "create action: not allowed by nonce: send it with a Bearer token or an administrative token"
    raise NotAuthorized(text)


def _remembered(message: Message, jobs: PipelineJobStore) -> StoredJob | None:
    """Return the head of a job as an earlier event has left it, if the database will decide on it."""
    if message.kind == DELETE or message.event in FORWARDED:
        return None
    return jobs.heads.take(message.uuid)


def _read(message: Message, jobs: PipelineJobStore) -> StoredJob | None:
    try:
        return jobs.load_head(message.uuid, deletable=message.kind == DELETE)
    except UnknownJob:
        return _read_removed(message, jobs) if message.force else None


def _read_removed(message: Message, jobs: PipelineJobStore) -> StoredJob | None:
    """Return the job that an earlier delivery of a forced delete has removed, perhaps not wholly."""
    try:
        return jobs.load_removed(message.uuid)
    except UnknownJob:
        return None


def _is_own(message: Message, job: StoredJob | None, jobs: PipelineJobStore) -> bool:
    """Tell whether a message has the token of its job; without a job, after the same work."""
    return jobs.is_own_token(job or _NO_JOB, message.token) and job is not None


def _may_change(rx: Reactor, message: Message, jobs: PipelineJobStore, *, own: bool) -> str:
    admin = jobs.is_admin_token(message.token)
    if admin:
        return ADMIN
    if not message.token:
        if _is_trusted(rx):
            return TRUSTED
        where = _PLACES.get(message.kind, "the body or the URL")
        text = f"{message.subject}: 'token' is missing: add the job's token to {where}"
        raise NotAuthorized(text)
    if not own:
        raise NotAuthorized(unknown(message))
    if _is_trusted(rx):
        return TRUSTED
    if message.event and TRANSITIONS[message.event].administrative:
        text = f"{message.subject}: needs an administrative token, the job's own is not enough"
        raise NotAuthorized(text)
    return JOB
