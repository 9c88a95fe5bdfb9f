"""The store of jobs: create, handle events, delete."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any, cast

from pymongo.errors import DuplicateKeyError

from datacatalog import documents
from datacatalog.linkedstores.basestore.contention import Contention
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import history, lives
from datacatalog.linkedstores.pipelinejob.appending import (
    AppendingStore,
    Applied,
    Event,
    Uncertain,
    life_of,
    next_entry,
)
from datacatalog.linkedstores.pipelinejob.exceptions import (
    EventConflict,
    EventRefused,
    JobCreateFailure,
    JobUpdateFailure,
    LateDelivery,
)
from datacatalog.linkedstores.pipelinejob.fsm import (
    FIRST_EVENT,
    FIRST_STATE,
    TRANSITIONS,
)
from datacatalog.linkedstores.pipelinejob.heads import Outdated
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD
from datacatalog.tokens import InvalidAdminToken, InvalidToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

MAX_OTHER_BYTES = 128 * 1024
"""Of a job's fields besides its data; what is kept must fit into one document of 16 MiB."""
REQUIRED = ("pipeline_uuid", "archive_path", "data")
OPTIONAL: dict[str, Any] = {
    "archive_patterns": [],
    "product_patterns": [],
    "session": None,
    "agent": None,
    "task": None,
}


REMOVED = "statistics_removed"
"""The collection in which removed jobs are counted by their states, pipeline for pipeline."""
_LAST_REMOVED = 100
"""How many removed jobs of a pipeline are known by their ids, so that none is counted again."""
APPLIED = "it was applied"
"""Of an event that comes late: what happened to it in its own life."""


