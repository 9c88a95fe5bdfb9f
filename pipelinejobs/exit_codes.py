"""How an error ends a command: its exit code, and the line that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco import streams
from datacatalog import mongo
from datacatalog.documents import DocumentError
from datacatalog.linkedstores.basestore import CatalogUpdateFailure
from datacatalog.linkedstores.basestore.paging import InvalidCursor
from datacatalog.linkedstores.pipelinejob import UnknownJob
from datacatalog.managers.pipelinejobs import ManagedPipelineJobError
from datacatalog.tokens import InvalidToken
from local.exceptions import LocalDatabaseError
from manager.exceptions import InvalidSettings, Refusal, Unavailable
from pipelinejobs.backend import UNKNOWN_REMEDY
from pipelinejobs.exceptions import FAILED, UNREACHABLE, WRONG_USE, CommandError

if TYPE_CHECKING:
    from pipelinejobs.backend import Backend

_CODES: dict[type[Exception], int] = {
    Unavailable: UNREACHABLE,
    LocalDatabaseError: UNREACHABLE,
    InvalidSettings: WRONG_USE,
    InvalidCursor: WRONG_USE,
    DocumentError: WRONG_USE,
    Refusal: FAILED,
    InvalidToken: FAILED,
    ManagedPipelineJobError: FAILED,
    CatalogUpdateFailure: FAILED,
}
"""In this order: the first that fits counts."""


def explain(error: Exception, backend: Backend) -> tuple[int, str]:
    """Return the exit code for an error of a command that works on a backend, and the line."""
    text = ": ".join(str(part) for part in error.args)
    if isinstance(error, CommandError):
        return error.exit_code, text
    if isinstance(error, mongo.DatabaseError):
        return UNREACHABLE, mongo.explain(error, backend.mongodb)
    if isinstance(error, UnknownJob):
        return FAILED, f"{text}: {UNKNOWN_REMEDY}"
    for kinds, code in _CODES.items():
        if isinstance(error, kinds):
            return code, text
    if isinstance(error, PermissionError) and error.filename:
        return FAILED, f"{error.filename}: {error.strerror}: run it as a user who may use this"
    if isinstance(error, OSError) and error.filename:
        return FAILED, f"{error.filename}: {error.strerror}"
    if complaint := streams.complaint(error):
        return complaint
    reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    remedy = "`pipelinejobs --debug`, and the command behind it, shows where"
    return FAILED, f"unexpected {type(error).__name__}{reason}: {remedy}"
