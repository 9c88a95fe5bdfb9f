"""The columns of the list of jobs: which there are, which are shown, and by which it is sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datacatalog.linkedstores.pipelinejob.search import ORDERS

if TYPE_CHECKING:
    from pipelinejobs.page.context import Context

COLUMNS = {
    "state": "State",
    "event": "Last event",
    "updated": "Updated",
    "run": "Run time",
    "progress": "Progress",
    "created": "Created",
    "pipeline": "Pipeline",
    "session": "Session",
    "owner": "Owner",
    "agent": "Agent",
    "task": "Task",
}
"""Each with its title, in the order in which they are shown, behind that of the job itself."""
USUAL = ("state", "updated", "run", "progress", "created", "pipeline", "session")
ON_PHONES = ("state", "updated", "run", "progress")
"""Of the usual ones, unless somebody has chosen columns; the page of a job has the others."""
_OLDEST = "oldest"


class Sorting(NamedTuple):
    """The order of the list."""

    column: str
    """a key of `ORDERS`"""
    oldest_first: bool

    @property
    def aria(self) -> str:
        """The order as the attribute `aria-sort` says it."""
        return "ascending" if self.oldest_first else "descending"


def chosen(context: Context) -> list[str]:
    """Return the columns that an address names, or the usual ones."""
    named = set(context.every("columns"))
    return [name for name in COLUMNS if name in named] or [*USUAL]


def sorting(context: Context) -> Sorting:
    """Return the order that an address names, by default the newest first."""
    wanted = context.query.get("sort", "")
    column = wanted if wanted in ORDERS else next(iter(ORDERS))
    return Sorting(column, context.query.get("order") == _OLDEST)


def sorted_by(context: Context) -> dict[str, str]:
    """Return where the title of each column leads by which the list can be sorted."""
    now = sorting(context)
    return {
        name: context.link(
            sort=name,
            order=_OLDEST if name == now.column and not now.oldest_first else None,
        )
        for name in ORDERS
    }
