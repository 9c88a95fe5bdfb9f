"""What ends a message without success.

Exception
└── Refusal
    ├── InvalidMessage
    ├── NotAuthorized
    ├── NotAllowed
    ├── Conflict
    ├── InvalidSettings
    └── Unavailable
"""

from __future__ import annotations


class Refusal(Exception):
    """The message was not carried out; the text is one line for its sender."""

    kind = "refused"


class InvalidMessage(Refusal):
    """The message is none that the actor understands."""

    kind = "invalid_message"


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
    """The database or another actor cannot be reached; the same message may succeed later."""

    kind = "unavailable"
