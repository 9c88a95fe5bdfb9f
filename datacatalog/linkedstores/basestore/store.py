"""The base of all stores."""

from __future__ import annotations

import datetime
import random
import time
from typing import TYPE_CHECKING, Any, ClassVar

from pymongo import IndexModel

from datacatalog import documents, mongo, tokens
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore.exceptions import CatalogUpdateFailure
from datacatalog.settings import CatalogSettings
from datacatalog.tokens import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pymongo.database import Database

    from datacatalog.mongo import Document

VISIBLE = "_visible"
REVISION = "_properties.revision"
CONTENTION_SECONDS = 60.0
_FIRST_PAUSE, _DOUBLINGS = 0.001, 6


def now() -> datetime.datetime:
    """Return the present UTC time in the milliseconds that BSON keeps."""
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class LinkedStore:
    """Documents of one kind, each with a typed UUID, an owner, a revision and a token.

    Args:
        mongodb: settings (`authn`, `database`, `timeout`) or a `pymongo` database.
        catalog: the catalog's settings, by default those of the environment.
    """

    collection: ClassVar[str]
    uuid_type: ClassVar[str]
    identifiers: ClassVar[tuple[str, ...]] = ("uuid",)
    links: ClassVar[tuple[str, ...]] = ()
    indexed: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        *,
        catalog: CatalogSettings | None = None,
    ) -> None:
        self.catalog = catalog or CatalogSettings.from_environ()
        self.db = mongo.connect(mongodb)
        self.coll = self.db[self.collection]
        self.updates = self.db["updates"]

    def find_one_by_uuid(self, uuid: str) -> Document | None:
        """Return the visible document with this UUID, or None."""
        return self.find_one_by_id(uuid=uuid)

    def find_one_by_id(self, **identifiers: str) -> Document | None:
        """Return the visible document with these identifiers, or None.

        Raises:
            ValueError: a name is no identifier of this store.
        """
        for name in identifiers:
            if name not in self.identifiers:
                message = f"{name} does not identify a {self.uuid_type}: use {', '.join(self.identifiers)}"
                raise ValueError(message)
        found = self.coll.find_one({**identifiers, VISIBLE: {"$ne": False}})
        return None if found is None else self.public(found)

    def public(self, stored: Document) -> Document:
        """Return a stored document as callers see it: without what only the store needs."""
        shown: Document = documents.decode(
            {name: value for name, value in stored.items() if name != "_id"}
        )
        return shown

    def get_typeduuid(self, payload: Any) -> str:
        """Return the typed UUID, in this catalog's namespace, of a text."""
        return typeduuid.catalog_uuid(payload, self.uuid_type, self.catalog.namespace)

    def get_token(self, stored: Mapping[str, Any]) -> str:
        """Return the token that may change a document (spec: jobs, section 3)."""
        return tokens.get_token(stored.get("_salt"), [stored["uuid"], stored.get("_admin")])

    def is_admin_token(self, token: object) -> bool:
        """Tell whether a token is a valid administrative one."""
        return tokens.validate_admin_token(token, settings=self.catalog)

    def validate_token(self, stored: Mapping[str, Any], token: object) -> None:
        """Check that a token is the document's own or an administrative one.

        Raises:
            InvalidToken: it is neither.
        """
        own = digest.same(token, self.get_token(stored))
        if not self.is_admin_token(token) and not own:
            raise tokens.InvalidToken

    def with_token(self, stored: Document) -> Document:
        """Return the public form of a document, and with it the token that changes it."""
        return {**self.public(stored), "_update_token": self.get_token(stored)}

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
        stored: Document,
        changes: Mapping[str, Any],
        guard: Mapping[str, Any] | None = None,
        **operators: Any,
    ) -> bool:
        """Change a document if it still has the revision that was read, and count the change.

        Args:
            stored: the document as it was read; its `_properties` are updated to the new ones.
            changes: the fields that get a new value.
            guard: what else has to hold for the stored document.
            operators: further update operators, without their `$`.

        Returns:
            False if another writer was faster; nothing has changed then.
        """
        new = next_properties(stored)
        assignments = {**changes, **{f"_properties.{name}": new[name] for name in new}}
        update = {"$set": assignments, **{f"${name}": value for name, value in operators.items()}}
        result = self.coll.update_one({**unchanged(stored), **(guard or {})}, update)
        if result.matched_count == 0:
            return False
        stored["_properties"] = {**stored.get("_properties", {}), **new}
        return True

    def attempts(self, what: str) -> Iterator[int]:
        """Count the attempts at a change that other writers may win, with growing pauses.

        Raises:
            CatalogUpdateFailure: `CONTENTION_SECONDS` have passed.
        """
        deadline = time.monotonic() + CONTENTION_SECONDS
        attempt = 0
        while time.monotonic() < deadline:
            yield attempt
            longest = _FIRST_PAUSE * 2 ** min(attempt, _DOUBLINGS)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - jitter, no secret
            attempt += 1
        message = f"{what}: other writers were faster for {CONTENTION_SECONDS:.0f} s; send it again"
        raise CatalogUpdateFailure(message)

    def audit(self, stored: Mapping[str, Any], action: str, **more: Any) -> Document:
        """Return the row of the audit log (collection `updates`) for a change of a document."""
        return {
            "uuid": stored["uuid"],
            "date": now(),
            "action": action,
            "_admin": stored.get("_admin"),
            **more,
        }

    def ensure_indexes(self) -> None:
        """Create the indexes of this store's collection, where they do not exist yet."""
        unique = [IndexModel(name, unique=True) for name in self.identifiers]
        self.coll.create_indexes(
            unique + [IndexModel(name) for name in _distinct((*self.indexed, *self.links))]
        )
        self.updates.create_indexes([IndexModel("uuid"), IndexModel("date")])


def unchanged(stored: Document) -> Document:
    """Return the query that finds a document only if it still has the revision that was read."""
    return {"_id": stored["_id"], REVISION: stored.get("_properties", {}).get("revision")}


def next_properties(stored: Document) -> Document:
    """Return what the next change of a document sets in its `_properties`."""
    revision = stored.get("_properties", {}).get("revision") or 0
    return {"revision": revision + 1, "modified_date": now()}


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
