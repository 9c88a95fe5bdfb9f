"""What a table shows of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]
WIDE = 150
"""Columns of a terminal that shows UUIDs and dates in full."""


class Column(NamedTuple):
    """A column of a table."""

    key: str
    title: str = ""
    whole: bool = False
    """is never broken into lines"""
    brief: Callable[[Any], str] | None = None
    """how a terminal that is not `WIDE` shows a value; a pipe gets it in full"""
    room: int = 0
    """is left out where a terminal has fewer columns of characters"""
