"""Finding a job by what people call it: the beginning of its UUID, its title or its session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datacatalog.linkedstores.pipelinejob.reader import JobReader
    from datacatalog.mongo import Document

MIN_BEGINNING = 8
"""Characters of a UUID that are enough to look for."""
TITLES = ("name", "title")
"""Where the data of a job may have what it is called."""
NAMES = (*(f"data.{name}" for name in TITLES), "session")
"""Indexed fields, whose value names a job."""
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")
_BEHIND_HEX = "g"


def title_of(job: Document) -> str | None:
    """Return what a job is called: by `name` or `title` in its data, else by its session."""
    data = job.get("data")
    named = [data.get(name) for name in TITLES] if isinstance(data, dict) else []
    texts = (text.strip() for text in (*named, job.get("session")) if isinstance(text, str))
    return next(filter(None, texts), None)


def questions(name: str) -> list[dict[str, Any]]:
    """Return the queries that find the jobs with a name, each by one index."""
    asked: list[dict[str, Any]] = [{field: name} for field in NAMES]
    beginning = name.lower()
    if _BEGINNING.fullmatch(beginning):
        asked.insert(0, {"uuid": {"$gte": beginning, "$lt": beginning + _BEHIND_HEX}})
    return asked


def named(jobs: JobReader, name: str, limit: int) -> list[Document]:
    """Return jobs, hidden ones too, with a name: `uuid`, `state`, and what has their title.

    Args:
        jobs: the store.
        name: the beginning of a UUID, at least `MIN_BEGINNING` characters, or a whole title or session.
        limit: how many at most.
    """
    fields = dict.fromkeys(("uuid", "state", *NAMES), 1)
    found: dict[str, Document] = {}
    for query in questions(name):
        for row in jobs.coll.find(query, fields, limit=limit):
            found.setdefault(row["uuid"], row)
    return [*found.values()][:limit]
