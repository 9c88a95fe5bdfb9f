"""Index the outputs of a job, where no other actor does (docs/reference/catalog.md#indexing).

The event `index` moves the job to INDEXING, the outputs are brought into the catalog, and the event
`indexed` follows. If the actor dies in between, the job is still in INDEXING: the same message
delivered again, or another `index`, does what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipelinejob.fsm import TRANSITIONS
from datacatalog.managers.common import Manager
from datacatalog.managers.pipelinejobs.exceptions import (
    IndexingError,
    NotStored,
    StorageError,
    StorageRefusal,
)
from datacatalog.managers.pipelinejobs.indexing import Indexer, check
from manager.exceptions import InvalidMessage, InvalidSettings, Unavailable
from reactors.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from datacatalog.linkedstores.pipelinejob import Applied, PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.managers.pipelinejobs.indexing import Indexed
    from reactors.runtime import Reactor

BEGUN, INDEXED = "index", "indexed"
_MAX_NAMES = 20


def index(
    rx: Reactor,
    jobs: PipelineJobStore,
    job: StoredJob,
    key: str | None,
    apply: Callable[[], Applied],
) -> tuple[Applied, str]:
    """Index the outputs of a job.

    Args:
        rx: what the message came with.
        jobs: the store of jobs.
        job: as it is stored.
        key: the idempotency key of the event `index`.
        apply: applies that event.

    Returns:
        The event that ended it, and what the log is to say.

    Raises:
        InvalidMessage: the job's patterns make no sense, or its storage system has not got its
            archive path, or does not give it; the job may be in INDEXING then.
        InvalidSettings: nothing says how to get to the job's storage system.
        Unavailable: that system cannot be reached; the job is in INDEXING then, unless nothing at
            all could be done.
    """
    ending = None if key is None else f"{key}:{INDEXED}"
    ended = None if ending is None else jobs.find_entry(job, ending)
    try:
        indexer = None
        if ended is None and job["state"] in TRANSITIONS[BEGUN].sources:
            indexer = _prepare(rx, jobs, job)
        begun = apply()
        if ended is not None:
            return begun._replace(entry=ended), ""
        if begun.duplicate and begun.job["state"] != TRANSITIONS[BEGUN].target:
            return begun, ""
        done = (indexer or _prepare(rx, jobs, begun.job)).run()
    except IndexingError as error:
        text = f"{BEGUN} event: {error}"
        raise InvalidMessage(text) from error
    except StorageRefusal as error:
        raise InvalidMessage(_advice(jobs, job, error)) from error
    except StorageError as error:
        text = f"{BEGUN} event: {error}: send it again"
        raise Unavailable(text) from error
    applied = jobs.apply(
        begun.job,
        INDEXED,
        _data(done),
        key=ending,
        sent={},
        execution_id=rx.environ.get("_abaco_execution_id"),
    )
    return applied, f", {len(done.names)} files indexed"


def _prepare(rx: Reactor, jobs: PipelineJobStore, job: StoredJob) -> Indexer:
    check(jobs.public(job))
    stores = Manager.init_stores(jobs.db, catalog=jobs.catalog)
    client = None
    if job["archive_system"] not in jobs.catalog.local_storage:
        try:
            client = rx.client
        except SettingsError as error:
            text = f"{BEGUN} event: there is no way to the files of {job['archive_system']}: {error}; or set {_here(job)}, or pipelines.job_indexer_id"
            raise InvalidSettings(text) from error
    return Indexer(stores, jobs.public(job), client, rx.logger)


def _advice(jobs: PipelineJobStore, job: StoredJob, error: StorageRefusal) -> str:
    what = "bring the outputs there" if isinstance(error, NotStored) else "change that"
    text = f"{BEGUN} event: {error}: {what}, and send {BEGUN} again"
    if job["archive_system"] in jobs.catalog.local_storage:
        return text
    return f"{text}; or set {_here(job)} if its files are in a folder of this machine"


def _here(job: StoredJob) -> str:
    return f"CATALOG_LOCAL_STORAGE={job['archive_system']}=/folder"


def _data(done: Indexed) -> dict[str, Any]:
    """Return what the history keeps of what was done."""
    data: dict[str, Any] = {"files": len(done.names)}
    if done.unread:
        data["without_fixity"] = len(done.unread)
        data["unread"] = done.unread[:_MAX_NAMES]
    return data
