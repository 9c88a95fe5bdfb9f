"""The archive path of a job on its storage system, reached through the platform's files API."""

from __future__ import annotations

import posixpath
from typing import Any
from urllib.parse import quote

from datacatalog.managers.pipelinejobs.exceptions import ManagedPipelineJobError

CLEARED_ROOTS = ("/products/v2", "/sample/tacc-cloud")
_NOT_FOUND = 404


def make(client: Any, system: str, path: str) -> None:
    """Make a directory and those above it.

    Args:
        client: an `agavepy.agave.Agave`.
        system: the storage system.
        path: absolute.

    Raises:
        ManagedPipelineJobError: the platform did not do it.
    """
    body = {"action": "mkdir", "path": posixpath.normpath(path).lstrip("/")}
    _call(
        client.files.manage,
        f"{system}:{path} was not made",
        systemId=system,
        filePath="/",
        body=body,
    )


def clear(client: Any, system: str, path: str) -> None:
    """Delete a directory with all that is in it, and make it again, empty.

    Raises:
        ManagedPipelineJobError: the path is not below one of `CLEARED_ROOTS`, or the platform did
            not do it.
    """
    normal = posixpath.normpath(path)
    if not any(normal.startswith(f"{root}/") for root in CLEARED_ROOTS):
        message = f"{path} is not cleared: only what is below {' or '.join(CLEARED_ROOTS)} may be"
        raise ManagedPipelineJobError(message)
    failure = f"{system}:{path} was not cleared"
    # agavepy puts it into the URL as it is: after a `#`, another folder would be deleted
    _call(client.files.delete, failure, absent=True, systemId=system, filePath=quote(normal))
    make(client, system, normal)


def _call(operation: Any, failure: str, *, absent: bool = False, **arguments: Any) -> None:
    try:
        operation(**arguments)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if absent and status == _NOT_FOUND:
            return
        reason = f"HTTP status {status}" if status else type(error).__name__
        message = f"{failure}: {reason}"
        raise ManagedPipelineJobError(message) from error
