"""Errors of actors.

Exception
├── MessageError     the message cannot be read
├── SettingsError    the configuration cannot be used
├── DeliveryError    a message to another actor was not delivered
└── PlatformError    the platform did not do what it was asked
"""

from __future__ import annotations


class MessageError(ValueError):
    """The message cannot be read; the text says what to change."""


class SettingsError(ValueError):
    """The configuration cannot be used; the text says what to change."""


class DeliveryError(RuntimeError):
    """A message to another actor was not delivered.

    Attributes:
        temporary: whether the same message may be delivered later; else the other actor, or the
            right to send it messages, has to be there first.
    """

    def __init__(self, message: str, *, temporary: bool = True) -> None:
        super().__init__(message)
        self.temporary = temporary


class PlatformError(RuntimeError):
    """The platform did not do what it was asked; the text says what it answered."""
