"""Who subscribes: the events manager and the webhooks of the settings, and those that are kept."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import former_outbox
from datacatalog.linkedstores.subscriptions import DEFINITION
from manager.exceptions import InvalidSettings
from manager.subscriptions import actor, definition
from manager.subscriptions.actor import EventsManager
from manager.subscriptions.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.subscriptions import Subscriptions
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import Subscriber
    from reactors.runtime import Reactor

ALLOWANCE = datetime.timedelta(seconds=10)
"""An execution that is the first to see a subscription has applied its event before that."""


def read(
    rx: Reactor, jobs: PipelineJobStore, subscriptions: Subscriptions
) -> tuple[list[Subscriber], Mapping[str, Document]]:
    """Return those who are told, and what is kept of all subscriptions.

    Raises:
        InvalidSettings: a subscription in the settings makes no sense.
    """
    kept = subscriptions.kept()
    subscriptions.begin_now(kept)
    found: list[Subscriber] = []
    if actor.actor_id(rx):
        since = _since(actor.NAME, jobs, subscriptions, kept)
        found.append(EventsManager(rx, since))
    for each in definition.of_settings(rx):
        since = _since(each.name, jobs, subscriptions, kept)
        found.append(Webhook(each, jobs, since))
    names = {each.name for each in found}
    for name, document in kept.items():
        if DEFINITION in document and name not in names:
            given = {"name": name, **document[DEFINITION]}
            try:
                each = definition.parse(given, rx.environ)
            except InvalidSettings as error:
                # what it is to be told waits until that is fixed, and the others do not
                if document.get("error") != str(error):
                    subscriptions.note({name: ({}, {"error": str(error), "error_date": now()})})
                continue
            found.append(Webhook(each, jobs, document["since"]))
    return [each for each in found if not kept.get(each.name, {}).get("ended")], kept


def _since(
    name: str,
    jobs: PipelineJobStore,
    subscriptions: Subscriptions,
    kept: dict[str, Document],
) -> datetime.datetime:
    """Return from when on a subscription of the settings is told."""
    if name not in kept:
        since = now() - ALLOWANCE
        if name == actor.NAME:
            # what a former version had yet to announce goes to the same actor
            oldest = former_outbox.empty(jobs.untold)
            since = min(since, oldest or since)
        kept[name] = {"_id": name, "since": subscriptions.begin(name, since)}
    moment: datetime.datetime = kept[name]["since"]
    return moment
