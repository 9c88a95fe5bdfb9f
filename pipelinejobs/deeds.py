"""What the manager does, done in this process: by the same code, and announced as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog import mongo
from manager import actions, announcements
from manager.authorization import authorize
from manager.exceptions import InvalidSettings

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from manager.actions import Outcome
    from manager.messages import Message
    from pipelinejobs.site import Site
    from reactors.runtime import Reactor


def carry_out(site: Site, message: Message, **variables: str) -> dict[str, Any]:
    """Do what a message says; return what its sender is answered.

    Args:
        site: where.
        message: what.
        variables: of the message, as the platform passes them.

    Raises:
        Refusal: it was not done.
    """
    rx = site.reactor(**variables)
    permit = authorize(rx, message, site.jobs)
    return _announced(rx, site.jobs, actions.act(rx, message, permit, site.jobs))


def retry(site: Site, rejected_id: str, event: str | None = None) -> dict[str, Any]:
    """Apply an event that was refused before; return what its sender would be answered.

    Args:
        site: where.
        rejected_id: of the event.
        event: what a report that could not be read was about.

    Raises:
        Refusal: it is refused again.
    """
    rx = site.reactor()
    return _announced(rx, site.jobs, actions.retry(rx, rejected_id, site.jobs, event))


def drain(site: Site) -> tuple[int, int]:
    """Tell what waits; return how many events were told, and of how many jobs something is left.

    Raises:
        InvalidSettings: something waits, and nobody is named to announce it to.
    """
    return announcements.drain(site.reactor(), site.jobs)


def _announced(rx: Reactor, jobs: PipelineJobStore, outcome: Outcome) -> dict[str, Any]:
    try:
        announcements.deliver(rx, jobs)
    except mongo.DatabaseError as error:
        rx.logger.warning(
            "the subscribers were not told yet: the database: %s", type(error).__name__
        )
    except InvalidSettings as error:
        rx.logger.warning("the subscribers were not told yet: %s", error)
    return outcome.result
