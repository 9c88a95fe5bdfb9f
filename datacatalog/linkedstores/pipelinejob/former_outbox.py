"""The outboxes in which a former version kept copies of what it had to announce of a job.

They are emptied into the mark that says from where in the history subscribers are to be told. The index
of their `_outbox_due` is there where that version has been; elsewhere it would cost every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.pipelinejob import history
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, total

if TYPE_CHECKING:
    import datetime

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.linkedstores.pipelinejob.untold import Untold
    from datacatalog.mongo import Document

DUE = "_outbox_due"
FIELDS = ("_outbox", DUE, "_outbox_lease", "_outbox_tries")
_BEFORE = ":enter"
"""How the id ends of what was to be announced before an event; the rest is that of the event."""


def holds(untold: Untold) -> bool:
    """Tell whether anything waits in an outbox."""
    query = {DUE: {"$exists": True}}
    return any(each.find_one(query, {"_id": 1}) for each in (untold.jobs, untold.removed))


def empty(untold: Untold) -> datetime.datetime | None:
    """Empty all outboxes; return when the oldest event came that waited in one."""
    oldest = None
    found = [(untold.jobs, job, job) for job in untold.jobs.find({DUE: {"$exists": True}})]
    for kept in untold.removed.find({DUE: {"$exists": True}}):
        row = untold.updates.find_one({"_id": f"remove:{kept['_id']}"})
        found.append((untold.removed, kept, row["document"] if row else kept))
    for collection, kept, job in found:
        items = [item for item in kept.get("_outbox") or [] if isinstance(item, dict)]
        change: Document = {"$unset": dict.fromkeys(FIELDS, "")}
        if items:
            change["$min"] = {UNTOLD: _number(untold, job, items[0])}
            dates = [item["date"] for item in items if item.get("date")]
            oldest = min([*dates, *([oldest] if oldest else [])], default=None)
        if collection is untold.removed:
            change["$set"] = untold.kept_of_removed(job)
        collection.update_one({"_id": kept["_id"]}, change)
    return oldest


def _number(untold: Untold, job: StoredJob, item: Document) -> int:
    """Return the number of an entry in the history of a job."""
    uuid = str(item.get("id")).removesuffix(_BEFORE)
    for number, entry in enumerate(history.recent(job), start=history.moved(job)):
        if isinstance(entry, dict) and entry.get("uuid") == uuid:
            return number
    buckets = [*untold.histories.of(job)] or untold.buckets_of_removed(job)
    for bucket in buckets:
        for number, entry in enumerate(bucket["entries"], start=bucket["first"]):
            if entry.get("uuid") == uuid:
                return int(number)
    # something else has changed the history: what is there is told rather than nothing
    return max(0, total(job) - 1)
