"""Errors of tokens.

ValueError
└── InvalidToken
    └── InvalidAdminToken
"""

from __future__ import annotations


class InvalidToken(ValueError):
    """The token is not valid for what it was shown for."""

    def __init__(self, message: str = "Token was not valid") -> None:
        super().__init__(message)


class InvalidAdminToken(InvalidToken):
    """The token is not a valid administrative one."""
