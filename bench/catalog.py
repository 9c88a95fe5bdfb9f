"""A catalog to measure on: a database server of its own, and jobs in it."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, history
from local.database import LocalDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.mongo import Document

APART = datetime.timedelta(minutes=1)
"""Between the creation of one job and the next, of those that were made in bulk."""
_BATCH = 1_000


class Catalog:
    """Jobs of one pipeline.

    Args:
        mongodb: settings of the database.
        pid: of its server.
    """

    def __init__(self, mongodb: dict[str, Any], pid: int) -> None:
        self.mongodb, self.pid = mongodb, pid
        self.jobs = PipelineJobStore(mongodb)
        self._pipeline = PipelineStore(mongodb).add_update_document(
            {
                "name": "Bench",
                "id": "bench",
                "components": [{"id": "bench-1.0", "inputs": {}, "parameters": {}}],
                "processing_levels": ["1"],
            }
        )
        self._count = 0

    def running_job(self) -> Document:
        """Return a new job, with `_update_token`, that has had its first event."""
        self._count += 1
        job = self.jobs.create(
            {
                "pipeline_uuid": self._pipeline["uuid"],
                "archive_path": f"/products/v2/bench/{self._count}",
                "data": {"number": self._count},
            }
        )
        return self.jobs.handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"])

    def update(self, job: Document, number: int) -> None:
        """Send a job an event with some data, and wait until it is on disk."""
        event = {"uuid": job["uuid"], "name": "update", "data": {"step": number, "note": "well"}}
        self.jobs.handle(event, job["_update_token"], key=f"{job['uuid']}:{number}")

    def fill_history(self, job: Document, count: int) -> None:
        """Give a job from `running_job` a number of events, without sending them all."""
        former, step = self.jobs.histories, history.MOVED_ENTRIES
        least = history.MAX_ENTRIES - step + 1  # that are left in a document when others move
        left = min(count, least + (count - least) % step)
        for number in range(2, left):
            self.update(job, number)
        mark = count - left
        if not mark:
            return
        stored = self.jobs.load(job["uuid"])
        former.ensure_indexes()
        pattern = stored["history"][-1]
        for begin in range(0, mark, _BATCH):
            entries = [
                {
                    **pattern,
                    "uuid": typeduuid.catalog_uuid(f"{job['uuid']} {number}", "pipelinejob_event"),
                    "_revision": number,
                }
                for number in range(begin, min(begin + _BATCH, mark))
            ]
            former.buckets.insert_many(
                {
                    "_id": f"{stored['_id']}:{begin + first}",
                    "job_id": stored["_id"],
                    "job_uuid": stored["uuid"],
                    "first": begin + first,
                    "last": begin + first + step - 1,
                    "entries": entries[first : first + step],
                }
                for first in range(0, len(entries), step)
            )
            former.audit(stored, entries)
        renumbered = [
            {**entry, "_revision": mark + number} for number, entry in enumerate(stored["history"])
        ]
        changes = {
            "history": renumbered,
            "_history.moved": mark,
            "_properties.revision": mark + len(renumbered) - 1,
        }
        self.jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": changes})
        self.jobs.heads.take(job["uuid"])

    def fill(self, size: int) -> None:
        """Add jobs up to a number, older ones than those that are there."""
        there = self.jobs.coll.count_documents({})
        pattern = self.jobs.load(self.running_job()["uuid"])
        pattern.pop("_untold", None)  # they are told, as those of former days are
        moment, properties = pattern["updated"], pattern["_properties"]
        for begin in range(there + 1, size, _BATCH):
            self.jobs.coll.insert_many(
                {
                    **pattern,
                    "_id": ObjectId(),
                    "uuid": typeduuid.catalog_uuid(str(number), "pipelinejob"),
                    "updated": moment - number * APART,
                    "_properties": {**properties, "created_date": moment - number * APART},
                }
                for number in range(begin, min(begin + _BATCH, size))
            )


@contextlib.contextmanager
def catalog() -> Iterator[Catalog]:
    """Give a catalog on a server that is stopped and removed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        database = LocalDatabase(Path(folder))
        server = database.start()
        try:
            yield Catalog({"authn": server.uri, "database": "bench"}, server.pid)
        finally:
            # nobody needs its data any more: to put that in order would take it long
            os.kill(server.pid, signal.SIGKILL)
