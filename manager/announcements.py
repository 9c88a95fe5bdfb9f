"""Tell the events manager what has happened to jobs (spec: actor, section 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manager.exceptions import InvalidSettings
from manager.settings import section_of
from reactors.exceptions import DeliveryError

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.outbox import Outbox
    from datacatalog.mongo import Document
    from reactors.runtime import Reactor

ATTEMPTS = 2
DELAY = 0.2
DRAINED_WITH_A_MESSAGE = 5


def subscriber(rx: Reactor) -> str:
    """Return the id of the actor that events are announced to; empty if there is none."""
    return section_of(rx.settings, "pipelines").get("events_manager_id") or ""


def wanted(rx: Reactor) -> bool:
    """Tell whether applied events are announced."""
    return bool(subscriber(rx) and rx.settings.get("state_exit", True))


def before(rx: Reactor, event: str, job: Document) -> bool:
    """Announce an event that is about to be applied, with the state that it finds.

    Returns:
        False if it was not delivered: it has to go into the outbox, together with the event.
    """
    if not (subscriber(rx) and rx.settings.get("state_enter")):
        return True
    text = _announcement(job["uuid"], event, job["state"], job["last_event"])
    try:
        _send(rx, text)
    except DeliveryError as error:
        rx.logger.warning("job %s: %s; it goes into the outbox", job["uuid"], error)
        return False
    return True


def deliver(rx: Reactor, jobs: PipelineJobStore, job_uuid: str) -> None:
    """Announce what a job's outbox holds, then some of what else is due.

    What cannot be delivered stays in the outbox; the message that was carried out has succeeded.
    """
    if not subscriber(rx):
        return
    # what a removed job of this uuid has yet to announce goes before what its successor has
    both = (jobs.outbox_of_removed, jobs.outbox)
    if all(_empty(rx, outbox, job_uuid, early=False) for outbox in both):
        _drain(rx, jobs, DRAINED_WITH_A_MESSAGE)


def drain(rx: Reactor, jobs: PipelineJobStore) -> tuple[int, int]:
    """Announce everything that is waiting; return how many jobs' outboxes are empty, and not.

    Raises:
        InvalidSettings: something waits, and nobody is named to announce it to.
    """
    return _drain(rx, jobs, None)


def _drain(rx: Reactor, jobs: PipelineJobStore, limit: int | None) -> tuple[int, int]:
    emptied = left = 0
    for outbox in (jobs.outbox_of_removed, jobs.outbox):
        for job_uuid in outbox.due(everything=limit is None):
            if limit is not None and emptied + left >= limit:
                break
            if not subscriber(rx):
                text = "pipelines.events_manager_id is not set: there is nobody to announce to"
                raise InvalidSettings(text)
            if _empty(rx, outbox, job_uuid, early=limit is None):
                emptied += 1
            else:
                left += 1
    return emptied, left


def _empty(rx: Reactor, outbox: Outbox, job_uuid: str, *, early: bool) -> bool:
    """Deliver a job's announcements in their order, until none is left or one fails."""
    while (job := outbox.claim(job_uuid, early=early)) is not None:
        for item in job["_outbox"]:
            text = _announcement(job_uuid, item["event"], item["state"], item["last_event"])
            try:
                _send(rx, text)
            except DeliveryError as error:
                outbox.postpone(job)
                rx.logger.warning("job %s: %s; it stays in the outbox", job_uuid, error)
                return False
            if not outbox.delivered(job, item["id"]):
                return False
        outbox.release(job)
    # somebody else may be at it, or a failed delivery not be due again yet
    return not outbox.holds(job_uuid)


def _announcement(job_uuid: str, event: str, state: str, last_event: str) -> dict[str, Any]:
    return {
        "job_uuid": job_uuid,
        "event_name": event,
        "job_state": state,
        "data": {"last_event": last_event},
    }


def _send(rx: Reactor, announcement: dict[str, Any]) -> None:
    rx.send_message(
        subscriber(rx),
        announcement,
        ignoreErrors=False,
        retryMaxAttempts=ATTEMPTS,
        retryDelay=DELAY,
        nonce=section_of(rx.settings, "pipelines").get("events_manager_nonce"),
    )
