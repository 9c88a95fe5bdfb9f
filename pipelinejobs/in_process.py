"""The manager in this process, without the gateway: `--direct`, and what no message does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manager import actions, announcements

if TYPE_CHECKING:
    from manager.messages import Message
    from pipelinejobs.backend import Backend


def handle(backend: Backend, message: Message, **variables: str) -> dict[str, Any]:
    """Handle a message as the manager does; return what its sender is answered.

    Args:
        backend: where.
        message: what.
        variables: of the message, as the platform passes them.

    Raises:
        Refusal: it was not done.
    """
    rx = backend.reactor(**variables)
    outcome = actions.handle(rx, message, backend.jobs)
    announcements.deliver(rx, backend.jobs)
    return outcome.result


def retry(backend: Backend, rejected_id: str, event: str | None = None) -> dict[str, Any]:
    """Apply an event that was refused before; return what its sender would be answered.

    Args:
        backend: where.
        rejected_id: of the event.
        event: what a report that could not be read was about.

    Raises:
        Refusal: it is refused again.
    """
    rx = backend.reactor()
    outcome = actions.retry(rx, rejected_id, backend.jobs, event)
    announcements.deliver(rx, backend.jobs)
    return outcome.result


def drain(backend: Backend) -> tuple[int, int]:
    """Tell what waits; return how many events were told, and of how many jobs something is left.

    Raises:
        InvalidSettings: something waits, and nobody is named to announce it to.
    """
    return announcements.drain(backend.reactor(), backend.jobs)
