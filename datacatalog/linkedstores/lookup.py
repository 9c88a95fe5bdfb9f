"""The stores by kind, and from an identifier to the typed UUID of what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.experiment import ExperimentStore
from datacatalog.linkedstores.experiment_design import ExperimentDesignStore
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.fixity import FixityStore
from datacatalog.linkedstores.measurement import MeasurementStore
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.process import ProcessStore
from datacatalog.linkedstores.reference import ReferenceStore
from datacatalog.linkedstores.sample import SampleStore
from datacatalog.paths import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacatalog.linkedstores.basestore import LinkedStore
    from datacatalog.mongo import Db

KINDS: dict[str, type[LinkedStore[Any]]] = {
    store.uuid_type: store
    for store in (
        FileStore,
        ReferenceStore,
        PipelineJobStore,
        PipelineStore,
        SampleStore,
        MeasurementStore,
        ExperimentStore,
        ExperimentDesignStore,
        ProcessStore,
        FixityStore,
    )
}
"""In the order of docs/reference/catalog.md#resolving-identifiers."""


def resolve(db: Db, identifier: object) -> str | None:
    """Return the typed UUID of an identifier, or None where nothing has it.

    A typed UUID stands for itself. A prefix such as `sample.` names the kind that is tried first.
    """
    if not isinstance(identifier, str):
        return None
    uuid = typeduuid.canonical(identifier) if ":" in identifier else identifier
    if typeduuid.validate(uuid, permissive=True):
        return uuid
    named = identifier.split(".", 1)[0]
    for kind in sorted(KINDS, key=lambda kind: kind != named):
        found = find_uuids(db, kind, [identifier])
        if found:
            return found[0]
    return None


def find_uuids(db: Db, kind: str, identifiers: Iterable[str]) -> list[str]:
    """Return the UUIDs, sorted, of the visible documents of a kind with any of the identifiers."""
    store = KINDS[kind]
    keys = [key for key in (*store.identifiers, *store.aliases) if key != "uuid"]
    values = list(identifiers)
    if not keys or not values:
        return []
    paths = [normalize(value) if value.startswith("/") else value for value in values]
    query: dict[str, Any] = {
        "$or": [{key: {"$in": paths if key in store.path_fields else values}} for key in keys],
        "_visible": {"$ne": False},
    }
    return sorted({found["uuid"] for found in db[store.collection].find(query, {"uuid": 1})})
