"""Bring the outputs of a job into the catalog (docs/reference/catalog.md#indexing).

All of it can be done again, also after it was broken off: documents that are there are updated,
links are added, nothing is ever double.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.linkedstores import lookup
from datacatalog.linkedstores.pipelinejob import fields
from datacatalog.managers.pipelinejobs import contents, patterns, requests, sources
from datacatalog.managers.pipelinejobs.exceptions import (
    IndexingError,
    InvalidRequest,
    NotStored,
    StorageError,
    StorageRefusal,
)
from datacatalog.managers.pipelinejobs.storage import open_storage
from datacatalog.paths import normalize

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator, Mapping

    from datacatalog.linkedstores.file import FileStore
    from datacatalog.managers.pipelinejobs.requests import Request
    from datacatalog.managers.pipelinejobs.storage import Found, Storage
    from datacatalog.mongo import Document

BATCH = 100
"""How many files are written at once."""
MAX_READ_BYTES = 128 * 1024**3
"""How large a file may be to be read for its fixity: a sparse one can have any size."""


class Indexed(NamedTuple):
    """What has become of the outputs."""

    names: list[str]
    """the paths of the files that were indexed, sorted"""
    unread: list[str]
    """those among them whose fixity could not be had"""


@dataclass
class _Plan:
    """What is to be written about one file."""

    found: Found
    level: str | None = None
    fixity: bool = False
    links: dict[str, list[str]] = field(default_factory=dict)


class Indexer:
    """Indexes the outputs of one job.

    Args:
        stores: of `Manager.init_stores`.
        job: as its store shows it.
        client: of the platform; not needed if the storage system is in a folder here.
        log: is told what is odd and what could not be read.
        filters: the requests, by default the archive and product patterns of the job.
        generated_by: UUIDs or identifiers of what has made the files, for requests that do not
            say; by default what has made the job.
        level: of the files, for requests that do not say.
        fixity: whether the files are read, whatever the requests say.
        permissive: leave out sources that do not exist.

    Raises:
        InvalidRequest: a request, one of its patterns, a source, or a field of the job makes no sense.
        IndexingError: a source does not exist.
        StorageError: there is no way to the job's storage system.
    """

    def __init__(
        self,
        stores: Mapping[str, Any],
        job: Document,
        client: Any,
        log: logging.Logger,
        *,
        filters: Any = None,
        generated_by: str | Iterable[str] | None = None,
        level: str | None = None,
        fixity: bool | None = None,
        permissive: bool = False,
    ) -> None:
        check(job)
        self._files, self._fixities = stores["file"], stores["fixity"]
        self._job = job
        self._log = log
        self.requests = requests.parse_all(
            wanted(job) if filters is None else filters, level=level, fixity=fixity
        )
        self._permissive = permissive
        if isinstance(generated_by, str):
            generated_by = [generated_by]
        # the setting of an actor may be empty
        given = [maker for maker in generated_by or () if maker]
        self._makers = list(given or job.get("generated_by") or [job["pipeline_uuid"]])
        self._storage: Storage | None = None
        self._client = client
        self._brought: dict[str, str] = {}
        patterns.match([request.patterns for request in self.requests], [])
        self._warn_of_many()
        if self.requests:
            self._storage = open_storage(job["archive_system"], client, self._files.catalog)
        self._links = [self._resolved(request) for request in self.requests]

    def run(self) -> Indexed:
        """Index the outputs.

        Raises:
            InvalidRequest: the patterns take too long; of the outputs, nothing has been written then.
            StorageError: the archive path cannot be listed.
        """
        if self._storage is None:
            return Indexed([], [])
        if self._brought:
            self._files.record(
                {"name": name, "storage_system": system} for name, system in self._brought.items()
            )
        plans = self._plan(self._outputs)
        unread: list[str] = []
        names = sorted(plans)
        for first in range(0, len(names), BATCH):
            batch = {name: plans[name] for name in names[first : first + BATCH]}
            unread += self._write(self._storage, batch)
        return Indexed(names, unread)

    def _warn_of_many(self) -> None:
        catalog = self._files.catalog
        for what, count, most in (
            ("filters", len(self.requests), catalog.max_index_filters),
            ("patterns", requests.count_patterns(self.requests), catalog.max_index_patterns),
        ):
            if count > most:
                text = "job %s: %d %s to index with, more than %d are not recommended"
                self._log.warning(text, self._job["uuid"], count, what, most)

    def _list(self, storage: Storage) -> dict[str, Found]:
        """Return the files in the archive path by the names that they have in the catalog."""
        files: dict[str, Found] = {}
        # sorted, so that of names with and without blanks at the end the one without comes first
        for found in sorted(storage.walk(self._job["archive_path"]), key=lambda each: each.path):
            try:
                found.path.encode()
            except UnicodeEncodeError:
                text = "job %s: %a cannot be indexed: its name is not in UTF-8"
                self._log.warning(text, self._job["uuid"], found.path)
                continue
            name = normalize(found.path)
            if name in files:
                text = "job %s: %a cannot be indexed: in the catalog it has the same name as %a"
                self._log.warning(text, self._job["uuid"], found.path, files[name].path)
                continue
            files[name] = found
        return files

    def _plan(self, files: dict[str, Found]) -> dict[str, _Plan]:
        names = list(files)
        matched = patterns.match(
            [request.patterns for request in self.requests],
            [posixpath.basename(name) for name in names],
        )
        plans: dict[str, _Plan] = {}
        for request, its_links, numbers in zip(self.requests, self._links, matched, strict=True):
            for number in numbers:
                name = names[number]
                plan = plans.setdefault(name, _Plan(files[name]))
                plan.level = request.level or plan.level
                plan.fixity = plan.fixity or request.fixity
                own = self._files.get_typeduuid(name)
                for relation, uuids in its_links.items():
                    known = plan.links.setdefault(relation, [])
                    # a file is not derived from itself, though a pattern may match its sources too
                    known += [uuid for uuid in uuids if uuid != own and uuid not in known]
        return plans

    def _resolved(self, request: Request) -> dict[str, list[str]]:
        path = self._job["archive_path"]
        derived = {
            relation: [uuid for source in given if (uuid := self._source(source, path))]
            for relation in requests.SOURCES
            if (given := getattr(request, relation))
        }
        makers = [self._maker(maker) for maker in request.generated_by or self._makers]
        return {"child_of": [self._job["uuid"]], "generated_by": makers, **derived}

    def _source(self, source: str, path: str) -> str | None:
        """Return the UUID of a source; None if it does not exist, where that is permitted."""
        found = sources.resolve(self._files, source, path)
        if found.exists or found.path in self._outputs or self._is_stored(found):
            return found.uuid
        if self._permissive:
            text = "job %s: the source %a does not exist, and is left out"
            self._log.warning(text, self._job["uuid"], source)
            return None
        message = f"the source {source!r:.80} does not exist: it is neither in the catalog nor a file of its storage system"
        raise IndexingError(message)

    def _is_stored(self, source: sources.Source) -> bool:
        """Tell whether a source is a file of its storage system, to bring it into the catalog."""
        catalog = self._files.catalog
        system, path = source.system or catalog.storage_system, source.path or ""
        if path in self._brought:
            return True
        try:
            storage = open_storage(system, self._client, catalog)
        except StorageError as error:
            self._log.debug("job %s: %s", self._job["uuid"], error)
            return False
        try:
            found = next(iter(storage.walk(path)), None)
        except (NotStored, StorageRefusal) as error:
            self._log.debug("job %s: %s", self._job["uuid"], error)
            return False
        if found is None or normalize(found.path) != path:
            return False
        self._brought[path] = system
        return True

    @cached_property
    def _outputs(self) -> dict[str, Found]:
        """The files in the archive path, as they are listed once."""
        return {} if self._storage is None else self._list(self._storage)

    def _maker(self, identifier: str) -> str:
        uuid = lookup.resolve(self._files.db, identifier)
        if uuid is None:
            message = f"nothing is known that files could be generated by as {identifier!r:.80}"
            raise InvalidRequest(message)
        return uuid

    def _write(self, storage: Storage, plans: Mapping[str, _Plan]) -> list[str]:
        """Write the documents of some files; return the names of those that could not be read."""
        fixities, unread = {}, []
        for name, plan in plans.items():
            if not plan.fixity:
                continue
            try:
                fixities[name] = read(self._files, storage, self._job["archive_system"], plan.found)
            except StorageError as error:
                self._log.warning("job %s: no fixity: %s", self._job["uuid"], error)
                unread.append(name)
        self._files.record(self._file_documents(plans, fixities))
        self._fixities.record(fixities.values())
        return unread

    def _file_documents(
        self, plans: Mapping[str, _Plan], fixities: Mapping[str, Document]
    ) -> Iterator[Document]:
        for name, plan in plans.items():
            known = {} if plan.level is None else {"level": plan.level}
            if name in fixities:
                known["type"] = fixities[name]["type"]
            system = self._job["archive_system"]
            yield {"name": name, "storage_system": system, **known, **plan.links}


def read(files: FileStore, storage: Storage, system: str, found: Found) -> Document:
    """Return the fixity of a file, which is read for it.

    Raises:
        StorageError: it is too large, or cannot be read.
    """
    name = normalize(found.path)
    if found.size > MAX_READ_BYTES:
        message = f"{system}:{name} was not read: it has {found.size:,} bytes, at most {MAX_READ_BYTES:,} are read"
        raise StorageError(message)
    return {
        "name": name,
        "storage_system": system,
        "created": found.created,
        "modified": found.modified,
        **contents.describe(name, storage.read(found)),
        "child_of": [files.get_typeduuid(name)],
    }


def wanted(job: Mapping[str, Any]) -> list[Any]:
    """Return the indexing requests that a job has itself."""
    names = ("archive_patterns", "product_patterns")
    return [each for name in names for each in requests.listed(job.get(name) or (), name)]


def check(job: Mapping[str, Any]) -> None:
    """Check that a job says where its outputs are; others may have written it.

    Raises:
        InvalidRequest: a field that says so is missing, or of the wrong type.
    """
    told = {"archive_path": None, "archive_system": None, **job}
    problem = fields.wrong(told, ("archive_path", "archive_system"))
    if problem is None and job.get("generated_by") is not None:
        problem = fields.wrong(job, ("generated_by",))
    if problem is not None:
        message = f"of the job, {problem}: delete the job, and create it again"
        raise InvalidRequest(message)
