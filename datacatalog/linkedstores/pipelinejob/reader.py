"""Reading jobs: by uuid, by query, with their histories."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from pymongo import IndexModel

from datacatalog import documents
from datacatalog.linkedstores.basestore import LinkedStore, beginnings, indexes
from datacatalog.linkedstores.basestore.linked import DELETE
from datacatalog.linkedstores.basestore.store import CREATED, VISIBLE, now
from datacatalog.linkedstores.pipelinejob import former_outbox, former_salts, history, lives
from datacatalog.linkedstores.pipelinejob.exceptions import (
    JobCreateFailure,
    UnknownJob,
    UnknownPipeline,
    UnknownRejection,
)
from datacatalog.linkedstores.pipelinejob.heads import HEAD
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, Untold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.database import Database

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document
    from datacatalog.settings import CatalogSettings

IDENTIFYING = ("pipeline_uuid", "child_of", "data")
_PRIVATE = (
    "_id",
    "_history",
    UNTOLD,
    *former_outbox.FIELDS,
    "_creation",
    former_salts.FORMER,
    lives.LIFE,
)


REMOVAL = {"action": {"$in": [DELETE, "remove"]}, "document": {"$exists": True}}
"""What the rows of removals are called, and were in a former version."""
_HEAD = dict.fromkeys((*HEAD, "history.uuid"), 1)


class JobReader(LinkedStore["StoredJob"]):
    """The jobs and their histories, to read."""

    collection = "jobs"
    uuid_type = "pipelinejob"
    noun = "job"
    unknown = UnknownJob
    links = ("child_of", "generated_by", "acted_on", "acted_using")
    kept = ("state", "last_event", "updated", "history", "data", "pipeline_uuid", "child_of")
    guarded = True
    indexed = ("pipeline_uuid", "archive_path")
    former_indexes = (
        "state",
        "pipeline_uuid",
        "archive_path",
        "generated_by",
        "acted_on",
        "acted_using",
        VISIBLE,
    )

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        *,
        agave: Any = None,
        catalog: CatalogSettings | None = None,
        **others: Any,
    ) -> None:
        super().__init__(mongodb, agave=agave, catalog=catalog, **others)
        self._client = agave
        self.histories = history.History(self.db)
        self.untold = Untold(self.db)
        self.rejected = self.db["rejected_events"]

    def load_head(self, uuid: str, *, deletable: bool = False) -> StoredJob:
        """Return what decides who may change a job and what an event does to it.

        That is the same few bytes whatever the job's data and its events carry.

        Args:
            uuid: the job's.
            deletable: whether visible or hidden, as for `load_deletable`; else visible, as for `load`.

        Raises:
            UnknownJob: there is none.
        """
        head = self._load(uuid, _HEAD, hidden=deletable)
        # every job has a history: a server that does not show parts of a list has to show it all
        return head if history.recent(head) else self._load(uuid, hidden=deletable)

    def load_heads(self, uuids: Iterable[str]) -> list[StoredJob]:
        """Return the heads of those of some jobs that are visible, in no order; see `load_head`."""
        wanted = {"uuid": {"$in": [self._normal("uuid", uuid) for uuid in uuids]}}
        found: Iterable[StoredJob] = self.coll.find(wanted, _HEAD)
        return [head for head in found if head.get(VISIBLE) is not False and history.recent(head)]

    def find_one_by_uuid(self, uuid: str) -> Document | None:
        """Return the visible job with this UUID and its whole history, or None."""
        try:
            stored = self.load(uuid)
        except UnknownJob:
            return None
        return {**self.public(stored), "history": [*map(history.public, self._entries(stored))]}

    def history(
        self, job_uuid: str, limit: int | None = None, skip: int | None = None
    ) -> list[Document]:
        """Return a job's history, oldest entry first, each with `date`, `name`, `data`, `uuid`.

        Args:
            job_uuid: a visible job.
            limit: how many entries at most.
            skip: how many of the oldest to leave out.

        Raises:
            UnknownJob: there is no such job.
        """
        entries = self._entries(self.load(job_uuid), skip or 0, limit)
        return [history.public(entry) for entry in entries]

    def list_job_archive_path(
        self, job_uuid: str, recurse: bool = True, directories: bool = False
    ) -> list[str]:
        """Return the paths of the files in a job's archive path, sorted.

        Args:
            job_uuid: a visible job.
            recurse: also those in the directories below.
            directories: also these directories.

        Raises:
            UnknownJob: there is no such job.
            StorageError: it cannot be listed; for one that is in no folder here, the store needs a
                client of the platform.
        """
        from datacatalog.agavehelpers import AgaveHelper  # noqa: PLC0415 - an event does without

        job = self.load(job_uuid)
        helper = AgaveHelper(self._client, job["archive_system"], catalog=self.catalog)
        return helper.listdir(job["archive_path"], recurse, directories=directories)

    def fsm_state_png(self, uuid: str) -> bytes:
        """Return a picture of the state machine and of a job's way through it: a PNG in base64.

        Raises:
            UnknownJob: there is no such job.
            JobError: the package that draws is not installed.
        """
        from datacatalog.linkedstores.pipelinejob import picture  # noqa: PLC0415 - rarely drawn

        events = [entry["name"] for entry in self.history(uuid)]
        return base64.b64encode(picture.png(f"job {uuid}", events))

    def find_entry(self, job: StoredJob, key: str) -> Entry | None:
        """Return the entry, as it is stored, of the event that came with a key in this life, or None."""
        return self.histories.find(job, self.entry_uuid(job, key, lives.number(job)))

    def entry_uuid(self, job: StoredJob, key: str, life: int) -> str:
        """Return the UUID of the entry for a key in a life of a job: the same on every delivery."""
        identity = lives.identity(key, life)
        return history.entry_uuid(job["uuid"], identity, self.catalog.namespace)

    def public(self, stored: StoredJob) -> Document:
        """Return a stored job as callers see it, with the part of its history in the document."""
        shown = {
            name: documents.decode(value)
            for name, value in stored.items()
            if name not in _PRIVATE and name != "history"
        }
        return {**shown, "history": [*map(history.public, history.recent(stored))]}

    def salts(self, stored: Mapping[str, Any]) -> list[object]:
        """Return what the tokens are made of that may change a job: the present salt, then others."""
        former = former_salts.holding(stored, now())
        return [*super().salts(stored), *(each["_salt"] for each in former)]

    def _entries(self, stored: StoredJob, skip: int = 0, limit: int | None = None) -> list[Entry]:
        return list(self.histories.read(stored, skip, limit))

    def load_removed(self, job_uuid: str) -> StoredJob:
        """Return the last document of a removed job, from the audit log.

        Raises:
            UnknownJob: there is none.
        """
        removal = {"uuid": job_uuid, **REMOVAL}
        found = self.updates.find_one(removal, sort=[("date", -1)])
        if found is None:
            message = f"No job was removed with UUID {job_uuid}"
            raise UnknownJob(message)
        document: StoredJob = found["document"]
        return document

    def rejected_beginning_with(self, text: str, limit: int) -> list[str]:
        """Return the ids of refused events that begin with eight or more characters."""
        query = beginnings.query(text, "_id")
        if query is None:
            return []
        return [str(row["_id"]) for row in self.rejected.find(query, {"_id": 1}, limit=limit)]

    def load_rejected(self, rejected_id: str) -> Document:
        """Return an event that was refused, as it is stored.

        Raises:
            UnknownRejection: there is none, or it was applied since.
        """
        found = self.rejected.find_one({"_id": rejected_id})
        if found is None:
            message = f"No event was refused with the id {rejected_id}"
            raise UnknownRejection(message)
        if found.get("applied"):
            message = f"The event {rejected_id} was applied since, at {found['applied']:%F %T}"
            raise UnknownRejection(message)
        return found

    def get_typeduuid(self, payload: Mapping[str, Any]) -> str:
        """Return the UUID of a job with these fields (docs/reference/jobs.md#identifiers)."""
        parts = []
        for name in IDENTIFYING:
            if name in payload:
                value = payload[name]
                parts.append(serialize(value) if isinstance(value, dict) else str(value))
        return self.uuid_of(":".join(sorted(parts)))

    def uuid_from_properties(self, **properties: Any) -> str:
        """Return the UUID that a job with these properties has.

        Raises:
            JobCreateFailure: there is no such pipeline.
        """
        self.check_pipeline(properties.get("pipeline_uuid"))
        return self.get_typeduuid(properties)

    def pipeline_uuids(self, names: Iterable[str]) -> frozenset[str]:
        """Return the UUIDs of pipelines that are named by them or by their ids."""
        known = [*names]
        query = {"$or": [{"uuid": {"$in": known}}, {"id": {"$in": known}}]}
        return frozenset(each["uuid"] for each in self.db["pipelines"].find(query, {"uuid": 1}))

    def has_pipeline(self, pipeline_uuid: object) -> bool:
        """Tell whether jobs can be runs of a pipeline: it exists and is visible."""
        if not isinstance(pipeline_uuid, str):
            return False
        query = {"uuid": pipeline_uuid, VISIBLE: {"$ne": False}}
        return self.db["pipelines"].find_one(query, {"uuid": 1}) is not None

    def check_pipeline(self, pipeline_uuid: object) -> str:
        """Return the UUID of a pipeline that jobs can be runs of.

        Raises:
            JobCreateFailure: there is no such pipeline.
        """
        if not self.has_pipeline(pipeline_uuid):
            unknown = UnknownPipeline(f"No pipeline exists with UUID {pipeline_uuid}")
            reason = "Failed to validate pipeline UUID"
            raise JobCreateFailure(reason, unknown)
        return str(pipeline_uuid)

    def wanted_indexes(self) -> list[IndexModel]:
        """Return the indexes of the jobs: one for each question that is asked, and no other."""
        hidden = {"partialFilterExpression": {VISIBLE: False}}
        return [
            IndexModel("uuid", unique=True),
            IndexModel(CREATED),
            IndexModel(history.UPDATED),
            IndexModel([("state", 1), (CREATED, 1)]),
            IndexModel([("pipeline_uuid", 1), (CREATED, 1)]),
            IndexModel([(VISIBLE, 1), (CREATED, 1)], **hidden),
            IndexModel("child_of"),
            IndexModel(UNTOLD, sparse=True),
        ]

    def ensure_indexes(self) -> None:
        """Create all indexes that jobs need, where they do not exist yet."""
        super().ensure_indexes()
        self.histories.ensure_indexes()
        self.untold.ensure_indexes()
        indexes.ensure(self.rejected, [IndexModel("uuid"), IndexModel("date")])


def serialize(data: Any) -> str:
    """Return the JSON text of a job's data in its identifiers: sorted keys, no blanks, ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
