"""One existing job, and the events that it can be sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from datacatalog import documents, paths
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore.store import warn_of_unused
from datacatalog.linkedstores.pipelinejob.exceptions import UnknownJob
from datacatalog.linkedstores.pipelinejob.fsm import FIRST_EVENT
from datacatalog.managers.common import Manager
from datacatalog.managers.pipelinejobs import archive
from datacatalog.managers.pipelinejobs.exceptions import (
    ManagedPipelineJobError,
    UnknownInstance,
    managed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pymongo.database import Database
    from typing_extensions import Self

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document
    from datacatalog.settings import CatalogSettings

Data = dict[str, Any]
KEPT = (
    "pipeline_uuid",
    "archive_path",
    "archive_system",
    "archive_patterns",
    "product_patterns",
    "data",
    "session",
    "agent",
    "task",
    "generated_by",
    "child_of",
    "acted_on",
    "acted_using",
)
"""Fields of a job that are attributes of it, in the order in which a new job is stored with them."""
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
    def state(self) -> str | None:
        """The state in `job`: as this object has left it, or found it."""
        return None if self.job is None else self.job["state"]

    @property
    def last_event(self) -> str | None:
        """The newest event in `job`, likewise."""
        return None if self.job is None else self.job["last_event"]

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
        if self.cancelable:
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
        permissive: bool = False,
    ) -> Document:
        """Make the job ready for another run; needs an administrative token.

        Args:
            data: what the history is to keep.
            no_clear_path: leave the archive path as it is. Else it is emptied, where the job has a
                client of the platform.
            token: an administrative one.
            permissive: make the job ready although its archive path could not be emptied.

        Returns:
            The job, in state CREATED.

        Raises:
            ManagedPipelineJobError: the archive path was not cleared; the job is in state RESET,
                and may be reset again.
        """
        self.handle("reset", data, token)
        if self.client is not None and not no_clear_path:
            try:
                self._with_archive_path(archive.clear)
            except ManagedPipelineJobError as error:
                if not permissive:
                    raise
                _log.warning("job %s: %s", self.uuid, error)
        return self.ready(token=token)

    def ready(self, data: Data | None = None, token: str | None = None) -> Document:
        """End a reset; needs an administrative token."""
        return self.handle("ready", data, token)

    def handle(
        self,
        event_doc: str | Mapping[str, Any],
        data: Data | str | None = None,
        token: str | None = None,
    ) -> Document:
        """Send an event.

        Dates and times in its data, which answers of the platform have, are kept as strings.

        Args:
            event_doc: its name; or a document with `name`, perhaps `data` and `token`, and the job's
                `uuid` if there is one, after which a token may follow in the place of `data`.
            data: what the history is to keep.
            token: the job's or an administrative one, by default the job's own.

        Raises:
            ManagedPipelineJobError: the job is not set up, the document is about another job, or as
                `PipelineJobStore.handle` does.
        """
        if isinstance(event_doc, str):
            document: dict[str, Any] = {"name": event_doc, "data": data}
        else:
            document = dict(event_doc)
            token = data if isinstance(data, str) else token
        uuid = self._require_uuid()
        if typeduuid.canonical(str(document.setdefault("uuid", uuid))) != uuid:
            message = f"The event is about job {document['uuid']}, and this is job {uuid}"
            raise ManagedPipelineJobError(message)
        given = document.get("data")
        document["data"] = {} if given is None else documents.with_texts(given)
        with managed():
            self.job = self.store.handle(document, token or self.token)
        return self.job

    @property
    def cancelable(self) -> bool:
        """Whether the job has had no event yet, so that it can be cancelled."""
        with managed():
            current = self.store.load(self._require_uuid())
        return bool(current["last_event"] == FIRST_EVENT)

    def list_job_archive_path(self, recurse: bool = True, directories: bool = False) -> list[str]:
        """Return the paths of the files in the job's archive path, sorted.

        Args:
            recurse: also those in the directories below.
            directories: also these directories.

        Raises:
            StorageError: it cannot be listed.
        """
        return self.store.list_job_archive_path(self._require_uuid(), recurse, directories)

    def cancel(self, token: str | None = None) -> Document:
        """Remove a job that has had no event yet.

        Raises:
            ManagedPipelineJobError: it has had one.
        """
        uuid = self._require_uuid()
        if not self.cancelable:
            message = f"Cannot cancel job {uuid}: it has had events already; use fail() instead"
            raise ManagedPipelineJobError(message)
        with managed():
            removed = self.store.delete(uuid, token or self.token, force=True)
        self.job = None
        return removed

    def delete(self, token: str | None = None, *, force: bool = False) -> Document:
        """Hide the job, or with `force` remove it."""
        with managed():
            return self.store.delete(self._require_uuid(), token or self.token, force=force)

    def history(self, limit: int | None = None, skip: int | None = None) -> list[Document]:
        """Return the job's history, oldest entry first."""
        with managed():
            return self.store.history(self._require_uuid(), limit, skip)

    def _with_archive_path(self, act: Callable[[Any, str, str, str | None], None]) -> None:
        system, folders = self.archive_system, self.store.catalog.local_storage
        act(self.client, system, self.archive_path, folders.get(system))

    def _require_uuid(self) -> str:
        if self.uuid is None:
            message = "The job is not set up yet: call setup() first"
            raise ManagedPipelineJobError(message)
        return self.uuid

    def _load(self, uuid: object) -> StoredJob:
        if not isinstance(uuid, str):
            message = f"No job exists with UUID {uuid!r:.60}, which is not a string"
            raise UnknownInstance(message)
        try:
            return self.store.load(uuid)
        except UnknownJob as error:
            raise UnknownInstance(str(error)) from error

    def _attach(self, stored: StoredJob) -> None:
        self.uuid = stored["uuid"]
        self.token = self.store.get_token(stored)
        self.job = self.store.with_token(stored)
        known: Document = documents.decode(stored)
        for name in KEPT:
            if name in known:
                setattr(self, name, known[name])