class PipelineJobStore(AppendingStore):
    """The jobs, their histories and what was refused."""

    # Creating

    def create(self, job_document: Mapping[str, Any], *, owner: str | None = None) -> Document:
        """Create a job, or find the one that exists: that is returned unchanged.

        Args:
            job_document: `pipeline_uuid`, `archive_path` and `data`; perhaps `archive_system`,
                `session`, `child_of` and others of the job document.
            owner: who is named as the job's owner, by default the catalog's.

        Returns:
            The stored document and its `_update_token`.

        Raises:
            JobCreateFailure: a field is missing, of the wrong type, or cannot be stored, or there is no
                such pipeline.
        """
        stored, _ = self.find_or_create(job_document, owner=owner)
        return self.with_token(stored)

    def find_or_create(
        self,
        job_document: Mapping[str, Any],
        *,
        owner: str | None = None,
        execution_id: str | None = None,
    ) -> tuple[StoredJob, bool]:
        """Do as `create` does; return the job as it is stored, and whether it is new.

        Args:
            job_document: as for `create`.
            owner: as for `create`.
            execution_id: of the execution that creates it, by which `was_created_by` knows a second
                delivery.
        """
        from datacatalog.linkedstores.pipelinejob.fields import checked  # noqa: PLC0415 - for a create only

        missing = [name for name in REQUIRED if job_document.get(name) is None]
        if missing:
            message = f"{', '.join(map(repr, missing))} missing"
            raise JobCreateFailure(message)
        given = {name: value for name, value in job_document.items() if not name.startswith("_")}
        try:
            documents.check(given["data"])
            documents.check({**given, "data": None}, "job", MAX_OTHER_BYTES)
        except documents.DocumentError as error:
            raise JobCreateFailure(str(error)) from error
        pipeline_uuid = self.check_pipeline(given["pipeline_uuid"])
        # the original makes it of what is given, so that one parent is not a list of one
        uuid = self.get_typeduuid({"child_of": [], **given})
        given = {**checked(given), "uuid": uuid}
        contention = Contention(f"create of job {given['uuid']}")
        while (existing := self.coll.find_one({"uuid": given["uuid"]})) is None:
            created = self._insert(given, pipeline_uuid, owner, execution_id)
            if created is not None:
                return created, True
            contention.pause()
        if history.moved(existing) == 0 and "_revision" in existing["history"][0]:
            self.keep_row(history.audit_row(existing, existing["history"][0]))
        return existing, False

    def _insert(
        self,
        given: dict[str, Any],
        pipeline_uuid: str,
        owner: str | None,
        execution_id: str | None,
    ) -> StoredJob | None:
        """Write a new job; return it, or None if another writer was faster."""
        self.ensure_indexes()
        stored = self.draft(given, pipeline_uuid, owner, execution_id)
        if execution_id is not None:
            stored["_creation"] = history.digest(FIRST_EVENT, execution_id)
        entry = stored["history"][0]
        try:
            self.coll.insert_one(stored)
        except DuplicateKeyError:
            return None
        self.keep_row(history.audit_row(stored, entry))
        return stored

    def draft(
        self,
        given: dict[str, Any],
        pipeline_uuid: str,
        owner: str | None,
        execution_id: str | None = None,
    ) -> StoredJob:
        """Return the document of a new job, which is not stored yet.

        Args:
            given: its fields, with its UUID.
            pipeline_uuid: of its pipeline.
            owner: as for `create`.
            execution_id: of the execution that creates it.
        """
        data = given["data"]
        known = documents.encode({"generated_by": [pipeline_uuid], **OPTIONAL, **given})
        if not known.get("archive_system"):
            known["archive_system"] = self.catalog.storage_system
        stored = self.managed(known, owner)
        created = stored["_properties"]["created_date"]
        entry = history.new_entry(
            history.entry_uuid(given["uuid"], stored["_salt"], self.catalog.namespace),
            FIRST_EVENT,
            data,
            date=created,
            state=FIRST_STATE,
            revision=0,
            event_digest=history.digest(FIRST_EVENT, documents.canonical(data)),
            execution_id=execution_id,
        )
        stored.update(
            state=FIRST_STATE,
            last_event=FIRST_EVENT,
            updated=created,
            history=[entry],
            _history={"moved": 0, "bytes": history.size([entry])},
            **{UNTOLD: 0},
        )
        return cast("StoredJob", stored)

    @staticmethod
    def was_created_by(job: StoredJob, execution_id: str) -> bool:
        """Tell whether this execution has created a job."""
        return bool(job.get("_creation") == history.digest(FIRST_EVENT, execution_id))

    # Events

    def handle(
        self, event_doc: Mapping[str, Any], token: str | None = None, *, key: str | None = None
    ) -> Document:
        """Apply an event to a job.

        Args:
            event_doc: `uuid` (the job's), `name` (the event's), perhaps `data` and `token`.
            token: the job's token or an administrative one; the one in `event_doc` wins.
            key: an idempotency key: a second call with the same key changes nothing.

        Returns:
            The stored document and its `_update_token`.

        Raises:
            UnknownJob: there is no such job.
            InvalidToken: the token does not allow the event.
            EventRefused: the state does not allow the event. It is kept in `rejected_events`.
            EventConflict: the key stands for another event.
            JobUpdateFailure: there is no such event, or its data cannot be stored.
        """
        name = str(event_doc.get("name", "")).lower()
        if name not in TRANSITIONS:
            message = f"there is no event {name!r:.60}: use one of {', '.join(TRANSITIONS)}"
            raise JobUpdateFailure(message)
        shown = event_doc.get("token") or token
        uuid, data = str(event_doc.get("uuid")), _data(event_doc)
        head = self.heads.take(uuid)
        if head is not None:
            handled = self._handle_remembered(head, name, data, shown, key)
            if handled is not None:
                return self.with_token(handled)
        job = self.load(uuid)
        self._permit(job, name, shown)
        return self.with_token(self.apply(job, name, data, key=key).job)

    def _handle_remembered(
        self, head: StoredJob, name: str, data: Any, token: str | None, key: str | None
    ) -> StoredJob | None:
        """Apply an event to a job of which the head is remembered; return the job as it is then.

        One command writes it and reads the whole job, which `handle` returns. What the head does not
        decide goes on in `handle`; the actor, which wants no job, begins again (`_apply_to_remembered`).

        Returns:
            None where that does not decide it; nothing was written then.

        Raises:
            UnknownJob, InvalidToken, EventRefused: as for `handle`, where an answer was lost and the
                event had not been written.
        """
        if not self.is_plain(head):
            return None
        try:
            self._permit(head, name, token)
            event = self.new_event(head, name, data, key=key)
        except (InvalidToken, JobUpdateFailure):
            return None
        try:
            return self.append_and_load(head, event)
        except Uncertain:
            job = self.load(head["uuid"])
            if self._known(job, event, only_recent=False) is None:
                self._permit(job, name, token)
            return self._apply(job, event._replace(first=False)).job

    def _permit(self, job: StoredJob, name: str, token: str | None) -> None:
        """Do nothing if the sender of an event may change a job.

        Raises:
            InvalidToken: the token does not allow the event.
        """
        self.validate_token(job, token)
        if TRANSITIONS[name].administrative and not self.is_admin_token(token):
            message = f"{name} event: only an administrative token allows it"
            raise InvalidAdminToken(message)

    def apply(
        self,
        job: StoredJob,
        name: str,
        data: Any,
        *,
        key: str | None = None,
        first: bool = False,
        sent: Any = None,
        execution_id: str | None = None,
    ) -> Applied:
        """Apply a new event: the arguments are those of `new_event`, the rest is as for `apply_event`."""
        event = self.new_event(
            job, name, data, key=key, first=first, sent=sent, execution_id=execution_id
        )
        return self.apply_event(job, event)

    def apply_event(self, job: StoredJob, event: Event, *, remembered: bool = False) -> Applied:
        """Apply an event whose sender has been authorized: one atomic update.

        Args:
            job: the job as `load` or `load_head` returned it; read again, likewise, only if another
                writer was faster.
            event: as `new_event` made it for this job.
            remembered: the job is as `heads` had it.

        Raises:
            UnknownJob, EventRefused, EventConflict: as for `handle`.
            LateDelivery: it belongs to an earlier life of the job.
            Outdated: what was remembered does not decide this; whether the event was written may
                be unknown.
        """
        if remembered:
            return self._apply_to_remembered(job, event)
        return self._apply(job, event)

    def retry(self, rejected_id: str, *, name: str | None = None) -> Applied:
        """Apply an event that was refused, as what it was: a later delivery of it changes nothing.

        Args:
            rejected_id: of the event among those that were refused.
            name: the event of a report that could not be read, and named none.

        Raises:
            UnknownRejection: there is none, or it was applied since.
            UnknownJob, EventRefused, EventConflict: as for `handle`.
        """
        row = self.load_rejected(rejected_id)
        uuid, _, event_digest = rejected_id.rpartition(":")
        event = Event(
            row["event"]["name"] or name or "",
            documents.decode(row["event"].get("data")),
            uuid,
            event_digest,
            row.get("execution_id"),
        )
        applied = self._apply(self.load(row["uuid"]), event)
        self.rejected.update_one({"_id": rejected_id}, {"$set": {"applied": now()}})
        return applied

    def _apply(self, job: StoredJob, event: Event) -> Applied:
        load = self.load if history.is_whole(job) else self.load_head
        certain = event.first
        contention = Contention(f"{event.name} event")
        while True:
            try:
                applied = self._attempt(job, event, only_recent=certain)
            except EventRefused as refusal:
                if self._was_applied_before(job, event):
                    raise LateDelivery(event.name, lives.since(job), APPLIED) from refusal
                self._keep_rejected(job, event, refusal)
                raise
            except LateDelivery as refusal:
                if refusal.what != APPLIED:
                    self._keep_rejected(job, event, refusal)
                raise
            except Uncertain:
                # the next attempt finds the entry, wherever it is by then, or makes it
                certain = False
            else:
                if applied is not None:
                    return applied
            contention.pause()
            job = load(job["uuid"])

    def _apply_to_remembered(self, job: StoredJob, event: Event) -> Applied:
        """Do as `apply_event`, with no second attempt: who has decided on the head decides again."""
        try:
            applied = self._attempt(job, event, only_recent=event.first)
        except (EventRefused, LateDelivery, Uncertain) as reason:
            raise Outdated from reason
        if applied is None:
            raise Outdated
        return applied

    def _attempt(self, job: StoredJob, event: Event, *, only_recent: bool) -> Applied | None:
        """Apply an event to a job if it is still as it was read; None if another writer was faster.

        Raises:
            LateDelivery: it belongs to an earlier life of the job.
            Uncertain: the connection was lost before the answer.
        """
        known = self._known(job, event, only_recent=only_recent)
        if known is None and event.key is not None and lives.number(job):
            former, event = event.uuid, self._in_this_life(job, event)
            if event.uuid != former:
                known = self._known(job, event, only_recent=only_recent)
        if known is not None:
            return known
        entry = next_entry(job, event)
        if not self.append(job, entry):
            return None
        self.heads.keep(job)
        return Applied(job, entry, duplicate=False)

    def _in_this_life(self, job: StoredJob, event: Event) -> Event:
        """Return an event with the entry that it has in the present life of a job.

        Raises:
            LateDelivery: its key stands for an event of an earlier life.
        """
        if event.name == lives.BEGIN:
            began = event._replace(uuid=self.entry_uuid(job, str(event.key), lives.number(job)))
            if self._known(job, began, only_recent=False) is not None:
                return began
        if event.lasting and self._was_applied_before(job, event):
            raise LateDelivery(event.name, lives.since(job), APPLIED)
        uuid = self.entry_uuid(job, str(event.key), life_of(job, event.name))
        return event._replace(uuid=uuid)

    def _was_applied_before(self, job: StoredJob, event: Event) -> bool:
        """Tell whether an event came with this key in an earlier life."""
        if event.key is None:
            return False
        uuids = [self.entry_uuid(job, event.key, life) for life in range(lives.number(job))]
        return self.histories.has_any(job, uuids)

    def _known(self, job: StoredJob, event: Event, *, only_recent: bool) -> Applied | None:
        """Return what became of an event that an earlier delivery had applied, else None.

        Raises:
            EventConflict: it was another event.
        """
        if history.has(job, event.uuid):
            # of a job that is not whole, only its uuid was read; and it may have moved meanwhile
            job = job if history.is_whole(job) else self.load(job["uuid"])
            entry = self.histories.find(job, event.uuid)
        else:
            entry = None if only_recent else self.histories.find_moved(job, event.uuid)
        if entry is None:
            return None
        if entry.get("_digest", event.digest) != event.digest:
            raise EventConflict(event.name, entry["name"])
        return Applied(job, entry, duplicate=True)

    def keep_unread(
        self, job: StoredJob, body: Any, reason: str, *, key: str | None, execution_id: str | None
    ) -> None:
        """Keep a report about a job that cannot be read among the rejected events.

        Args:
            job: the job as `load` or `load_head` returned it.
            body: the report, without credentials.
            reason: why it cannot be read.
            key: the idempotency key, by default one of its own.
            execution_id: of the execution that brought it.
        """
        uuid = self.entry_uuid(job, key or secrets.token_hex(16), lives.number(job))
        event = Event("", body, uuid, history.digest("", documents.canonical(body)), execution_id)
        self._keep_rejected(job, event, reason)

    def _keep_rejected(self, job: StoredJob, event: Event, reason: object) -> None:
        row = {
            "uuid": job["uuid"],
            "event": {"name": event.name, "data": documents.encode(event.data)},
            "state": job["state"],
            "reason": str(reason),
            "execution_id": event.execution_id,
        }
        self.rejected.update_one(
            {"_id": f"{event.uuid}:{event.digest}"},
            {"$set": row, "$setOnInsert": {"date": now()}},
            upsert=True,
        )

    # Deleting

    def delete(self, job_uuid: str, token: str | None = None, force: bool = False) -> Document:
        """Do as `delete_document` does."""
        return self.delete_document(job_uuid, token, force)

    def remove(self, stored: StoredJob, sender: str | None = None) -> None:
        """Remove a job after its last document and whole history are in the audit log."""
        super().remove(stored, sender)
        self.histories.buckets.delete_many({"job_id": stored["_id"]})
        self._count_removed(stored["_id"])

    def _count_removed(self, job_id: Any) -> None:
        """Count a job as removed, from the state in which it was; once, if its removal is repeated."""
        shown = {"document.pipeline_uuid": 1, "document.state": 1}
        row = self.updates.find_one({"_id": f"remove:{job_id}"}, shown)
        if row is None:
            return
        job = row["document"]
        change = {
            "$inc": {f"states.{job.get('state')}": 1},
            "$push": {"last": {"$each": [job_id], "$slice": -_LAST_REMOVED}},
        }
        uncounted = {"_id": str(job.get("pipeline_uuid")), "last": {"$ne": job_id}}
        # a duplicate key: it was counted before
        with contextlib.suppress(DuplicateKeyError):
            self.db[REMOVED].update_one(uncounted, change, upsert=True)

    def keep_removed(self, stored: StoredJob) -> None:
        """Write a job that is about to be removed, with all of its history, to the audit log."""
        for bucket in self.histories.buckets.find({"job_id": stored["_id"]}):
            row = {
                **self.audit(stored, "remove_history"),
                "_id": f"remove:{bucket['_id']}",
                "bucket": bucket,
            }
            self.updates.replace_one({"_id": row["_id"]}, row, upsert=True)
        self.histories.audit(stored, history.recent(stored))
        super().keep_removed(stored)
        self.untold.adopt(stored)

    def set_visible(
        self, stored: StoredJob, action: str, *, visible: bool, sender: str | None = None
    ) -> None:
        """Hide or show a job; subscribers are then told of a shown job itself."""
        super().set_visible(stored, action, visible=visible, sender=sender)
        if visible:
            self.untold.disown(stored)


def _data(event_doc: Mapping[str, Any]) -> Any:
    data = event_doc.get("data")
    return {} if data is None else data
