"""One existing job, and the events that it can be sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from datacatalog import documents, paths
from datacatalog.linkedstores.pipelinejob.exceptions import UnknownJob
from datacatalog.linkedstores.pipelinejob.fsm import FIRST_EVENT
from datacatalog.managers.common import Manager
from datacatalog.managers.pipelinejobs import archive
from datacatalog.managers.pipelinejobs.exceptions import ManagedPipelineJobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.database import Database

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.mongo import Document
    from datacatalog.settings import CatalogSettings

Data = dict[str, Any]
KEPT = (
    "pipeline_uuid",
    "generated_by",
    "child_of",
    "acted_on",
    "acted_using",
    "data",
    "archive_system",
    "archive_path",
    "archive_patterns",
    "product_patterns",
    "session",
    "agent",
    "task",
)
"""Fields of a job that are attributes of it."""
_log = logging.getLogger(__name__)


class JobEvents(Manager):
    """The events of a job, each a method that returns the job's document.

    Each takes the event's data and a token; without one the job's own is used. What is in `KEPT` of
    the job's document is an attribute.
    """

    uuid: str | None = None
    token: str | None = None
    job: Document | None = None
    archive_system: str
    archive_path: str

    @property
    def store(self) -> PipelineJobStore:
        """The store of jobs."""
        jobs: PipelineJobStore = self.stores["pipelinejob"]
        return jobs

    def archive_uri(self) -> str:
        """Return where the job's outputs are, or are to go, as an Agave URI."""
        return paths.to_uri(self.archive_system, self.archive_path)

    def run(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that processing has begun."""
        return self.handle("run", data, token)

    def resource(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say what the platform is doing for the job."""
        return self.handle("resource", data, token)

    def update(self, data: Data | None = None, token: str | None = None) -> Document:
        """Add to the history without a change of state."""
        return self.handle("update", data, token)

    def fail(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that the job did not complete; one that has had no event yet is cancelled."""
        if self._is_untouched():
            return self.cancel(token)
        return self.handle("fail", data, token)

    def finish(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that the job is done and its outputs are archived."""
        return self.handle("finish", data, token)

    def validate(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that validation of the outputs has begun."""
        return self.handle("validate", data, token)

    def validated(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that the outputs are correct."""
        return self.handle("validated", data, token)

    def reject(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that the outputs are invalid."""
        return self.handle("reject", data, token)

    def finalize(self, data: Data | None = None, token: str | None = None) -> Document:
        """Release the outputs for use."""
        return self.handle("finalize", data, token)

    def retire(self, data: Data | None = None, token: str | None = None) -> Document:
        """Take the outputs out of use."""
        return self.handle("retire", data, token)

    def reset(
        self,
        data: Data | None = None,
        no_clear_path: bool = False,
        token: str | None = None,
    ) -> Document:
        """Prepare the job for another run; needs an administrative token.

        Args:
            data: what the history is to keep.
            no_clear_path: leave the archive path as it is. Else it is emptied after the event,
                where the job has a client of the platform.
            token: an administrative one.

        Raises:
            ManagedPipelineJobError: the archive path was not cleared; the job is in state RESET,
                and may be reset again.
        """
        job = self.handle("reset", data, token)
        if self.client is not None and not no_clear_path:
            archive.clear(self.client, job["archive_system"], job["archive_path"])
        return job

    def ready(self, data: Data | None = None, token: str | None = None) -> Document:
        """End the reset; needs an administrative token."""
        return self.handle("ready", data, token)

    def handle(self, name: str, data: Data | None = None, token: str | None = None) -> Document:
        """Send an event.

        Dates and times in its data, which answers of the platform have, are kept as texts.

        Raises:
            ManagedPipelineJobError: the job is not set up.
            JobError, InvalidToken: as `PipelineJobStore.handle` does.
        """
        event = {
            "uuid": self._require_uuid(),
            "name": name,
            "data": documents.with_texts(data or {}),
        }
        self.job = self.store.handle(event, token or self.token)
        return self.job

    def cancel(self, token: str | None = None) -> Document:
        """Remove a job that has had no event yet.

        Raises:
            ManagedPipelineJobError: it has had one.
        """
        uuid = self._require_uuid()
        if not self._is_untouched():
            message = f"Cannot cancel job {uuid}: it has had events already; use fail() instead"
            raise ManagedPipelineJobError(message)
        removed = self.store.delete(uuid, token or self.token, force=True)
        self.job = None
        return removed

    def delete(self, token: str | None = None, *, force: bool = False) -> Document:
        """Hide the job, or with `force` remove it."""
        return self.store.delete(self._require_uuid(), token or self.token, force=force)

    def history(self, limit: int | None = None, skip: int | None = None) -> list[Document]:
        """Return the job's history, oldest entry first."""
        return self.store.history(self._require_uuid(), limit, skip)

    def _is_untouched(self) -> bool:
        current = self.store.load(self._require_uuid())
        return bool(current["last_event"] == FIRST_EVENT)

    def _require_uuid(self) -> str:
        if self.uuid is None:
            message = "The job is not set up yet: call setup() first"
            raise ManagedPipelineJobError(message)
        return self.uuid

    def _load(self, uuid: str) -> Document:
        try:
            return self.store.load(uuid)
        except UnknownJob as error:
            raise ManagedPipelineJobError(str(error)) from error

    def _attach(self, stored: Document) -> None:
        self.uuid = stored["uuid"]
        self.token = self.store.get_token(stored)
        self.job = self.store.with_token(stored)
        known: Document = documents.decode(stored)
        for name in KEPT:
            if name in known:
                setattr(self, name, known[name])


class ManagedPipelineJobInstance(JobEvents):
    """A job that exists.

    Args:
        mongodb: settings or a `pymongo` database, as for all stores.
        uuid: the job's.
        agave: a client of the platform, for the job's files.
        catalog: the catalog's settings, by default those of the environment.

    Raises:
        ManagedPipelineJobError: there is no such job.
    """

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        uuid: str,
        agave: Any = None,
        *,
        catalog: CatalogSettings | None = None,
    ) -> None:
        super().__init__(mongodb, agave, catalog=catalog)
        self._attach(self._load(uuid))

    def index(
        self,
        token: str | None = None,
        transition: bool = True,
        filters: Any = None,
        generated_by: str | Iterable[str] | None = None,
    ) -> list[str]:
        """Bring the outputs into the catalog: files, with their links, and fixities.

        All of it can be done again, also after it was broken off.

        Args:
            token: the job's or an administrative one, by default the job's own.
            transition: send the event `index` first, so that the job is in state INDEXING.
            filters: indexing requests, one or a list, by default the job's archive and product
                patterns.
            generated_by: UUIDs or identifiers of what has made the files, for requests that do
                not say; by default what has made the job.

        Returns:
            The paths of the files that were indexed, sorted.

        Raises:
            EventRefused: the job's state does not allow it; nothing has been written then.
            InvalidToken: the token does not allow it.
            InvalidRequest: a request makes no sense.
            StorageError: the archive path cannot be listed.
        """
        from datacatalog.managers.pipelinejobs.indexing import Indexer  # noqa: PLC0415 - an event does without

        stored = self._load(self._require_uuid())
        self.store.validate_token(stored, token or self.token)
        job = self.store.public(stored)
        indexer = Indexer(
            self.stores, job, self.client, _log, filters=filters, generated_by=generated_by
        )
        if transition:
            self.handle("index", {}, token)
        return indexer.run().names

    def indexed(self, token: str | None = None, data: Data | None = None) -> Document:
        """Say that the outputs are indexed."""
        return self.handle("indexed", data, token)
