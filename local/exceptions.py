"""What can go wrong with the database of this machine."""

from __future__ import annotations


class LocalDatabaseError(RuntimeError):
    """The server cannot be started or stopped; the text says what to do."""
