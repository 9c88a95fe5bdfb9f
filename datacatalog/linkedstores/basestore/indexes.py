"""The indexes of a collection: those that are missing, and those that nobody asks for any more.

Each index costs every change of a document, so there is one for a question that is asked, and no
other.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pymongo import IndexModel
    from pymongo.collection import Collection

    from datacatalog.mongo import Document

_PARTIAL = "partialFilterExpression"
_OPTIONS = ("unique", "sparse", _PARTIAL)


def ensure(
    collection: Collection[Any], wanted: Sequence[IndexModel], former: Iterable[str] = ()
) -> None:
    """Create the indexes that are missing, and drop those that a former version has made.

    Args:
        collection: whose.
        wanted: all that it is to have.
        former: fields that a former version made an index of, each.
    """
    there = list(collection.list_indexes())
    for name in _superfluous(there, wanted, former):
        # another process may be faster, or the user not allowed to: it costs time, and nothing else
        with contextlib.suppress(OperationFailure):
            collection.drop_index(name)
    if lacking := _missing(there, wanted):
        collection.create_indexes(lacking)


def missing(collection: Collection[Any], wanted: Sequence[IndexModel]) -> list[str]:
    """Return the fields of indexes that are not there, those of one index joined by a plus sign."""
    lacking = _missing(list(collection.list_indexes()), wanted)
    return ["+".join(index.document["key"]) for index in lacking]


def superfluous(
    collection: Collection[Any], wanted: Sequence[IndexModel], former: Iterable[str]
) -> list[str]:
    """Return the names of the indexes that a former version has made and no question uses."""
    return _superfluous(list(collection.list_indexes()), wanted, former)


def having(field: str) -> Document:
    """Return the option of an index of those documents alone in which a field has a string.

    A question for a string in the field uses it: the server sees that any text is above the empty one.
    """
    return {_PARTIAL: {field: {"$gt": ""}}}


def _missing(there: list[Any], wanted: Sequence[IndexModel]) -> list[IndexModel]:
    known = [_definition(index) for index in there]
    return [index for index in wanted if not any(map(_definitions(index).__contains__, known))]


def _definitions(index: IndexModel) -> list[Any]:
    """Return the definitions of indexes that do for one: a unique index of all documents does for some."""
    keys, options = _definition(index.document)
    if options.get("unique"):
        return [(keys, options), (keys, {"unique": True})]
    return [(keys, options)]


def _superfluous(
    there: list[Any], wanted: Sequence[IndexModel], former: Iterable[str]
) -> list[str]:
    used = [_definition(index.document) for index in wanted]
    # by name and definition, so that nobody loses an index that is not ours
    ours: dict[str, Any] = {f"{field}_1": ([(field, 1)], {}) for field in former}
    return [
        index["name"]
        for index in there
        if ours.get(index["name"]) == _definition(index) and _definition(index) not in used
    ]


def _definition(index: Any) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    options = {name: index[name] for name in _OPTIONS if index.get(name)}
    return list(index["key"].items()), options
