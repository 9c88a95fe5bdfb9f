"""Moments: kept in UTC without a zone, shown as ISO 8601 (docs/reference/abaco.md#conventions)."""

from __future__ import annotations

import datetime


def now() -> datetime.datetime:
    """Return the moment, in UTC, as the database keeps it."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def iso(moment: datetime.datetime) -> str:
    """Return a moment as `2026-11-23T18:27:37.588Z`."""
    return f"{moment.isoformat(timespec='milliseconds')}Z"
