"""Errors of managed jobs.

ManagedPipelineJobError
├── StorageError
│   └── StorageRefusal
│       └── NotStored (ValueError)
├── UnknownInstance (ValueError)
└── IndexingError
    └── InvalidRequest

What a store refuses, and a bad token, is raised as a `ManagedPipelineJobError` that is also an error
of the store's own kind, so that whoever expects either finds it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.exceptions import CatalogUpdateFailure
from datacatalog.tokens.exceptions import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Iterator


class ManagedPipelineJobError(Exception):
    """The managed job could not do what was asked."""


class UnknownInstance(ManagedPipelineJobError, ValueError):
    """There is no such job."""


class StorageError(ManagedPipelineJobError):
    """A storage system did not do what was asked."""


class StorageRefusal(StorageError):
    """A storage system says no; it will say so again until somebody changes something."""


class NotStored(StorageRefusal, ValueError):
    """There is nothing at this path of the storage system."""


class IndexingError(ManagedPipelineJobError):
    """The outputs of a job were not indexed."""


class InvalidRequest(IndexingError):
    """What is to be indexed is not said in a way that makes sense."""


@contextlib.contextmanager
def managed() -> Iterator[None]:
    """Raise what a store refuses as an error of managed jobs, too."""
    try:
        yield
    except (CatalogUpdateFailure, InvalidToken) as error:
        if isinstance(error, ManagedPipelineJobError):
            raise
        kind = _kind(type(error))
        wrapped = kind.__new__(kind, *error.args)
        wrapped.args = error.args
        vars(wrapped).update(vars(error))
        raise wrapped from error


_kinds: dict[type[Exception], type[Exception]] = {}


def _kind(of: type[Exception]) -> type[Exception]:
    """Return the class of errors that are of some kind and of managed jobs."""
    if of not in _kinds:
        _kinds[of] = type(of.__name__, (ManagedPipelineJobError, of), {"__doc__": of.__doc__})
    return _kinds[of]
