"""Telling again what became dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacatalog.linkedstores.basestore.store import now
from manager.subscriptions.posting import ANSWER_SECONDS, DeliveryFailed
from manager.subscriptions.subscriber import News, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.subscriptions import Subscriptions
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import Subscriber


class Replayed(NamedTuple):
    """What became of dead letters."""

    told: int
    dropped: int
    """those whose event is nowhere any more"""
    left: int


def replay(
    subscriber: Subscriber,
    letters: Sequence[Document],
    jobs: PipelineJobStore,
    subscriptions: Subscriptions,
) -> Replayed:
    """Tell a subscriber events that it could not be told, in their order; stop at the first failure.

    Returns:
        How many were told or dropped, which are no longer dead letters, and how many are left.
    """
    told = dropped = 0
    for letter in letters:
        news = _news(letter, jobs)
        if news is not None:
            try:
                tell(subscriber, news, ANSWER_SECONDS)
            except DeliveryFailed as failure:
                subscriptions.bury({**letter, "reason": str(failure), "tries": letter["tries"] + 1})
                break
        subscriptions.revived(letter["_id"])
        told += news is not None
        dropped += news is None
    if told:
        well = {"last_delivery": now(), "failures": 0, "until": None}
        subscriptions.note({subscriber.name: ({"delivered": told}, well)})
    return Replayed(told, dropped, len(letters) - told - dropped)


def _news(letter: Document, jobs: PipelineJobStore) -> News | None:
    """Return the event of a dead letter; None if it is nowhere any more."""
    job, number = jobs.untold.any_head(letter["job_id"]), int(letter["number"])
    if job is None:
        return None
    entries = jobs.untold.entries(job, max(0, number - 1), 2)
    before = entries.pop(0) if number and entries else None
    return News(job, number, entries[0], before) if entries else None
