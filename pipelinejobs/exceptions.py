"""Errors of the command line, and the exit codes that they end it with.

Exception
└── CommandError        1
    ├── Missing         1
    ├── UsageError      2
    └── Unreachable     3
"""

from __future__ import annotations

DONE, FAILED, WRONG_USE, UNREACHABLE = 0, 1, 2, 3


class CommandError(Exception):
    """It was not done; the text says why, and what to do."""

    exit_code = FAILED


class Missing(CommandError):
    """The gateway has nothing of this name."""


class UsageError(CommandError):
    """The arguments or the settings are wrong."""

    exit_code = WRONG_USE


class Unreachable(CommandError):
    """The database or the gateway is not there, or does not answer; the command may succeed later."""

    exit_code = UNREACHABLE
