"""The whole catalog as a stream of documents, out of one database and into another.

Of a job, the buckets of its history come before its document: so it never is in a database with a
part of its history only, wherever the stream breaks off.
"""

from __future__ import annotations

import contextlib
import datetime
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import bson
from bson import Binary, Int64, ObjectId, json_util
from bson.errors import BSONError
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from datacatalog import mongo
from datacatalog.linkedstores.basestore.paging import Listing, Position
from datacatalog.linkedstores.basestore.store import CREATED
from datacatalog.linkedstores.lookup import KINDS
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.history import moved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.database import Database

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

JOBS, BUCKETS = "jobs", "jobs_history"
# Collection: the indexed date by which an interrupted export of it goes on, where it has one
COLLECTIONS: dict[str, str | None] = {
    PipelineStore.collection: None,
    JOBS: CREATED,
    "jobs_removed": None,
    "jobs_untold": None,
    "subscriptions": None,
    "views": None,
    "dead_letters": None,
    "rejected_events": "date",
    "updates": "date",
} | {store.collection: None for store in KINDS.values() if store.collection != JOBS}
_KEYS = (str, int, float, bytes, datetime.datetime, uuid.UUID, ObjectId, Int64, Binary)
"""Types of an `_id`; in a query, an object or a regular expression would be no value."""
_MAX_BYTES = 16 * 1024 * 1024
_EXTENDED = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True)
_MAX_REMEMBERED = 10_000


class Item(NamedTuple):
    """A document on its way."""

    collection: str
    document: Document

    def to_json(self) -> str:
        """Return it as a line of MongoDB Extended JSON, without the line's end."""
        text = json_util.dumps(self.document, json_options=_EXTENDED)
        return f'{{"collection": "{self.collection}", "document": {text}}}'

    @classmethod
    def from_json(cls, line: str) -> Item:
        """Read a line.

        Raises:
            ValueError: it holds no document of the catalog.
        """
        try:
            content = json_util.loads(line, json_options=_EXTENDED)
            collection, document = content["collection"], content["document"]
        except (ValueError, TypeError, KeyError, RecursionError, BSONError) as error:
            message = "no document of a catalog"
            raise ValueError(message) from error
        known = collection in (*COLLECTIONS, BUCKETS)
        if not known or not isinstance(document, dict) or "_id" not in document:
            message = "no document of a collection of the catalog"
            raise ValueError(message)
        for field in ("_id", "job_id") if collection == BUCKETS else ("_id",):
            if type(document.get(field)) not in _KEYS:
                message = f"the document's {field} is missing or cannot be a key"
                raise ValueError(message)
        try:
            size = len(bson.encode(document))
        except (OverflowError, RecursionError, UnicodeError, BSONError) as error:
            message = "the document has a value that the database cannot hold"
            raise ValueError(message) from error
        if size > _MAX_BYTES:
            message = f"the document has {size:,} bytes, and the database holds {_MAX_BYTES:,}"
            raise ValueError(message)
        return cls(collection, document)


class Loaded(NamedTuple):
    """What became of some items."""

    added: int
    known: int
    """were there already, and stayed as they were"""
    conflicts: list[str]
    """could not be added, since another document has what must be unique"""