class JobManager(JobEvents):
    """A job that is yet to be found: `JobManager(mongodb, agave=client).load(uuid)`.

    Args:
        mongodb: settings or a `pymongo` database, as for all stores.
        agave: a client of the platform, for the job's files.
        uuid: the job's, for `attach`.
        token: what events are sent with that come with none, by default the job's own.
        catalog: the catalog's settings, by default those of the environment.
        others: are not used; a warning names them.
    """

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        agave: Any = None,
        *,
        uuid: str | None = None,
        token: str | None = None,
        catalog: CatalogSettings | None = None,
        **others: Any,
    ) -> None:
        super().__init__(mongodb, agave, catalog=catalog)
        warn_of_unused("a managed job", others)
        self.uuid, self.token = uuid, token

    def load(self, job_uuid: str, token: str | None = None) -> Self:
        """Take over an existing job.

        Args:
            job_uuid: the job's.
            token: as for the class.

        Raises:
            ManagedPipelineJobError: there is none with this uuid.
        """
        given = token or self.token
        self._attach(self._load(job_uuid))
        self.token = given or self.token
        return self

    def attach(self) -> Self:
        """Take over the job that is known already, as `load` does."""
        return self.load(self._require_uuid())

    def index(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that indexing of the outputs has begun."""
        return self.handle("index", data, token)

    def indexed(self, data: Data | None = None, token: str | None = None) -> Document:
        """Say that the outputs are indexed."""
        return self.handle("indexed", data, token)


class ManagedPipelineJobInstance(JobEvents):
    """A job that exists.

    Args:
        mongodb: settings or a `pymongo` database, as for all stores.
        uuid: the job's.
        agave: a client of the platform, for the job's files.
        token: what events are sent with that come with none, by default the job's own.
        catalog: the catalog's settings, by default those of the environment.
        others: are not used; a warning names them.

    Raises:
        UnknownInstance: there is no such job.
    """

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        uuid: str,
        agave: Any = None,
        *,
        token: str | None = None,
        catalog: CatalogSettings | None = None,
        **others: Any,
    ) -> None:
        super().__init__(mongodb, agave, catalog=catalog)
        warn_of_unused("a managed job", others)
        self._attach(self._load(uuid))
        self.token = token or self.token

    def index(
        self,
        token: str | None = None,
        transition: bool = False,
        filters: Any = None,
        generated_by: str | Iterable[str] | None = None,
        *,
        level: str | None = None,
        fixity: bool | None = None,
        permissive: bool = False,
    ) -> Any:
        """Send the event `index`, and bring the outputs into the catalog: files, links, fixities.

        All of it can be done again, also after it was broken off.

        Args:
            token: the job's or an administrative one, by default the job's own.
            transition: send the event `indexed` as well, when all is done.
            filters: indexing requests, one or a list, by default the job's archive and product
                patterns.
            generated_by: UUIDs or identifiers of what has made the files, for requests that do
                not say; by default what has made the job.
            level: of the files, for requests that do not say.
            fixity: whether the files are read, whatever the requests say.
            permissive: leave out sources that do not exist.

        Returns:
            The paths of the files that were indexed, sorted; with `transition` the job.

        Raises:
            EventRefused: the job's state does not allow it; nothing has been written then.
            InvalidToken: the token does not allow it.
            IndexingError: a request makes no sense, or names a source that does not exist.
            StorageError: the archive path cannot be listed.
        """
        from datacatalog.managers.pipelinejobs.indexing import Indexer  # noqa: PLC0415 - an event does without

        stored = self._load(self._require_uuid())
        with managed():
            self.store.validate_token(stored, token or self.token)
        job = self.store.public(stored)
        indexer = Indexer(
            self.stores,
            job,
            self.client,
            _log,
            filters=filters,
            generated_by=generated_by,
            level=level,
            fixity=fixity,
            permissive=permissive,
        )
        self.handle("index", {}, token)
        names = indexer.run().names
        return self.indexed(token) if transition else names

    def indexed(self, token: str | None = None, data: Data | None = None) -> Document:
        """Say that the outputs are indexed."""
        return self.handle("indexed", data, token)
