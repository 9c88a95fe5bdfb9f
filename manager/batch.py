"""Several messages that wait together: the events of each job in one update, those of all jobs in one command.

Only what has nothing to do but append an event is done so, or was done by an earlier delivery. The first
message that needs more ends the batch. One that is refused is left, with those behind it of the same job.
What is left is handled by itself, as all messages are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.pipelinejob import JobError
from manager import actions, announcements
from manager.authorization import authorize
from manager.exceptions import Refusal
from manager.messages import classify
from manager.schemas import FORWARDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datacatalog.linkedstores.pipelinejob import Event, PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from manager.actions import Outcome
    from manager.messages import Message
    from reactors.runtime import Reactor


def handle(reactors: Sequence[Reactor], jobs: PipelineJobStore) -> list[Outcome | None]:
    """Handle the first of several messages, as far as they are simple.

    Args:
        reactors: of the messages, in their order.
        jobs: the store.

    Returns:
        What those at the beginning have brought about, None for one that was not handled. No message
        of a job is handled after one of the same job that was not; those at the end were not touched.

    Raises:
        Uncertain: jobs have changed meanwhile; whether messages were handled is unknown.
        PyMongoError: the database failed; whether messages were handled is unknown.
    """
    simple = list(_simple(reactors))
    unknown = {message.uuid for _, message in simple if not jobs.heads.has(message.uuid)}
    if len(unknown) > 1:
        # one question for all
        for head in jobs.load_heads(unknown):
            jobs.heads.keep(head)
    # the heads on which the events of each job are decided
    decided: dict[str, StoredJob] = {}
    events: dict[str, list[Event]] = {}
    left: set[str] = set()
    for rx, message in simple:
        if message.uuid in left:
            continue
        known = decided.get(message.uuid)
        if known is not None:
            # authorizing the event before has taken it
            jobs.heads.keep(known)
        try:
            permit = authorize(rx, message, jobs)
            if known is not None and not permit.remembered:
                # it was read again: the events before are decided on an older one
                left.add(message.uuid)
                continue
            head = decided.setdefault(message.uuid, permit.job or {})
            key = actions.idempotency_key(rx, message)
            event = actions.event_of(rx, message, message.data, key, head, jobs)
        except (Refusal, JobError):
            left.add(message.uuid)
            continue
        events.setdefault(message.uuid, []).append(event)
        rx.redact.add(message.token)
    found = jobs.apply_together([(decided[uuid], some) for uuid, some in events.items()])
    applied = {uuid: iter(some) for uuid, some in zip(events, found, strict=True)}
    # of one job, what is left came behind what was applied
    done = [(message, next(applied.get(message.uuid, iter(())), None)) for _, message in simple]
    return [None if each is None else actions.outcome_of(message, each) for message, each in done]


def _simple(reactors: Sequence[Reactor]) -> Iterator[tuple[Reactor, Message]]:
    """Yield the messages before the first that is not simple, or cannot be read."""
    for rx in reactors:
        try:
            message = classify(rx)
        except Refusal:
            return
        if not _is_simple(rx, message, reactors[0]):
            return
        yield rx, message


def _is_simple(rx: Reactor, message: Message, first: Reactor) -> bool:
    """Tell whether a message brings an event, of which nobody has to be asked or told anything."""
    return (
        bool(message.event)
        and message.event not in FORWARDED
        and not message.is_callback
        and rx.settings == first.settings
        and (announcements.is_done_elsewhere(rx) or not announcements.names_subscribers(rx))
    )
