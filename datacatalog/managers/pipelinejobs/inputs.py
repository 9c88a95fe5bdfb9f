"""The files and references that a job works on, found in what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog import paths
from datacatalog.linkedstores.lookup import find_uuids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.mongo import Db

ROOTS = ("/uploads", "/products", "/reference")


def find_inputs(db: Db, inputs: Any, data: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the UUIDs, sorted, of the files and of the references that are named.

    Args:
        db: the catalog's database.
        inputs: a list or mapping of strings; other values are skipped.
        data: the job's data, of which `inputs` and `parameters` are searched.
    """
    names = {*_texts(inputs), *_texts(data.get("inputs")), *_texts(data.get("parameters"))}
    files = sorted({path for name in names if (path := _catalog_path(name)) is not None})
    uris = sorted(name for name in names if _is_reference(name))
    return find_uuids(db, "file", files), find_uuids(db, "reference", uris)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _texts(member)


def _catalog_path(name: str) -> str | None:
    placed = paths.from_uri(name)
    if placed is None and not name.startswith("/"):
        return None
    path = paths.normalize(name) if placed is None else placed[1]
    return path if any(paths.is_inside(path, root) for root in ROOTS) else None


def _is_reference(name: str) -> bool:
    path = _catalog_path(name)
    in_references = path is not None and path.startswith("/reference")
    return in_references or name.startswith(("http://", "https://"))
