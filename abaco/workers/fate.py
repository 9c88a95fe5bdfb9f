"""What becomes of a message whose process has ended: decided here, done by the worker."""

from __future__ import annotations

import enum
from typing import NamedTuple

MAX_ATTEMPTS = 10
"""How often an execution is begun whose process is killed from outside; its gateway may be, too."""
MAX_FAILURES = 5
"""How often a program is started that does not start."""


class Fate(enum.Enum):
    """What becomes of a message."""

    ENDED = "ended"
    AGAIN = "again"
    """at once"""
    LATER = "later"
    """when what it depends on may be there"""


class Facts(NamedTuple):
    """How a process ended, and what is known about its message.

    Attributes:
        stopped: somebody stopped it, or its time was over.
        aborted: the gateway ends.
        failed: its program did not start.
        failures: how often that has happened in a row, this time included.
        killed: a signal ended it that nobody here sent.
        attempts: how often that has happened before.
        unavailable: it said, by its exit code, that something it depends on is away.
        answered: somebody waits for the answer, who is told instead.
        repeatable: it may run again although somebody was told that it could not.
    """

    stopped: bool = False
    aborted: bool = False
    failed: bool = False
    failures: int = 0
    killed: bool = False
    attempts: int = 0
    unavailable: bool = False
    answered: bool = False
    repeatable: bool = False


def decide(facts: Facts) -> Fate:
    """Return what becomes of a message."""
    if facts.stopped:
        return Fate.ENDED
    if facts.aborted:
        return Fate.AGAIN if facts.killed or facts.failed else Fate.ENDED
    if facts.failed:
        return Fate.AGAIN if facts.failures < MAX_FAILURES else Fate.ENDED
    if facts.killed:
        return Fate.AGAIN if facts.attempts + 1 < MAX_ATTEMPTS else Fate.ENDED
    if facts.unavailable and (facts.repeatable or not facts.answered):
        return Fate.LATER
    return Fate.ENDED
