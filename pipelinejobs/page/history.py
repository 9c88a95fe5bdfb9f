"""The history of a job, a page of it at a time: which entries, in which order."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, NamedTuple

from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import parsing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datacatalog.linkedstores.pipelinejob.search import JobSearch
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

PAGE = 50
"""Entries on a page."""
OLDEST = "oldest"
ORDERS = {"": "newest first", OLDEST: "oldest first"}


class Choice(NamedTuple):
    """What somebody wants to see of a history.

    Attributes:
        event: the only one that is shown; all, if it is empty.
        order: a key of `ORDERS`.
        before: the entries before this position are shown.
        is_open: whether the data of all entries is shown.
    """

    event: str = ""
    order: str = ""
    before: int | None = None
    is_open: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Choice:
        """Return what the parameters of an address ask for; what they cannot mean is left out."""
        event = query.get("event", "")
        return cls(
            event if event in fsm.TRANSITIONS else "",
            OLDEST if query.get("order") == OLDEST else "",
            parsing.number(query.get("before")),
            query.get("data") == "open",
        )


class Pages(NamedTuple):
    """The entries of a page of a history, and before which positions the other pages are."""

    entries: Sequence[Document] = ()
    newest: int | None = None
    newer: int | None = None
    older: int | None = None
    oldest: int | None = None


def pages(
    search: JobSearch,
    job: StoredJob,
    choice: Choice,
    total: int,
    newest: Sequence[Document],
) -> Pages:
    """Return a page of the history of a job.

    Args:
        search: where it is.
        job: as it is stored.
        choice: what is wanted.
        total: how many entries there are.
        newest: the entries among which those of one event are looked for, oldest first, without data.
    """
    chosen = [entry for entry in newest if entry["name"] == choice.event]
    places = [entry["position"] for entry in chosen] if choice.event else range(total)
    count = len(places)
    if choice.before is not None:
        end = bisect.bisect_left(places, choice.before)
    else:
        end = min(PAGE, count) if choice.order == OLDEST else count
    begin = max(0, end - PAGE)
    if choice.event:
        shown = [_with_data(search, job, entry) for entry in chosen[begin:end]]
    else:
        shown = list(search.entries(job, begin, end - begin))
    return Pages(
        shown if choice.order == OLDEST else shown[::-1],
        newest=total if end < count else None,
        newer=places[end + PAGE] if end + PAGE < count else None,
        older=places[begin] if begin else None,
        oldest=places[PAGE] if begin else None,
    )


def _with_data(search: JobSearch, job: StoredJob, entry: Document) -> Document:
    found = search.entry(job, str(entry["uuid"])) or {}
    return {**entry, "data": found.get("data")}
