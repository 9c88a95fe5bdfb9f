"""What is shared by the stores whose documents are added and updated as a whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pymongo.errors import DuplicateKeyError

from datacatalog import documents, mongo
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import strategies
from datacatalog.linkedstores.basestore.contention import Contention
from datacatalog.linkedstores.basestore.exceptions import CatalogUpdateFailure
from datacatalog.linkedstores.basestore.linked import LinkedStore
from datacatalog.linkedstores.basestore.store import VISIBLE, distinct, in_bson, unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacatalog.mongo import Document


class DocumentStore(LinkedStore["Document"]):
    """Documents that are known by what one of their fields says."""

    uuid_field: ClassVar[str]
    """whose text the typed UUID is made of"""
    required: ClassVar[tuple[str, ...]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    moments: ClassVar[tuple[str, ...]] = ()
    """fields that hold a date and time"""
    texts: ClassVar[tuple[str, ...]] = ()
    """fields, besides those that find a document, that hold a string if they are given"""
    create_failure: ClassVar[type[CatalogUpdateFailure]] = CatalogUpdateFailure
    update_failure: ClassVar[type[CatalogUpdateFailure]] = CatalogUpdateFailure

    def get_typeduuid(self, payload: Any) -> str:
        """Return the typed UUID of a document, or of the text that it would have."""
        fields = {self.uuid_field: payload} if isinstance(payload, str) else payload
        return self.uuid_of(str(self.normalized(fields).get(self.uuid_field, "")))

    def completed(self, fields: Document) -> Document:
        """Return a whole document with what was left out or follows from other fields."""
        return {**self.defaults, **fields}

    def amended(self, stored: Document, document: Document) -> Document:  # noqa: ARG002 - for stores that compare the two
        """Return what is written instead of `stored`, given that something has changed."""
        return document

    def add_update_document(
        self,
        document: Mapping[str, Any],
        uuid: str | None = None,
        token: str | None = None,
        strategy: str = strategies.MERGE,
    ) -> Document:
        """Add a document, or change the one with the same UUID.

        Args:
            document: its fields, at least the required ones of the store for a new one.
            uuid: the document to change, by default the one that `document` describes.
            token: the document's own token or an administrative one. One that is given has to be
                right; where the catalog enforces tokens, a change needs one.
            strategy: `strategies.MERGE` or `strategies.REPLACE`.

        Returns:
            The stored document and its `_update_token`. Where the document is there already
            just as given, it is returned as it is; where the catalog enforces tokens, its token is
            left out then if it was named by `uuid` alone.

        Raises:
            CatalogUpdateFailure: a field is missing or makes no sense, another document has one of its identifiers,
                it is hidden, it would no longer be what its UUID is made of, or there is none with
                this `uuid`.
            DocumentError: a value cannot be stored.
            InvalidToken: the token does not allow the change.
            ValueError: there is no such strategy.
        """
        if strategy not in (strategies.MERGE, strategies.REPLACE):
            message = f"there is no strategy {strategy!r:.60}: use strategies.MERGE or REPLACE"
            raise ValueError(message)
        failure = self.create_failure if uuid is None else self.update_failure
        fields = self._checked(document, failure)
        if uuid is not None and not isinstance(uuid, str):
            message = f"{uuid!r:.60} is not the UUID of a {self.noun}: give a string"
            raise failure(message)
        uuid = uuid and typeduuid.canonical(uuid)
        target = uuid or fields.get("uuid") or self.get_typeduuid(fields)
        stored = self.coll.find_one({"uuid": target})
        if stored is None and uuid is not None:
            message = f"No {self.noun} exists with UUID {uuid}"
            raise self.update_failure(message)
        if stored is None:
            added = self._add(fields)
            if added is not None:
                return self.with_token(added)
            stored = self.load_deletable(self.get_typeduuid(fields))
        updated = self._update(stored, fields, token, strategy)
        described = uuid is None and self.get_typeduuid(fields) == stored["uuid"]
        if token is not None or described or not self.catalog.enforce_tokens:
            return self.with_token(updated)
        return self.public(updated)

    def record(self, given: Iterable[Mapping[str, Any]]) -> list[Document]:
        """Add or update many documents at once, for the catalog itself: no token is asked for.

        Fields replace stored ones, links are added to those that are there. What is there already
        is not written again; a hidden document is kept up to date and stays hidden.

        Returns:
            The documents as they are stored now, in the order of their UUIDs.
        """
        entries = [self._as_stored(dict(fields)) for fields in given]
        wanted = {self.get_typeduuid(fields): fields for fields in entries}
        stored = self._stored(wanted)
        self._insert_many(
            {uuid: fields for uuid, fields in wanted.items() if uuid not in stored}, stored
        )
        return [self._merge(stored[uuid], wanted[uuid]) for uuid in sorted(wanted)]

    # Adding

    def _add(self, fields: Document) -> Document | None:
        """Write a new document; return it, or None if another writer has just added the same."""
        self._check_required(fields, self.create_failure)
        self.ensure_indexes()
        uuid = self.get_typeduuid(fields)
        stored = self._new(uuid, documents.encode(fields))
        try:
            self.coll.insert_one(stored)
        except DuplicateKeyError as error:
            if self.coll.find_one({"uuid": uuid}, {"uuid": 1}) is not None:
                return None
            raise self.create_failure(self._taken(stored)) from error
        self.keep_row(self.audit_change(stored, "create"))
        return stored

    def _new(self, uuid: str, fields: Document) -> Document:
        return self.managed(self.completed({**fields, "uuid": uuid}))

    def _insert_many(self, missing: Mapping[str, Document], stored: dict[str, Document]) -> None:
        """Add the documents that are missing; `stored` has all of them then."""
        if not missing:
            return
        self.ensure_indexes()
        new = [self._new(uuid, fields) for uuid, fields in missing.items()]
        with mongo.but_duplicates():
            self.coll.insert_many(new, ordered=False)
        stored.update(self._stored(missing))
        for document in new:
            if document["uuid"] not in stored:
                raise self.create_failure(self._taken(document))
        mine = [document for document in new if stored[document["uuid"]]["_id"] == document["_id"]]
        if mine:
            self.updates.insert_many([self.audit_change(each, "create") for each in mine])

    # Updating

    def _update(
        self, stored: Document, fields: Document, token: str | None, strategy: str
    ) -> Document:
        """Change a document, unless it is just as given already; return it as it is stored."""
        given = {**documents.encode(fields), "uuid": stored["uuid"]}
        contention = Contention(f"{self.noun} {stored['uuid']}")
        while True:
            kept = stored
            if strategy == strategies.REPLACE:
                kept = {
                    **{link: [] for link in self.links},
                    **{name: value for name, value in stored.items() if name.startswith("_")},
                }
            document = self.completed({**kept, **given})
            self._check_required(document, self.update_failure)
            same = _content(document) == _content(stored)
            if token is not None or (not same and self.catalog.enforce_tokens):
                self.validate_token(stored, token)
            if not stored.get(VISIBLE, True):
                message = f"{self.noun} {stored['uuid']} is hidden: undelete it first"
                raise self.update_failure(message)
            if same and token is None:
                return stored
            self._check_identity(stored, document)
            written = self._replace(stored, document)
            if written is not None:
                return written
            stored = self.load_deletable(stored["uuid"])
            contention.pause()

    def _merge(self, stored: Document, given: Document) -> Document:
        """Bring a document up to date for `record`."""
        contention = Contention(f"{self.noun} {stored['uuid']}")
        while True:
            links = {
                link: distinct([*(stored.get(link) or []), *given.get(link, [])])
                for link in self.links
            }
            document = self.completed({**stored, **given, **links})
            if _content(document) == _content(stored):
                return self.public(stored)
            written = self._replace(stored, document)
            if written is not None:
                return self.public(written)
            stored = self.load_deletable(stored["uuid"])
            contention.pause()

    def _replace(self, stored: Document, document: Document) -> Document | None:
        """Write a document over the stored one; return it, or None if another writer was faster."""
        written = self.amended(stored, document)
        written["_properties"] = self.next_properties(stored)
        try:
            if not self.coll.replace_one(unchanged(stored), written).matched_count:
                return None
        except DuplicateKeyError as error:
            raise self.update_failure(self._taken(written)) from error
        self.keep_row(self.audit_change(written, "update"))
        return written

    # What is given

    def _checked(
        self, document: Mapping[str, Any], failure: type[CatalogUpdateFailure]
    ) -> Document:
        if not isinstance(document, Mapping):
            message = f"{document!r:.60} is not a document: give the fields of the {self.noun} and their values"
            raise failure(message)
        given = {name: value for name, value in document.items() if str(name)[:1] != "_"}
        documents.check(
            {name: value for name, value in given.items() if not self._is_moment(name, value)},
            self.noun,
        )
        self._check_values(given, failure)
        return self._as_stored(given)

    def _check_values(self, given: Mapping[str, Any], failure: type[CatalogUpdateFailure]) -> None:
        """Refuse values that documents could not be found or linked by."""
        for name, value in given.items():
            if name in self.links:
                values = value if isinstance(value, list | tuple) else [value]
                fits = value is None or all(isinstance(each, str) for each in values)
                wanted = "a typed UUID or a list of them"
            elif name in (*self.identifiers, *self.aliases) and name != "uuid":
                fits = isinstance(value, str) and value.strip() != ""
                wanted = "a string that is not empty"
            elif name in ("uuid", *self.texts):
                fits = value is None or isinstance(value, str)
                wanted = "a string"
            else:
                continue
            if not fits:
                message = f"{name} of a {self.noun} is {value!r:.60}: give {wanted}"
                raise failure(message)

    def _as_stored(self, given: Document) -> Document:
        fields = self.normalized(given)
        for name, value in given.items():
            if name in self.links and isinstance(value, str):
                fields[name] = [value]
            elif self._is_moment(name, value):
                fields[name] = in_bson(value)
        return fields

    def _is_moment(self, name: str, value: Any) -> bool:
        return name in self.moments and isinstance(value, datetime.datetime)

    def _check_required(
        self, fields: Mapping[str, Any], failure: type[CatalogUpdateFailure]
    ) -> None:
        missing = [name for name in self.required if name not in fields]
        if missing:
            message = f"{self.noun}: {', '.join(map(repr, missing))} missing"
            raise failure(message)

    def _check_identity(self, stored: Document, document: Document) -> None:
        before, after = (self.get_typeduuid(documents.decode(each)) for each in (stored, document))
        if after not in (before, stored["uuid"]):
            message = f"{self.noun} {stored['uuid']}: what its UUID is made of cannot be changed: add another {self.noun}"
            raise self.update_failure(message)

    def _stored(self, uuids: Iterable[str]) -> dict[str, Document]:
        found = self.coll.find({"uuid": {"$in": list(uuids)}})
        return {stored["uuid"]: stored for stored in found}

    def _taken(self, document: Document) -> str:
        """Say which identifier of a document is another's."""
        for name in self.identifiers:
            if name != "uuid" and self.coll.find_one(
                {name: document.get(name), "uuid": {"$ne": document["uuid"]}}, {"uuid": 1}
            ):
                value = document.get(name)
                return f"another {self.noun} has the {name} {value!r}: choose a new one, or update that"
        return f"another {self.noun} has one of its identifiers"


def _content(document: Mapping[str, Any]) -> str:
    """Return what its owner has given of a document, as a string in which 1 and true differ."""
    return documents.canonical(
        {
            name: value.isoformat() if isinstance(value, datetime.datetime) else value
            for name, value in document.items()
            if not name.startswith("_")
        }
    )
