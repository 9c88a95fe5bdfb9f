"""The outbox: events that were applied and have yet to be announced.

An item enters the job's document in the same update as its event. Whoever delivers takes a lease
on the job's outbox first, so that its items leave in their order; a lease that is not given back
(its holder died) runs out.
"""

from __future__ import annotations

import datetime
import secrets
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from datacatalog.mongo import Document

LEASE = datetime.timedelta(seconds=120)
"""Longer than one announcement takes; extended after each."""
MOST_CLAIMED = 50
_FIRST_DELAY, _LONGEST_DELAY, _DOUBLINGS = 5, 3600, 10


class Outbox:
    """The outboxes of all jobs in a collection.

    Args:
        jobs: the collection.
        disposable: a document has nothing but its outbox, and goes when that is empty.
    """

    def __init__(self, jobs: Collection[Document], *, disposable: bool = False) -> None:
        self.jobs = jobs
        self._disposable = disposable

    @staticmethod
    def item(entry: Document) -> Document:
        """Return what announces that an event was applied, from its entry in the history."""
        return {
            "id": entry["uuid"],
            "event": entry["name"],
            "state": entry["_state"],
            "last_event": entry["name"],
            "date": entry["date"],
        }

    @staticmethod
    def entering_item(job: Document, entry: Document) -> Document:
        """Return what announces that an event was about to be applied to a job."""
        return {
            "id": f"{entry['uuid']}:enter",
            "event": entry["name"],
            "state": job["state"],
            "last_event": job["last_event"],
            "date": entry["date"],
        }

    def adopt(self, job: Document) -> None:
        """Take over what a job that is about to be removed has yet to announce."""
        names = ("uuid", "_outbox", "_outbox_due")
        pending: Document = {name: job[name] for name in names if name in job}
        if pending.get("_outbox"):
            self.jobs.replace_one({"_id": job["_id"]}, pending, upsert=True)

    def forget(self, job: Document) -> None:
        """Drop what was taken over from a job whose removal was not completed."""
        self.jobs.delete_one({"_id": job["_id"]})

    def claim(self, job_uuid: str, *, early: bool = False) -> Document | None:
        """Take the lease on a job's outbox; return the job, or None if there is nothing to do.

        Args:
            job_uuid: whose.
            early: also if a failed delivery is not due again yet.
        """
        moment = now()
        due = {} if early else {"_outbox_due": {"$lte": moment}}
        return self.jobs.find_one_and_update(
            {
                "uuid": job_uuid,
                "_outbox.0": {"$exists": True},
                **due,
                "$or": [{"_outbox_lease": None}, {"_outbox_lease.until": {"$lt": moment}}],
            },
            {"$set": {"_outbox_lease": {"holder": secrets.token_hex(8), "until": moment + LEASE}}},
            projection={
                "uuid": 1,
                "_outbox": {"$slice": MOST_CLAIMED},
                "_outbox_tries": 1,
                "_outbox_lease": 1,
            },
            return_document=True,
        )

    def delivered(self, job: Document, item_id: str) -> bool:
        """Take an announced item out and extend the lease; tell whether it is still ours."""
        held = {"_id": job["_id"], "_outbox_lease.holder": job["_outbox_lease"]["holder"]}
        announced = {"$pull": {"_outbox": {"id": item_id}}}
        extended = {
            "$set": {"_outbox_lease.until": now() + LEASE},
            "$unset": {"_outbox_tries": ""},
        }
        if self.jobs.update_one(held, {**announced, **extended}).matched_count:
            job["_outbox_tries"] = 0
            return True
        # it ran out and may be another's by now; what was announced is announced all the same
        self.jobs.update_one({"_id": job["_id"]}, announced)
        return False

    def release(self, job: Document) -> None:
        """Give the lease back; others may have put items in meanwhile."""
        held = {"_id": job["_id"], "_outbox_lease.holder": job["_outbox_lease"]["holder"]}
        self.jobs.update_one(held, {"$unset": {"_outbox_lease": ""}})
        emptied = {"_id": job["_id"], "_outbox": [], "_outbox_lease": None}
        if self._disposable:
            self.jobs.delete_one(emptied)
        else:
            self.jobs.update_one(emptied, {"$unset": {"_outbox": "", "_outbox_due": ""}})

    def postpone(self, job: Document) -> None:
        """Give the lease back after a failure; the delay before the next try grows with each."""
        tries = int(job.get("_outbox_tries", 0))
        seconds = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(tries, _DOUBLINGS))
        held = {"_id": job["_id"], "_outbox_lease.holder": job["_outbox_lease"]["holder"]}
        later = {
            "_outbox_due": now() + datetime.timedelta(seconds=seconds),
            "_outbox_tries": tries + 1,
        }
        self.jobs.update_one(held, {"$set": later, "$unset": {"_outbox_lease": ""}})

    def holds(self, job_uuid: str) -> bool:
        """Tell whether anything waits to be announced for a job."""
        query = {"uuid": job_uuid, "_outbox.0": {"$exists": True}}
        return self.jobs.find_one(query, {"_id": 1}) is not None

    def due(self, *, everything: bool = False) -> Iterator[str]:
        """Yield the UUIDs of jobs with announcements that are due, the longest waiting first."""
        query = {"$exists": True} if everything else {"$lte": now()}
        for job in self.jobs.find({"_outbox_due": query}, {"uuid": 1}, sort=[("_outbox_due", 1)]):
            yield job["uuid"]
