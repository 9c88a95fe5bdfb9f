"""What can be done to the documents of every store: hide, remove and link them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from datacatalog import documents
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore.contention import Contention
from datacatalog.linkedstores.basestore.store import VISIBLE, Store, StoredT, distinct, unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datacatalog.mongo import Document


DELETE = "delete"
"""The row of the audit log for a document that was hidden, or removed: then it has the document."""
SENDER = "sender"
"""The user who did it, in such a row, where that is known."""
HIDE = "hide"
"""The row for the first step of a removal."""


class LinkedStore(Store[StoredT]):
    """Documents that can be hidden, removed, and linked to each other."""

    kept: ClassVar[tuple[str, ...]] = ()
    """fields that only the store writes, each together with others"""
    guarded: ClassVar[bool] = False
    """whether a change needs a token, whatever the catalog's settings say"""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what is given to this store."""
        from datacatalog import schemas  # noqa: PLC0415 - it knows all stores

        return schemas.of_store(type(self))

    # Hiding and removing

    def delete_document(self, uuid: str, token: str | None = None, force: bool = False) -> Document:
        """Hide a document, or with `force` remove it for good.

        Returns:
            The document as it was, and for a hidden one its `_update_token`.

        Raises:
            CatalogUpdateFailure: there is no such document; of the kind that `unknown` says.
            InvalidToken: the token does not allow it.
        """
        stored = self.load_deletable(uuid)
        self.validate_token(stored, token)
        if force:
            self.remove(stored)
            return self.public(stored)
        self.hide(stored)
        return self.with_token(stored)

    def undelete(self, uuid: str, token: str | None = None) -> Document:
        """Bring a hidden document back.

        Raises:
            CatalogUpdateFailure, InvalidToken: as for `delete_document`.
        """
        stored = self.load_deletable(uuid)
        self.validate_token(stored, token)
        self.set_visible(stored, "undelete", visible=True)
        return self.with_token(stored)

    def hide(self, stored: StoredT, sender: str | None = None) -> None:
        """Hide a document; nothing changes if it is hidden.

        Args:
            stored: as it was loaded.
            sender: the user who wants it, where that is known; for the audit log.
        """
        self.set_visible(stored, DELETE, visible=False, sender=sender)

    def remove(self, stored: StoredT, sender: str | None = None) -> None:
        """Remove a document after it has been written to the audit log.

        It is hidden first, so that no change can come in between. Each step can be done again: a
        removal that was interrupted is completed by the next one.

        Args:
            stored: as it was loaded.
            sender: as for `hide`.
        """
        contention = Contention(f"removal of {self.noun} {stored['uuid']}")
        while True:
            self.set_visible(stored, HIDE, visible=False, sender=sender)
            current = self.coll.find_one({"_id": stored["_id"]})
            if current is None:
                return
            self.keep_removed(current)
            if not current[VISIBLE] and self.coll.delete_one(unchanged(current)).deleted_count:
                return
            stored = current
            contention.pause()

    def keep_removed(self, stored: StoredT) -> None:
        """Write what is about to be removed to the audit log."""
        row = {**self.audit(stored, DELETE), "_id": f"remove:{stored['_id']}", "document": stored}
        self.updates.replace_one({"_id": row["_id"]}, row, upsert=True)

    def set_visible(
        self, stored: StoredT, action: str, *, visible: bool, sender: str | None = None
    ) -> None:
        """Hide or show a document, and write that to the audit log."""
        contention = Contention(f"{action} of {self.noun} {stored['uuid']}")
        while changes := stored.get(VISIBLE, True) is not visible:
            if self.commit(stored, {VISIBLE: visible}):
                cast("Document", stored)[VISIBLE] = visible
                break
            contention.pause()
            cast("Document", stored).update(self.load_deletable(stored["uuid"]))
        if changes or not visible:
            # what is hidden has not changed since: an earlier try may have died before its row
            named = {} if sender is None else {SENDER: sender}
            self.keep_row({**self.audit_change(stored, action), **named})

    def write_key(self, uuid: str, key: str, value: Any, token: str | None = None) -> Document:
        """Write one field of a visible document.

        Args:
            uuid: the document's.
            key: the field; not one that identifies a document, or that the store keeps for itself.
            value: anything that JSON can say.
            token: the document's own or an administrative one.

        Raises:
            CatalogUpdateFailure: there is no such document; of the kind that `unknown` says.
            ValueError: the field cannot be written so, or the value cannot be stored.
            InvalidToken: the token is not right.
        """
        if key.startswith(("_", "$")) or "." in key or key in (*self.identifiers, *self.kept):
            message = f"the field {key!r:.60} of a {self.noun} cannot be written by itself"
            raise ValueError(message)
        documents.check(value, key)
        contention = Contention(f"{key} of {self.noun} {uuid}")
        while True:
            stored = self.load(uuid)
            if self.guarded or self.catalog.enforce_tokens or token is not None:
                self.validate_token(stored, token)
            if self.commit(stored, {key: documents.encode(value)}):
                self.keep_row(self.audit_change(stored, "write"))
                return self.public(self.load(uuid))
            contention.pause()

    # Links

    def add_link(
        self,
        uuid: str,
        linked_uuid: str | Iterable[str],
        relation: str = "child_of",
        token: str | None = None,
    ) -> Document:
        """Link a document to another, or to several; those that it has already stay as they are.

        Args:
            uuid: the document that gets the link.
            linked_uuid: what it is linked to.
            relation: one of the store's `links`.
            token: needs not be shown; one that is has to be right.

        Returns:
            The document as it is now.

        Raises:
            CatalogUpdateFailure: there is no such document; of the kind that `unknown` says.
            ValueError: there is no such relation, or something is not a typed UUID.
            InvalidToken: the token is not right.
        """
        given = _typed(linked_uuid)
        return self._relink(uuid, relation, token, lambda links: distinct([*links, *given]))

    def remove_link(
        self,
        uuid: str,
        linked_uuid: str | Iterable[str],
        relation: str = "child_of",
        token: str | None = None,
    ) -> Document:
        """Take links away; those that the document does not have do not matter.

        Args, Returns, Raises: as for `add_link`.
        """
        given = _typed(linked_uuid)
        return self._relink(
            uuid, relation, token, lambda links: [u for u in links if u not in given]
        )

    def get_links(self, uuid: str, relation: str = "child_of") -> list[str]:
        """Return what a visible document is linked to, sorted.

        Raises:
            CatalogUpdateFailure, ValueError: as for `add_link`.
        """
        self._check_relation(relation)
        return sorted(self.load(uuid).get(relation) or [])

    def _relink(
        self,
        uuid: str,
        relation: str,
        token: str | None,
        change: Callable[[list[str]], list[str]],
    ) -> Document:
        self._check_relation(relation)
        contention = Contention(f"{relation} of {self.noun} {uuid}")
        while True:
            stored = self.load(uuid)
            if token is not None:
                self.validate_token(stored, token)
            before = stored.get(relation) or []
            after = change(before)
            if after == before:
                return self.public(stored)
            if self.commit(stored, {relation: after}):
                self.keep_row(self.audit_change(stored, "link"))
                return self.public(cast("StoredT", {**stored, relation: after}))
            contention.pause()

    def _check_relation(self, relation: str) -> None:
        if relation not in self.links:
            message = f"a {self.noun} has no links {relation!r:.60}: use {', '.join(self.links)}"
            raise ValueError(message)


def _typed(uuids: str | Iterable[str]) -> list[str]:
    """Return typed UUIDs as a list, after a check that they are."""
    given = [uuids] if isinstance(uuids, str) else list(uuids)
    for uuid in given:
        typeduuid.validate(uuid)
    return given
