"""The archive path of a job: through the platform's files API, or in a folder here."""

from __future__ import annotations

import os
import posixpath
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from datacatalog.managers.pipelinejobs.exceptions import (
    ManagedPipelineJobError,
    StorageError,
    StorageRefusal,
)
from datacatalog.managers.pipelinejobs.storage import call
from datacatalog.paths import is_inside, normalize

CLEARED_ROOTS = ("/products/v2", "/sample/tacc-cloud")


def make(client: Any, system: str, path: str, folder: str | None = None) -> None:
    """Make a directory and those above it.

    Args:
        client: an `agavepy.agave.Agave`; not needed where there is a folder.
        system: the storage system.
        path: absolute.
        folder: of this machine, that is the root of the storage system.

    Raises:
        StorageError: the platform did not do it.
    """
    failure = f"{system}:{path} was not made"
    if folder is None:
        body = {"action": "mkdir", "path": posixpath.normpath(path).lstrip("/")}
        call(client.files.manage, failure, systemId=system, filePath="/", body=body)
        return
    try:
        _here(folder, path, failure).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{failure}: {error.strerror}"
        raise StorageError(message) from error


def clear(client: Any, system: str, path: str, folder: str | None = None) -> None:
    """Delete a directory with all that is in it, and make it again, empty.

    Args:
        client: as for `make`, like the others.
        system: the storage system.
        path: absolute.
        folder: of this machine.

    Raises:
        ManagedPipelineJobError: the path is not below one of `CLEARED_ROOTS`.
        StorageError: the platform did not do it.
    """
    normal = posixpath.normpath(path)
    if not any(is_inside(normal, root) and normal != root for root in CLEARED_ROOTS):
        message = f"{path} is not cleared: only what is below {' or '.join(CLEARED_ROOTS)} may be"
        raise ManagedPipelineJobError(message)
    failure = f"{system}:{path} was not cleared"
    if folder is None:
        # agavepy puts it into the URL as it is: after a `#`, another folder would be deleted
        call(client.files.delete, failure, absent=True, systemId=system, filePath=quote(normal))
    else:
        _remove(_here(folder, normal, failure), failure)
    make(client, system, normal, folder)


def _here(folder: str, path: str, failure: str) -> Path:
    """Return where a path of a storage system is in its folder; no link may lead elsewhere."""
    place = Path(os.path.realpath(folder) + normalize(path))
    if os.path.realpath(place) != str(place):
        message = f"{failure}: a link leads elsewhere"
        raise StorageRefusal(message)
    return place


def _remove(place: Path, failure: str) -> None:
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        pass
    except OSError as error:
        message = f"{failure}: {error.strerror}"
        raise StorageError(message) from error
