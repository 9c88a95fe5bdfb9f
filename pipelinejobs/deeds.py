"""What the manager does, done in this process: by the same code, and announced as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manager import actions, announcements

if TYPE_CHECKING:
    from manager.messages import Message
    from pipelinejobs.site import Site


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
    outcome = actions.handle(rx, message, site.jobs)
    announcements.deliver(rx, site.jobs)
    return outcome.result


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
    outcome = actions.retry(rx, rejected_id, site.jobs, event)
    announcements.deliver(rx, site.jobs)
    return outcome.result


def drain(site: Site) -> tuple[int, int]:
    """Tell what waits; return how many events were told, and of how many jobs something is left.

    Raises:
        InvalidSettings: something waits, and nobody is named to announce it to.
    """
    return announcements.drain(site.reactor(), site.jobs)
