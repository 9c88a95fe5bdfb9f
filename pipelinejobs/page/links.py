"""Numbers and names that lead to what they stand for."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from pipelinejobs.page import periods

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacatalog.linkedstores.statistics.reader import Period


class Link(NamedTuple):
    """A number or a name that leads to what it stands for."""

    text: Any
    path: str


def to_jobs(period: Period, pipelines: Sequence[str] = (), **more: Any) -> str:
    """Return the address of the list of jobs to which something happened in a period."""
    times = {"from": periods.plain(period.since), "to": minute_after(period.until)}
    fields = {**times, "pipeline": [*pipelines], **more}
    return "/jobs?" + urlencode(fields, doseq=True)


def to_created(period: Period, fields: Mapping[str, Sequence[str]]) -> str:
    """Return the address of the list of jobs that were created in a period."""
    times = {
        "created_from": periods.plain(period.since),
        "created_to": minute_after(period.until),
    }
    return "/jobs?" + urlencode({**times, **fields}, doseq=True)


def minute_after(moment: datetime.datetime) -> str:
    """Return the minute after a moment, so that the minute itself is in the period."""
    return periods.plain(moment + datetime.timedelta(minutes=1))
