"""Tell the subscribers what has happened to jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import former_outbox
from datacatalog.linkedstores.subscriptions import Subscriptions
from manager.exceptions import InvalidSettings
from manager.settings import section_of

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from reactors.runtime import Reactor

BUDGET_SECONDS = 1.0
"""For all that an execution tells, whoever answers or does not."""


def is_done_elsewhere(rx: Reactor) -> bool:
    """Tell whether a dispatcher runs beside this actor."""
    return bool(section_of(rx.settings, "deliveries").get("dispatcher"))


def names_subscribers(rx: Reactor) -> bool:
    """Tell whether the settings name anybody to tell."""
    named = section_of(rx.settings, "pipelines").get("events_manager_id")
    return bool(named or rx.settings.get("subscriptions"))


def deliver(rx: Reactor, jobs: PipelineJobStore) -> None:
    """Tell what is new, within a second; what that does not achieve is told later, and why is logged.

    Where a dispatcher does it, this does nothing; and where the settings name nobody, the database is
    not asked for others: these are told by a drain.
    """
    if is_done_elsewhere(rx) or not names_subscribers(rx):
        return
    from manager.subscriptions import service  # noqa: PLC0415 - an actor with a dispatcher does without

    try:
        service.deliver(rx, jobs, seconds=BUDGET_SECONDS, failures=1)
    except mongo.DatabaseError as error:
        rx.logger.warning(
            "the subscribers were not told yet: the database: %s", type(error).__name__
        )
    except InvalidSettings as error:
        rx.logger.warning("the subscribers were not told yet: %s", error)


def drain(rx: Reactor, jobs: PipelineJobStore) -> tuple[int, int]:
    """Tell everything, also what has failed before and is not to be tried again yet.

    Returns:
        How many events were told, and of how many jobs something is left.

    Raises:
        InvalidSettings: something waits, and nobody is named to tell it to.
    """
    if not (names_subscribers(rx) or Subscriptions(jobs.db).kept()):
        if former_outbox.holds(jobs.untold):
            text = "pipelines.events_manager_id is not set: there is nobody to announce to"
            raise InvalidSettings(text)
        return 0, 0
    from manager.subscriptions import service  # noqa: PLC0415 - for a drain only

    return service.drain(rx, jobs)
