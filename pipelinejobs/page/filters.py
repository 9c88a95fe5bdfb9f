"""Which jobs an address is about: the filters that the list, the overview and the Gantt chart share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from datacatalog import documents
from datacatalog.linkedstores.pipelinejob.search import Filters
from pipelinejobs import parsing
from pipelinejobs.exceptions import CommandError
from pipelinejobs.page import periods

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping

    from datacatalog.linkedstores.statistics.reader import Period
    from datacatalog.mongo import Document
    from pipelinejobs.page.context import Context

T = TypeVar("T")
SHARED = ("pipeline", "owner", "session")
"""Parameters that mean the same on all pages that list or draw jobs; each may be given several times."""
MAX_PICKED = 200
"""Pipelines that can be picked; others are in the list of pipelines."""


class Choice(NamedTuple):
    """A pipeline that can be picked."""

    uuid: str
    name: str
    is_chosen: bool


class Scope(NamedTuple):
    """The part of the jobs that somebody looks at; no value stands for all.

    Attributes:
        pipelines: UUIDs.
        owners: as they are written in the jobs, whole.
        sessions: the same.
    """

    pipelines: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: Context) -> Scope:
        """Return the scope in an address, whose pipelines are named by UUID or id.

        Raises:
            CommandError: there is no such pipeline.
        """
        named, owners, sessions = (
            [text.strip() for text in context.every(name) if text.strip()] for name in SHARED
        )
        uuids = tuple(context.backend.pipeline_uuid(name) for name in named)
        return cls(uuids, tuple(owners), tuple(sessions))

    @property
    def is_counted(self) -> bool:
        """Whether the statistics can tell it: they count per hour, pipeline and state."""
        return not self.owners and not self.sessions

    @property
    def fields(self) -> dict[str, list[str]]:
        """The parameters that say it in an address."""
        found = zip(SHARED, self, strict=True)
        return {name: [*values] for name, values in found if values}

    def has(self, job: Document) -> bool:
        """Tell whether a job is in it."""
        found = (
            job.get("pipeline_uuid"),
            documents.value_at(job, "_admin", "owner"),
            job.get("session"),
        )
        return all(not wanted or each in wanted for wanted, each in zip(self, found, strict=True))


class Asked(NamedTuple):
    """What an address asks a page about a time for.

    Attributes:
        period: which time.
        scope: which jobs.
        problem: why the address asks for something else than this.
    """

    period: Period
    scope: Scope
    problem: str = ""

    @classmethod
    def of(cls, context: Context) -> Asked:
        """Return what an address asks for; the usual period and all jobs where it cannot be understood."""
        try:
            return cls(periods.read(context.query), Scope.of(context))
        except CommandError as error:
            return cls(periods.read({}), Scope(), str(error))

    @property
    def excuse(self) -> str:
        """What is said of the problem where something else is shown."""
        return f"{self.problem}. Below is the last {periods.USUAL}." if self.problem else ""


def states(context: Context) -> list[str]:
    """Return the states that an address names."""
    return [state.upper() for state in context.every("state") if state]


class Reader:
    """Reads parameters of an address, and notes what is wrong with them.

    Args:
        mistakes: is given what is wrong, by the names of the parameters.
    """

    def __init__(self, mistakes: dict[str, str]) -> None:
        self._mistakes = mistakes

    def __call__(self, name: str, how: Callable[[], T], otherwise: T) -> T:
        """Return what a parameter says; something else where that is wrong."""
        try:
            return how()
        except CommandError as error:
            self._mistakes[name] = str(error)
            return otherwise

    def span(
        self, query: Mapping[str, str], first: str, last: str
    ) -> tuple[datetime.datetime | None, datetime.datetime | None]:
        """Return the moments that two parameters say; the second has to be the later one."""
        since, until = (
            self(name, functools.partial(periods.moment, query.get(name)), None)
            for name in (first, last)
        )
        if since and until and since >= until:
            self._mistakes[last] = "The end must be later than the beginning."
        return since, until


def read(context: Context, mistakes: dict[str, str]) -> Filters:
    """Return which jobs an address is about.

    Args:
        context: the request.
        mistakes: is given what is wrong, by the names of the parameters.
    """
    query, field = context.query, Reader(mistakes)

    def age(name: str) -> datetime.datetime | None:
        return field(name, lambda: parsing.moment(query.get(name) or None), None)

    scope = field("pipeline", lambda: Scope.of(context), Scope())
    created = field.span(query, "created_from", "created_to")
    updated = field.span(query, "from", "to")
    return Filters(
        states=field("state", lambda: parsing.states(states(context)), ()),
        pipelines=scope.pipelines,
        owners=scope.owners,
        sessions=scope.sessions,
        created_after=age("created") or created[0],
        created_before=created[1],
        updated_after=updated[0],
        updated_before=_earlier(age("idle"), updated[1]),
        text=query.get("text", "").strip(),
        hidden=query.get("hidden") == "yes",
    )


def _earlier(
    one: datetime.datetime | None, other: datetime.datetime | None
) -> datetime.datetime | None:
    found = [moment for moment in (one, other) if moment is not None]
    return min(found, default=None)


def picker(context: Context) -> list[Choice]:
    """Return the pipelines that can be picked, those that are chosen in any case."""
    chosen = {name.strip() for name in context.every("pipeline")} - {""}
    rows = context.backend.search.named_pipelines(MAX_PICKED)
    found = [
        Choice(
            row["uuid"], str(row.get("name")), not chosen.isdisjoint({row["uuid"], row.get("id")})
        )
        for row in rows
    ]
    known = {name for row in rows for name in (row["uuid"], row.get("id"))}
    return [*found, *(Choice(name, name, is_chosen=True) for name in sorted(chosen - known))]
