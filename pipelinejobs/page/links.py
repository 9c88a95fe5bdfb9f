"""Numbers and names that lead to what they stand for."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus

from datacatalog.linkedstores.statistics.reader import FINISHED, REJECTED
from pipelinejobs.page import periods

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacatalog.linkedstores.statistics.reader import Period


_REACHED = {
    FINISHED: (FINISHED, "INDEXING", "VALIDATING", "VALIDATED", REJECTED, "FINALIZED"),
}
"""States in which a job may be after its run has ended, where it can go on from there."""


class Link(NamedTuple):
    """A number or a name that leads to what it stands for."""

    text: Any
    path: str


class Paths:
    """Addresses of what is counted in a period.

    Args:
        period: which.
        pipelines: UUIDs; none for all.
    """

    def __init__(self, period: Period, pipelines: Sequence[str] = ()) -> None:
        self._since, self._until = periods.plain(period.since), minute_after(period.until)
        self._pipelines = [*pipelines]

    @property
    def jobs(self) -> str:
        """The jobs to which something has happened, the last of it in the period."""
        return self.with_fields({"pipeline": self._pipelines})

    @property
    def created(self) -> str:
        """The jobs that were created."""
        return self.with_fields({"pipeline": self._pipelines}, created=True)

    @property
    def refused(self) -> str:
        """The events that were refused, also those that were applied since."""
        fields = {"pipeline": self._pipelines, "settled": ["yes"]}
        return _to("/refused", self._happened(), fields)

    def ended(self, *ends: str) -> str:
        """Return the address of the jobs whose run ended in some states, or that have gone on from there."""
        states = [state for end in ends for state in _REACHED.get(end, (end,))]
        return self.with_fields({"pipeline": self._pipelines, "state": states})

    def with_fields(self, fields: Mapping[str, Sequence[str]], *, created: bool = False) -> str:
        """Return the address of the jobs that further filters leave; of those that were `created`."""
        return _to("/jobs", self._created() if created else self._happened(), fields)

    def _happened(self) -> dict[str, str]:
        return {"from": self._since, "to": self._until}

    def _created(self) -> dict[str, str]:
        return {"created_from": self._since, "created_to": self._until}


def _to(page: str, times: Mapping[str, str], fields: Mapping[str, Sequence[str]]) -> str:
    pairs = [*times.items(), *((name, each) for name, values in fields.items() for each in values)]
    return f"{page}?" + "&".join(f"{name}={_quoted(value)}" for name, value in pairs)


_quoted = lru_cache(1024)(quote_plus)
"""The same moments, pipelines and states stand in hundreds of addresses of a page."""


def minute_after(moment: datetime.datetime) -> str:
    """Return the minute that a moment begins, or the one after it, so that all before it is in the period."""
    begun = moment.replace(second=0, microsecond=0)
    return periods.plain(begun if begun == moment else begun + datetime.timedelta(minutes=1))
