"""The base of all stores: find documents, change them if they are as they were read, keep a log."""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NamedTuple, TypeVar, cast

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from datacatalog import documents, mongo, tokens
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import indexes
from datacatalog.linkedstores.basestore.exceptions import CatalogUpdateFailure
from datacatalog.paths import normalize
from datacatalog.settings import CatalogSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.collection import Collection
    from pymongo.database import Database

    from datacatalog.linkedstores.basestore.stored import Properties
    from datacatalog.mongo import Document

VISIBLE: Final = "_visible"
REVISION = "_properties.revision"
CREATED = "_properties.created_date"
"""Where all documents of a store have the moment of their creation."""
_log = logging.getLogger(__name__)


def now() -> datetime.datetime:
    """Return the present UTC time in the milliseconds that BSON keeps."""
    return in_bson(datetime.datetime.now(datetime.timezone.utc))


def in_bson(moment: datetime.datetime) -> datetime.datetime:
    """Return a moment as it is read back: in UTC (which it is taken for without a zone), in ms."""
    utc = datetime.timezone.utc
    aware = moment.astimezone(utc) if moment.tzinfo else moment.replace(tzinfo=utc)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


StoredT = TypeVar("StoredT", bound="Mapping[str, Any]")
"""A document as it is stored: of jobs `StoredJob`, of the others a `Document`."""