class Transfer:
    """The documents of a database.

    Args:
        mongodb: settings or a `pymongo` database, as for all stores.
    """

    def __init__(self, mongodb: Mapping[str, Any] | Database[Any]) -> None:
        self._db = mongo.connect(mongodb)
        self._stores = (PipelineStore(mongodb), PipelineJobStore(mongodb))
        self._jobs = self._stores[1]
        self._present: dict[Any, bool] = {}

    def count(self) -> int:
        """Estimate how many documents there are, without the buckets."""
        return sum(self._db[name].estimated_document_count() for name in COLLECTIONS)

    def dump(self, last: Item | None = None) -> Iterator[Item]:
        """Yield all documents, or those that come after one that was written already.

        After a document of a collection without a date, its collection comes again from its first.
        """
        names = list(COLLECTIONS)
        if last is not None:
            names = names[names.index(last.collection) :]
        for name in names:
            field = COLLECTIONS[name]
            begin = last if last is not None and last.collection == name else None
            cursor = None
            if field is not None and begin is not None and self.goes_on(begin):
                cursor = str(Position.of(begin.document, field))
            for document in self._documents(name, cursor):
                if name == JOBS:
                    job, entries = cast("StoredJob", document), 0
                    for bucket in self._jobs.histories.of(job):
                        entries += len(bucket["entries"])
                        yield Item(BUCKETS, bucket)
                    if entries != moved(job) and self._is_gone(job):
                        continue
                yield Item(name, document)

    @staticmethod
    def goes_on(item: Item) -> bool:
        """Tell whether an export can go on behind this document."""
        field = COLLECTIONS.get(item.collection)
        if field is None:
            return False
        with contextlib.suppress(KeyError, TypeError):
            return Position.of(item.document, field).moment is not None
        return False

    def _documents(self, name: str, cursor: str | None) -> Iterator[Document]:
        collection, field = self._db[name], COLLECTIONS[name]
        if field is None:
            yield from collection.find(sort=[("_id", 1)])
            return
        yield from Listing(collection, field).all(cursor)
        yield from collection.find({field: None})

    def _is_gone(self, job: StoredJob) -> bool:
        return self._jobs.coll.find_one({"_id": job["_id"]}, {"_id": 1}) is None

    # In

    def prepare(self) -> None:
        """Create the indexes, of which the unique ones keep a document from coming twice."""
        for store in self._stores:
            store.ensure_indexes()

    def load(self, items: Sequence[Item]) -> Loaded:
        """Write items in their order; what is there already stays as it is.

        Loading the same items again changes nothing.
        """
        added = known = 0
        conflicts: list[str] = []
        for name, documents in _runs(items):
            if name == BUCKETS:
                conflicts += self._load_buckets(documents)
                continue
            rejected = self._insert(name, documents)
            known += sum(not text for text in rejected)
            conflicts += [text for text in rejected if text]
            added += len(documents) - len(rejected)
            if name == JOBS:
                self._present.update((job["_id"], True) for job in documents)
        return Loaded(added, known, conflicts)

    def _load_buckets(self, buckets: list[Document]) -> list[str]:
        """Write buckets whose job is not there: a job that is has its own.

        Returns:
            A line for each whose place is taken by a bucket of another job.
        """
        wanted = [found for found in buckets if not self._is_present(found["job_id"])]
        if not wanted:
            return []
        replacements = [
            ReplaceOne({"_id": found["_id"], "job_id": found["job_id"]}, found, upsert=True)
            for found in wanted
        ]
        try:
            self._db[BUCKETS].bulk_write(replacements, ordered=False)
        except BulkWriteError as error:
            return [
                f"{BUCKETS}: a bucket of another job has the _id {wanted[index]['_id']!s:.80}"
                for index in mongo.duplicates(error)
            ]
        return []

    def _is_present(self, job_id: Any) -> bool:
        if job_id not in self._present:
            if len(self._present) > _MAX_REMEMBERED:
                self._present.clear()
            found = self._db[JOBS].find_one({"_id": job_id}, {"_id": 1})
            self._present[job_id] = found is not None
        return self._present[job_id]

    def _insert(self, name: str, documents: list[Document]) -> list[str]:
        """Insert documents; return a line for each that was not, empty if it was there already."""
        try:
            self._db[name].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return [self._conflict(name, documents[index]) for index in mongo.duplicates(error)]
        return []

    def _conflict(self, name: str, document: Document) -> str:
        if self._db[name].find_one({"_id": document["_id"]}, {"_id": 1}) is not None:
            return ""
        if name == JOBS:
            self._db[BUCKETS].delete_many({"job_id": document["_id"]})
        return f"{name}: another document has the uuid {document.get('uuid')}, or its identifier"


def _runs(items: Sequence[Item]) -> Iterator[tuple[str, list[Document]]]:
    """Yield the documents by collection, buckets before jobs."""
    by_name: dict[str, list[Document]] = {}
    for item in items:
        by_name.setdefault(item.collection, []).append(item.document)
    for name in sorted(by_name, key=lambda name: name != BUCKETS):
        yield name, by_name[name]
