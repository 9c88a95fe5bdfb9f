"""What ends a message without success.

Exception
└── Refusal
    ├── InvalidMessage
    │   └── UnreadableReport
    ├── NotAuthorized
    ├── NotAllowed
    ├── Conflict
    ├── InvalidSettings
    └── Unavailable
        └── DatabaseUnavailable
"""

from __future__ import annotations

from typing import Any

FAILED = 1
TEMPORARY = 75
"""EX_TEMPFAIL of sysexits.h: the same message may succeed later."""


class Refusal(Exception):
    """The message was not handled; the text is one line for its sender."""

    kind = "refused"
    exit_code = FAILED


class InvalidMessage(Refusal):
    """The actor does not understand the message."""

    kind = "invalid_message"


class UnreadableReport(InvalidMessage):
    """What a platform reports about a job does not say what happened.

    Args:
        text: the line for the sender.
        body: the report.
    """

    def __init__(self, text: str, body: dict[str, Any]) -> None:
        super().__init__(text)
        self.body = body


class NotAuthorized(Refusal):
    """The sender may not do this, or the job does not exist."""

    kind = "not_authorized"


class NotAllowed(Refusal):
    """The state of the job does not allow the event."""

    kind = "not_allowed"


class Conflict(Refusal):
    """Another event came with the same idempotency key, or other writers were always faster."""

    kind = "conflict"


class InvalidSettings(Refusal):
    """The actor's configuration cannot be used."""

    kind = "invalid_settings"


class Unavailable(Refusal):
    """The database or another actor cannot be reached; the same message may succeed later.

    Args:
        text: the line for the sender.
        temporary: whether it may succeed although nobody changes anything.
    """

    kind = "unavailable"

    def __init__(self, text: str, *, temporary: bool = True) -> None:
        super().__init__(text)
        self.exit_code = TEMPORARY if temporary else FAILED


class DatabaseUnavailable(Unavailable):
    """The database does not do what it was asked."""
