"""Several messages about one job that wait together: their events in one update of the job.

Only what has nothing to do but append an event is done so. The first message that needs more, that is
refused, or that may have come before ends the batch: it is handled by itself, as all messages are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.pipelinejob import JobError, Outdated
from manager import actions, announcements
from manager.authorization import authorize
from manager.exceptions import Refusal
from manager.messages import classify
from manager.schemas import FORWARDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacatalog.linkedstores.pipelinejob import Event, PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from manager.actions import Outcome
    from manager.messages import Message
    from reactors.runtime import Reactor


def handle(reactors: Sequence[Reactor], jobs: PipelineJobStore) -> list[Outcome]:
    """Handle the first of several messages, as far as they are simple.

    Args:
        reactors: of the messages, in their order.
        jobs: the store.

    Returns:
        What those have brought about that were handled; the others were not touched.

    Raises:
        PyMongoError: the database failed; whether messages were handled is unknown.
    """
    head: StoredJob | None = None
    messages: list[Message] = []
    events: list[Event] = []
    for rx in reactors:
        try:
            message = classify(rx)
            if not _is_simple(rx, message, reactors[0]):
                break
            if head is not None:
                if message.uuid != head["uuid"]:
                    break
                jobs.heads.keep(head)
            permit = authorize(rx, message, jobs)
            if head is not None and not permit.remembered:
                break
            head = head or permit.job or {}
            key = actions.idempotency_key(rx, message)
            events.append(actions.event_of(rx, message, message.data, key, head, jobs))
        except (Refusal, JobError):
            break
        rx.redact.add(message.token)
        messages.append(message)
    if head is None or not events:
        return []
    try:
        applied = jobs.apply_together(head, events)
    except Outdated:
        return []
    return [actions.outcome_of(*each) for each in zip(messages, applied, strict=False)]


def _is_simple(rx: Reactor, message: Message, first: Reactor) -> bool:
    """Tell whether a message brings an event, of which nobody has to be asked or told anything."""
    return (
        bool(message.event)
        and message.event not in FORWARDED
        and not message.is_callback
        and rx.settings == first.settings
        and (announcements.is_done_elsewhere(rx) or not announcements.names_subscribers(rx))
    )
