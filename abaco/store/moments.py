"""Moments of PostgreSQL's clock, by which the machines of a fleet agree however their own clocks are."""

from __future__ import annotations

import datetime

from sqlalchemy import ColumnElement, DateTime, literal_column

NOW: ColumnElement[datetime.datetime] = literal_column(
    "timezone('utc', clock_timestamp())", DateTime()
)


def later(seconds: float) -> ColumnElement[datetime.datetime]:
    """Return the moment in some seconds."""
    return NOW + datetime.timedelta(seconds=seconds)
