"""The archive path of a job on its storage system, reached through the platform's files API."""

from __future__ import annotations

import posixpath
from typing import Any
from urllib.parse import quote

from datacatalog.managers.pipelinejobs.exceptions import ManagedPipelineJobError
from datacatalog.managers.pipelinejobs.storage import call
from datacatalog.paths import is_inside

CLEARED_ROOTS = ("/products/v2", "/sample/tacc-cloud")


def make(client: Any, system: str, path: str) -> None:
    """Make a directory and those above it.

    Args:
        client: an `agavepy.agave.Agave`.
        system: the storage system.
        path: absolute.

    Raises:
        StorageError: the platform did not do it.
    """
    body = {"action": "mkdir", "path": posixpath.normpath(path).lstrip("/")}
    call(
        client.files.manage,
        f"{system}:{path} was not made",
        systemId=system,
        filePath="/",
        body=body,
    )


def clear(client: Any, system: str, path: str) -> None:
    """Delete a directory with all that is in it, and make it again, empty.

    Raises:
        ManagedPipelineJobError: the path is not below one of `CLEARED_ROOTS`.
        StorageError: the platform did not do it.
    """
    normal = posixpath.normpath(path)
    if not any(is_inside(normal, root) and normal != root for root in CLEARED_ROOTS):
        message = f"{path} is not cleared: only what is below {' or '.join(CLEARED_ROOTS)} may be"
        raise ManagedPipelineJobError(message)
    failure = f"{system}:{path} was not cleared"
    # agavepy puts it into the URL as it is: after a `#`, another folder would be deleted
    call(client.files.delete, failure, absent=True, systemId=system, filePath=quote(normal))
    make(client, system, normal)
