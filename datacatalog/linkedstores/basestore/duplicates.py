"""Writes of several documents, of which some may be there already."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pymongo.errors import BulkWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DUPLICATE_KEY = 11000


def of(error: BulkWriteError) -> list[int]:
    """Return which writes failed because of a key that is there; raise the error if others failed as well."""
    errors = error.details["writeErrors"]
    if any(each["code"] != _DUPLICATE_KEY for each in errors):
        raise error
    return [each["index"] for each in errors]


@contextlib.contextmanager
def ignored() -> Iterator[None]:
    """Write in this block what may be there already, and then stays as it is."""
    try:
        yield
    except BulkWriteError as error:
        of(error)
