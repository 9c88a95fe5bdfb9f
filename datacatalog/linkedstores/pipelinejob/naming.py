"""Finding a job by what people call it: the beginning of its UUID, its title or its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.basestore import beginnings
from datacatalog.linkedstores.basestore.paging import Listing
from datacatalog.linkedstores.basestore.store import CREATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.reader import JobReader

TITLES = ("name", "title")
"""Where the data of a job may have what it is called."""
MAX_SEARCHED = 2_000
"""Jobs, the newest, of which one may be named by its title or session."""
_NAMES = (*(f"data.{name}" for name in TITLES), "session")


def title_of(job: Mapping[str, Any]) -> str | None:
    """Return what a job is called: by `name` or `title` in its data, else by its session."""
    texts = (text.strip() for text in _names_of(job) if isinstance(text, str))
    return next(filter(None, texts), None)


def named(jobs: JobReader, name: str, limit: int) -> list[Mapping[str, Any]]:
    """Return jobs, hidden ones too, with a name: `uuid`, `state`, and what has their title.

    An index for titles and sessions would cost every event of every job, so these are looked for among
    the newest jobs.

    Args:
        jobs: the store.
        name: the beginning of a UUID, at least `beginnings.MIN_BEGINNING` characters, or a whole title or session,
            of one of the newest `MAX_SEARCHED` jobs.
        limit: how many at most.
    """
    fields = dict.fromkeys(("uuid", "state", CREATED, *_NAMES), 1)
    found: dict[str, Mapping[str, Any]] = {}
    query = beginnings.query(name)
    if query is not None:
        found = {row["uuid"]: row for row in jobs.coll.find(query, fields, limit=limit)}
    newest = Listing(jobs.coll, CREATED, projection=fields).page(None, MAX_SEARCHED).rows
    found |= {row["uuid"]: row for row in newest if name in _names_of(row)}
    return [*found.values()][:limit]


def _names_of(job: Mapping[str, Any]) -> list[Any]:
    data = job.get("data")
    return [*(data.get(name) for name in TITLES if isinstance(data, dict)), job.get("session")]
