"""From an identifier to the typed UUID of what it names (spec: catalog, "Stores")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.identifiers import typeduuid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacatalog.mongo import Db

# Kind: its collection and the fields that identify a document, in the order of resolution
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "file": ("files", ("name",)),
    "reference": ("references", ("reference_id", "uri")),
    "pipelinejob": ("jobs", ()),
    "pipeline": ("pipelines", ("id",)),
    "sample": ("samples", ("sample_id",)),
    "measurement": ("measurements", ("measurement_id",)),
    "experiment": ("experiments", ("experiment_id",)),
    "experiment_design": ("experiment_designs", ("experiment_design_id", "uri")),
    "process": ("processes", ("process_id",)),
    "fixity": ("fixities", ("name",)),
}


def resolve(db: Db, identifier: object) -> str | None:
    """Return the typed UUID of an identifier, or None where nothing has it.

    A typed UUID stands for itself. A prefix such as `sample.` names the kind that is tried first.
    """
    if not isinstance(identifier, str):
        return None
    if typeduuid.validate(identifier, permissive=True):
        return identifier
    named = identifier.split(".", 1)[0]
    kinds = sorted(KINDS, key=lambda kind: kind != named)
    for kind in kinds:
        found = find_uuids(db, kind, [identifier])
        if found:
            return found[0]
    return None


def find_uuids(db: Db, kind: str, identifiers: Iterable[str]) -> list[str]:
    """Return the UUIDs, sorted, of the visible documents of a kind with any of the identifiers."""
    collection, keys = KINDS[kind]
    values = list(identifiers)
    if not keys or not values:
        return []
    query: dict[str, Any] = {
        "$or": [{key: {"$in": values}} for key in keys],
        "_visible": {"$ne": False},
    }
    return sorted({found["uuid"] for found in db[collection].find(query, {"uuid": 1})})
