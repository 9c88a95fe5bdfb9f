"""Much in a database soon: what the store would have written in hours, by its own code.

Of many events on one job, each is applied by the store, which also writes the buckets of the history
and the audit log; only the job's document, which it changes with each event, is written once, in the
end. Many jobs are copies of one that the store has created.
"""

from __future__ import annotations

import datetime
import itertools
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from datacatalog.linkedstores.basestore.stored import Properties
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Document
from datacatalog.tokens import generate_salt

BATCH = 1_000


class FillingStore(PipelineJobStore):
    """A store that does not write the documents of jobs before it is told to."""

    def commit(
        self,
        stored: StoredJob,
        changes: Mapping[str, Any],  # noqa: ARG002 - the caller does the same to what it has read
        guard: Mapping[str, Any] | None = None,  # noqa: ARG002 - nobody else writes
        count: int = 1,  # noqa: ARG002 - it fills one by one
        **operators: Any,  # noqa: ARG002 - as the changes
    ) -> bool:
        """Count a change of a document."""
        stored["_properties"] = self.next_properties(stored)
        return True


def fill_job(store: PipelineJobStore, job: StoredJob, data: Iterable[Document]) -> None:
    """Apply an `update` event for each data.

    Args:
        store: of the job.
        job: as `load` returned it; afterwards, as it is in the database.
        data: of the events.
    """
    filling = FillingStore(store.db, catalog=store.catalog)
    for each in data:
        filling.apply(job, "update", each)
    store.coll.replace_one({"_id": job["_id"]}, job)


def add_copies(store: PipelineJobStore, job: StoredJob, count: int) -> None:
    """Add jobs that are like another one, each a minute older than the one before.

    Args:
        store: of the jobs.
        job: as `load` returned it.
        count: of the copies.
    """
    minutes = itertools.count(1)
    for begin in range(0, count, BATCH):
        left = min(BATCH, count - begin)
        store.coll.insert_many(_copy(store, job, next(minutes)) for _ in range(left))


def _copy(store: PipelineJobStore, job: StoredJob, minutes: int) -> StoredJob:
    created = job["_properties"]["created_date"] - datetime.timedelta(minutes=minutes)
    name = store.uuid_of(secrets.token_hex(16))
    properties: Properties = {**job["_properties"], "created_date": created}
    copy: StoredJob = {**job}
    del copy["_id"]
    return {
        **copy,
        "uuid": name,
        "_salt": generate_salt(),
        "updated": created,
        "_properties": properties,
    }
