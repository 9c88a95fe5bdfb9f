"""The lives of a job: each `reset` begins another one, and a key of an event counts within one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipelinejob.exceptions import LateDelivery

if TYPE_CHECKING:
    import datetime

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.mongo import Document

LIFE = "_life"
"""Where a job has the number of its last reset, and when that was; absent in the first life."""
BEGIN = "reset"
"""The event that begins a life; it belongs to the life that it begins."""


def number(job: Document) -> int:
    """Return how often a job was reset."""
    return int(_of(job).get("number") or 0)


def since(job: Document) -> datetime.datetime | None:
    """Return when the life of a job began; None in the first one."""
    found: datetime.datetime | None = _of(job).get("since")
    return found


def changes(job: Document, entry: Entry) -> dict[str, Any]:
    """Return what an event changes about the life of a job: nothing, if it begins none."""
    if entry["name"] != BEGIN:
        return {}
    return {LIFE: {"number": number(job) + 1, "since": entry["date"]}}


def identity(key: str, life: int) -> str:
    """Return what tells the event of a key in one life from those in others."""
    return f"life {life}\n{key}" if life else key


def check_moment(job: Document, event: str, happened: datetime.datetime | None) -> None:
    """Refuse an event that happened before the last reset.

    Raises:
        LateDelivery: it did.
    """
    began = since(job)
    if began is not None and happened is not None and happened < began:
        raise LateDelivery(event, began, "it happened")


def _of(job: Document) -> dict[str, Any]:
    found = job.get(LIFE)
    return found if isinstance(found, dict) else {}