class Store(Generic[StoredT]):
    """Documents of one kind, each with a typed UUID, an owner, a revision and a token.

    Args:
        mongodb: settings (`authn`, `database`, `timeout`) or a `pymongo` database.
        agave: a client of the platform, for the store of jobs, which lists their files.
        catalog: the catalog's settings, by default those of the environment.
        others: are not used; a warning names them.
    """

    collection: ClassVar[str]
    uuid_type: ClassVar[str]
    noun: ClassVar[str]
    """what a document is called in errors"""
    identifiers: ClassVar[tuple[str, ...]] = ("uuid",)
    """fields that find one document, each unique"""
    aliases: ClassVar[tuple[str, ...]] = ()
    """fields that find a document as well, though nothing keeps two from having the same value"""
    path_fields: ClassVar[tuple[str, ...]] = ()
    """fields that hold a path on a storage system, which is stored normalized"""
    links: ClassVar[tuple[str, ...]] = ()
    """fields that hold lists of typed UUIDs"""
    indexed: ClassVar[tuple[str, ...]] = ()
    former_indexes: ClassVar[tuple[str, ...]] = ()
    """fields that a former version made an index of, each, which no question uses"""
    unknown: ClassVar[type[CatalogUpdateFailure]] = CatalogUpdateFailure
    """what is raised where there is no such document"""

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        *,
        agave: Any = None,  # noqa: ARG002 - for the store of jobs
        catalog: CatalogSettings | None = None,
        **others: Any,
    ) -> None:
        warn_of_unused(f"the store of {self.collection}", others)
        self.catalog = catalog or CatalogSettings.from_environ()
        self.db = mongo.connect(mongodb)
        self.coll = cast("Collection[StoredT]", self.db[self.collection])
        self.updates = self.db["updates"]

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self.collection

    @classmethod
    def get_uuid_type(cls) -> str:
        """Return the type of the typed UUIDs of these documents."""
        return cls.uuid_type

    @classmethod
    def get_indexes(cls) -> list[str]:
        """Return the fields by which these documents are looked for."""
        return distinct((*cls.identifiers, *cls.aliases, *cls.indexed, *cls.links))

    # Finding

    def find_one_by_uuid(self, uuid: str) -> Document | None:
        """Return the visible document with this UUID, or None."""
        return self.find_one_by_id(uuid=uuid)

    def find_one_by_id(self, **identifiers: str) -> Document | None:
        """Return the visible document with these identifiers, or None.

        Raises:
            ValueError: this store has no identifier of that name.
        """
        known = (*self.identifiers, *self.aliases)
        for name in identifiers:
            if name not in known:
                message = f"{name} does not identify a {self.noun}: use {', '.join(known)}"
                raise ValueError(message)
        # $eq, so that a value is never taken for an operator
        query = {name: {"$eq": value} for name, value in self.normalized(identifiers).items()}
        found = self.coll.find_one({**query, VISIBLE: {"$ne": False}})
        return None if found is None else self.public(found)

    def query(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        sort: list[tuple[str, int]] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> list[Document]:
        """Return the visible documents that a MongoDB query finds."""
        wanted, visible = dict(query or {}), {VISIBLE: {"$ne": False}}
        # within an $and, a server may not see which condition has an index
        whole = {"$and": [wanted, visible]} if VISIBLE in wanted else {**wanted, **visible}
        found = self.coll.find(whole, sort=sort, skip=skip, limit=limit)
        return [self.public(stored) for stored in found]

    def find(self, **fields: Any) -> list[Document]:
        """Return the visible documents whose fields have these values."""
        return self.query(fields)

    def load(self, uuid: str) -> StoredT:
        """Return a visible document as it is stored.

        Raises:
            CatalogUpdateFailure: there is none; of the kind that `unknown` says.
        """
        return self._load(uuid, hidden=False)

    def load_deletable(self, uuid: str) -> StoredT:
        """Return a document as it is stored, whether visible or hidden.

        Raises:
            CatalogUpdateFailure: there is none; of the kind that `unknown` says.
        """
        return self._load(uuid, hidden=True)

    def _load(self, uuid: str, projection: Document | None = None, *, hidden: bool) -> StoredT:
        # a second condition would make a server weigh all indexes against each other
        found = self.coll.find_one({"uuid": {"$eq": self._normal("uuid", uuid)}}, projection)
        if found is None or (found.get(VISIBLE) is False and not hidden):
            message = f"No {self.noun} exists with UUID {uuid}"
            raise self.unknown(message)
        return found

    def normalized(self, fields: Mapping[str, Any]) -> Document:
        """Return fields with their paths and the UUID as they are stored."""
        return {name: self._normal(name, value) for name, value in fields.items()}

    def _normal(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if name == "uuid":
            return typeduuid.canonical(value)
        return normalize(value) if name in self.path_fields else value

    def public(self, stored: StoredT) -> Document:
        """Return a stored document as callers see it: without what only the store needs."""
        shown: Document = documents.decode(
            {name: value for name, value in stored.items() if name != "_id"}
        )
        return shown

    # Identity and tokens

    def uuid_of(self, text: str) -> str:
        """Return the typed UUID, in this catalog's namespace, of a string."""
        return typeduuid.catalog_uuid(text, self.uuid_type, self.catalog.namespace)

    def get_token(self, stored: Mapping[str, Any]) -> str:
        """Return the token that may change a document (docs/reference/jobs.md#tokens)."""
        return tokens.get_token(stored.get("_salt"), [stored["uuid"], stored.get("_admin")])

    def valid_tokens(self, stored: Mapping[str, Any]) -> list[str]:
        """Return all tokens of a document that may change it, the present one first."""
        of = [stored["uuid"], stored.get("_admin")]
        return [tokens.get_token(salt, of) for salt in self.salts(stored)]

    def salts(self, stored: Mapping[str, Any]) -> list[object]:
        """Return what the tokens are made of that may change a document."""
        return [stored.get("_salt")]

    def is_own_token(self, stored: Mapping[str, Any], token: object) -> bool:
        """Tell whether a token is a document's own."""
        # written once, not for each salt
        of = str([stored["uuid"], stored.get("_admin")])
        return tokens.is_token_of_any(token, self.salts(stored), of)

    def is_admin_token(self, token: object) -> bool:
        """Tell whether a token is a valid administrative one."""
        return tokens.validate_admin_token(token, settings=self.catalog)

    def validate_token(self, stored: Mapping[str, Any], token: object) -> None:
        """Check that a token is the document's own or an administrative one.

        Raises:
            InvalidToken: it is neither.
        """
        own = self.is_own_token(stored, token)
        if not self.is_admin_token(token) and not own:
            raise tokens.InvalidToken

    def with_token(self, stored: StoredT) -> Document:
        """Return the public form of a document, and with it the token that changes it."""
        return {**self.public(stored), "_update_token": self.get_token(stored)}

    # Writing

    def managed(self, fields: Mapping[str, Any], owner: str | None = None) -> Document:
        """Return a new document: the given fields, empty links, and what every document has."""
        moment = now()
        return {
            **{link: [] for link in self.links},
            **fields,
            VISIBLE: True,
            "_admin": {
                "owner": owner or self.catalog.owner,
                "project": self.catalog.project,
                "tenant": self.catalog.tenant,
            },
            "_properties": {
                "created_date": moment,
                "modified_date": moment,
                "revision": 0,
                "source": self.catalog.records_source,
            },
            "_salt": tokens.generate_salt(),
        }

    def commit(
        self,
        stored: StoredT,
        changes: Mapping[str, Any],
        guard: Mapping[str, Any] | None = None,
        count: int = 1,
        **operators: Any,
    ) -> bool:
        """Change a document if it still has the revision that was read, and count the change.

        Args:
            stored: the document as it was read; its `_properties` are updated to the new ones.
            changes: the fields that get a new value.
            guard: what else has to hold for the stored document.
            count: as how many changes it counts.
            operators: further update operators, without their `$`.

        Returns:
            False if another writer was faster; nothing has changed then.
        """
        change = change_of(stored, changes, guard, count, **operators)
        result = self.coll.update_one(change.query, change.update)
        if result.matched_count == 0:
            return False
        change.note(stored)
        return True

    @staticmethod
    def next_properties(stored: Mapping[str, Any]) -> Properties:
        """Return the `_properties` of a document after its next change."""
        return {**stored.get("_properties", {}), **_next_properties(stored)}

    # The audit log, and the indexes

    def audit(self, stored: Mapping[str, Any], action: str, **more: Any) -> Document:
        """Return the row of the audit log (collection `updates`) for a change of a document."""
        return {
            "uuid": stored["uuid"],
            "date": now(),
            "action": action,
            "_admin": stored.get("_admin"),
            **more,
        }

    def audit_change(self, stored: Mapping[str, Any], action: str) -> Document:
        """Return the row for the change that gave a document its revision, with a key of its own."""
        revision = revision_of(stored)
        return {**self.audit(stored, action), "_id": f"{stored['_id']}:{revision}"}

    def keep_row(self, row: Document) -> None:
        """Write a row of the audit log that has a key of its own, unless it is there."""
        self.updates.update_one({"_id": row["_id"]}, {"$setOnInsert": row}, upsert=True)

    def wanted_indexes(self) -> list[IndexModel]:
        """Return the indexes that this store's collection is to have.

        Documents that others wrote may have no identifier but their UUID: these do not count as alike.
        """
        others = [name for name in self.identifiers if name != "uuid"]
        unique = [
            IndexModel("uuid", unique=True),
            *(IndexModel(name, unique=True, **indexes.having(name)) for name in others),
        ]
        plain = [name for name in self.get_indexes() if name not in self.identifiers]
        return unique + [IndexModel(name) for name in plain]

    def ensure_indexes(self) -> None:
        """Create the indexes of this store's collection that are missing, and drop what is left over.

        Raises:
            CatalogUpdateFailure: several documents have the same identifier.
        """
        try:
            indexes.ensure(self.coll, self.wanted_indexes(), self.former_indexes)
        except DuplicateKeyError as error:
            alike = (error.details or {}).get("keyValue") or self.identifiers
            message = (
                f"several documents of the collection {self.collection} have the same identifier "
                f"({alike}): remove all but one of them from the database"
            )
            raise CatalogUpdateFailure(message) from error
        indexes.ensure(self.updates, [IndexModel("uuid"), IndexModel("date")])


def revision_of(stored: Mapping[str, Any]) -> int | None:
    """Return how often a document has changed; None of one that no store of ours has written."""
    revision: int | None = stored.get("_properties", {}).get("revision")
    return revision


def unchanged(stored: Mapping[str, Any]) -> Document:
    """Return the query that finds a document only if it still has the revision that was read."""
    revision = revision_of(stored)
    # `$exists` says nothing more; with it, the embedded server looks for fewer indexes to use, which
    # saves it a fifth of an update
    same = None if revision is None else {"$exists": True, "$eq": revision}
    return {"_id": stored["_id"], REVISION: same}


class Change(NamedTuple):
    """An update of a document that still has the revision that was read, and counts the change."""

    query: Document
    update: Document
    properties: Properties
    """those that it sets"""

    def note(self, stored: Mapping[str, Any]) -> None:
        """Give the document as it was read the new properties."""
        own = {**stored.get("_properties", {}), **self.properties}
        cast("Document", stored)["_properties"] = own


def change_of(
    stored: Mapping[str, Any],
    changes: Mapping[str, Any],
    guard: Mapping[str, Any] | None = None,
    count: int = 1,
    **operators: Any,
) -> Change:
    """Return the change of a document: see `Store.commit`."""
    new = _next_properties(stored, count)
    assignments = {**changes, **{f"_properties.{name}": value for name, value in new.items()}}
    update = {"$set": assignments, **{f"${name}": value for name, value in operators.items()}}
    return Change({**unchanged(stored), **(guard or {})}, update, new)


def _next_properties(stored: Mapping[str, Any], count: int = 1) -> Properties:
    """Return what the next change of a document, or the next few, set in its `_properties`."""
    revision = revision_of(stored) or 0
    return {"revision": revision + count, "modified_date": now()}


def warn_of_unused(taker: str, others: Mapping[str, Any]) -> None:
    """Name in the log the arguments that older callers give, and that count for nothing here."""
    if others:
        _log.warning("%s takes no %s", taker, ", ".join(map(repr, sorted(others))))


def distinct(names: Iterable[str]) -> list[str]:
    """Return names without duplicates, in their order."""
    return list(dict.fromkeys(names))
