"""The lives of a job: each `reset` begins another one, and a key of an event counts within one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datacatalog.linkedstores.pipelinejob.exceptions import LateDelivery

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.stored import Life, StoredJob

LIFE: Final = "_life"
"""Where a job has the number of its last reset, and when that was; absent in the first life."""
BEGIN = "reset"
"""The event that begins a life; it belongs to the life that it begins."""


def number(job: StoredJob) -> int:
    """Return how often a job was reset."""
    return int(_of(job).get("number") or 0)


def since(job: StoredJob) -> datetime.datetime | None:
    """Return when the life of a job began; None in the first one."""
    found: datetime.datetime | None = _of(job).get("since")
    return found


def begun(job: StoredJob, entry: Entry) -> Life | None:
    """Return the life that an event begins; None if it begins none."""
    if entry["name"] != BEGIN:
        return None
    return {"number": number(job) + 1, "since": entry["date"]}


def identity(key: str, life: int) -> str:
    """Return what tells the event of a key in one life from those in others."""
    return f"life {life}\n{key}" if life else key


def check_moment(job: StoredJob, event: str, happened: datetime.datetime | None) -> None:
    """Refuse an event that happened before the last reset.

    Raises:
        LateDelivery: it did.
    """
    began = since(job)
    if began is not None and happened is not None and happened < began:
        raise LateDelivery(event, began, "it happened")


def _of(job: StoredJob) -> Mapping[str, Any]:
    found = job.get(LIFE)
    return found if isinstance(found, dict) else {}
