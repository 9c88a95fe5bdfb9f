"""Jobs whose events have happened long ago, written at once as if each event had come when it says.

What is written is what the store would have written: histories with their buckets, the audit log, and
what was refused. Subscribers are not told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog import documents
from datacatalog.linkedstores.pipelinejob import history
from datacatalog.linkedstores.pipelinejob.exceptions import EventRefused
from datacatalog.linkedstores.pipelinejob.fsm import next_state

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Mapping, Sequence

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.store import PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document


class Happened(NamedTuple):
    """An event of the past."""

    date: datetime.datetime
    name: str
    data: dict[str, Any]


class Past:
    """Collects jobs, and writes them together.

    Args:
        jobs: the store.
    """

    def __init__(self, jobs: PipelineJobStore) -> None:
        self._jobs = jobs
        self._stored: list[StoredJob] = []
        self._refused: list[Document] = []
        jobs.ensure_indexes()

    def add(
        self,
        given: dict[str, Any],
        created: datetime.datetime,
        events: Iterable[Happened],
        *,
        owner: str | None = None,
    ) -> str:
        """Add a job; return its UUID. What its state does not allow is kept among the refused events.

        Args:
            given: `pipeline_uuid`, `archive_path`, `data`, and others of the job document.
            created: when the job was.
            events: what happened to it since, the oldest first.
            owner: of the job, by default the catalog's.
        """
        uuid = self._jobs.get_typeduuid({"child_of": [], **given})
        stored = self._jobs.draft({**given, "uuid": uuid}, given["pipeline_uuid"], owner)
        del stored["_untold"]
        stored["history"][0]["date"] = stored["updated"] = created
        stored["_properties"]["created_date"] = stored["_properties"]["modified_date"] = created
        for event in events:
            self._happen(stored, event)
        stored["_history"]["bytes"] = history.size(stored["history"])
        self._stored.append(stored)
        return uuid

    def _happen(self, stored: StoredJob, event: Happened) -> None:
        revision = stored["_properties"]["revision"] + 1
        digest = history.digest(event.name, documents.canonical(event.data))
        key = f"{event.name}:{event.date.isoformat()}"
        uuid = self._jobs.entry_uuid(stored, key, 0)
        try:
            state = next_state(stored["state"], event.name)
        except EventRefused as refusal:
            self._refused.append(
                {
                    "_id": f"{uuid}:{digest}",
                    "uuid": stored["uuid"],
                    "event": {"name": event.name, "data": documents.encode(event.data)},
                    "state": stored["state"],
                    "reason": str(refusal),
                    "execution_id": None,
                    "date": event.date,
                }
            )
            return
        entry = history.new_entry(
            uuid,
            event.name,
            event.data,
            date=event.date,
            state=state,
            revision=revision,
            event_digest=digest,
        )
        stored["state"], stored["last_event"], stored["updated"] = state, event.name, event.date
        properties = stored["_properties"]
        properties["revision"], properties["modified_date"] = revision, event.date
        stored["history"].append(entry)

    def write(self) -> None:
        """Write what was added."""
        _insert(self._jobs.coll, self._stored)
        firsts = [history.audit_row(stored, stored["history"][0]) for stored in self._stored]
        _insert(self._jobs.updates, firsts)
        for stored in self._stored:
            self._split(stored)
        _insert(self._jobs.rejected, self._refused)
        self._stored, self._refused = [], []

    def _split(self, stored: StoredJob) -> None:
        """Move the older entries of a long history to buckets, as each event does."""
        if not history.is_full(stored):
            return
        whole = stored["history"]
        kept: list[Entry] = []
        mark = 0
        for entry in whole:
            head: StoredJob = {**stored, "history": kept, "_history": {"moved": mark}}
            room = self._jobs.histories.make_room(head)
            kept, mark = room.get("history", kept), room.get("_history.moved", mark)
            kept = [*kept, entry]
        about = {"moved": mark, "bytes": history.size(kept)}
        self._jobs.coll.update_one(
            {"_id": stored["_id"]}, {"$set": {"history": kept, "_history": about}}
        )


def _insert(collection: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        collection.insert_many(rows)
