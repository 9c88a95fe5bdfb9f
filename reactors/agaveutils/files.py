"""Files on the storage systems of Agave, reached through its files API."""

from __future__ import annotations

import contextlib
import posixpath
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reactors.agaveutils.errors import call, process_agave_httperror, status_of
from reactors.exceptions import PlatformError
from reactors.tenant import segment

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = ("CREATED", "DOWNLOAD", "STAGING_COMPLETED", "TRANSFORMING_COMPLETED")
FAILED = ("STAGING_FAILED", "TRANSFORMING_FAILED")
"""What the history of a file ends with when nothing more happens to it."""
_FIRST_PAUSE, _MAX_PAUSE = 0.15, 5.0
_PART_BYTES = 64 * 1024
_NOT_FOUND = 404


def agave_mkdir(
    agaveClient: Any,
    dirName: str,
    systemId: str,
    basePath: str = "/",
    sync: bool = False,
    timeOut: float = 60,
) -> bool:
    """Make a directory and those above it; one that is there already is left as it is.

    Args:
        agaveClient: an `agavepy.agave.Agave`, such as a Reactor's `client`.
        dirName: the directory, below `basePath`.
        systemId: the storage system.
        basePath: a directory that exists.
        sync: wait until it is there.
        timeOut: seconds to wait.

    Returns:
        True: what could not be done raises.

    Raises:
        PlatformError: it was not made.
    """
    call(
        agaveClient.files.manage,
        f"the directory {dirName} below {systemId}:{basePath} was not made",
        systemId=segment(systemId),
        filePath=place(basePath),
        body={"action": "mkdir", "path": dirName},
    )
    if sync:
        wait_for_file_status(agaveClient, posixpath.join(basePath, dirName), systemId, timeOut)
    return True


def agave_download_file(
    agaveClient: Any, agaveAbsolutePath: str, systemId: str, localFilename: str = "downloaded"
) -> str:
    """Download a file of any size; return the name of the local one.

    Args:
        agaveClient: as for `agave_mkdir`.
        agaveAbsolutePath: the file.
        systemId: the storage system.
        localFilename: where it goes. It is there when it is complete, not before.

    Raises:
        PlatformError: it was not downloaded.
    """
    target = Path(localFilename)
    failure = f"{systemId}:{agaveAbsolutePath} was not downloaded"
    with _streaming(agaveClient), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        part = Path(folder) / "part"
        response = call(
            agaveClient.files.download,
            failure,
            systemId=segment(systemId),
            filePath=place(agaveAbsolutePath),
        )
        with contextlib.closing(response), part.open("wb") as file:
            parts = response.iter_content(_PART_BYTES)
            while content := call(lambda: next(parts, b""), failure):
                file.write(content)
        part.replace(target)
    return localFilename


def agave_upload_file(
    agaveClient: Any,
    agaveDestPath: str,
    systemId: str,
    uploadFile: str,
    sync: bool = False,
    timeOut: float = 60,
) -> bool:
    """Upload a file under its own name.

    Args:
        agaveClient: as for `agave_mkdir`.
        agaveDestPath: the directory that it goes to.
        systemId: the storage system.
        uploadFile: the local file.
        sync: wait until the platform has put it there.
        timeOut: seconds to wait.

    Returns:
        True: what could not be done raises.

    Raises:
        OSError: the local file cannot be read.
        PlatformError: it was not uploaded.
    """
    source = Path(uploadFile)
    with source.open("rb") as content:
        call(
            agaveClient.files.importData,
            f"{source.name} was not uploaded to {systemId}:{agaveDestPath}",
            systemId=segment(systemId),
            filePath=place(agaveDestPath),
            fileToUpload=content,
        )
    if sync:
        path = posixpath.join(agaveDestPath, source.name)
        wait_for_file_status(agaveClient, path, systemId, timeOut)
    return True


def wait_for_file_status(
    agaveClient: Any, agaveWatchPath: str, systemId: str, timeOut: float = 60
) -> bool:
    """Wait until the platform has done with a file what it was asked to.

    Args:
        agaveClient: as for `agave_mkdir`.
        agaveWatchPath: the file or directory, which need not be there yet.
        systemId: the storage system.
        timeOut: seconds to wait.

    Returns:
        True: what was not done raises.

    Raises:
        PlatformError: it failed, took longer, or the platform cannot be asked.
    """
    subject = f"{systemId}:{agaveWatchPath}"
    deadline = time.monotonic() + timeOut
    pause, status = _FIRST_PAUSE, None
    while True:
        status = _status(agaveClient, agaveWatchPath, systemId) or status
        if status in DONE:
            return True
        if status in FAILED:
            message = f"{subject} is not there: its status is {status}"
            raise PlatformError(message)
        left = deadline - time.monotonic()
        if left <= 0:
            seen = f"its last status was {status}" if status else "it has no status"
            message = f"{subject} was not there after {timeOut:g} s: {seen}"
            raise PlatformError(message)
        time.sleep(min(pause * random.uniform(0.5, 1), left))  # noqa: S311 - jitter, no secret
        pause = min(_MAX_PAUSE, 2 * pause)


def place(path: str) -> str:
    """Return a path as it stands in a URL of the files API."""
    return quote(posixpath.normpath(f"/{path}").lstrip("/"))


def _status(client: Any, path: str, system: str) -> str | None:
    """Return what happened last to a file; None where it is not there yet."""
    try:
        entries = client.files.getHistory(systemId=segment(system), filePath=place(path))
    except Exception as error:  # noqa: BLE001 - agavepy raises what it comes upon
        if status_of(error) == _NOT_FOUND:
            return None
        message = f"{system}:{path}: the status could not be read: {process_agave_httperror(error)}"
        raise PlatformError(message) from None
    newest = max(
        enumerate(entries), key=lambda at: (str(at[1].get("created")), at[0]), default=None
    )
    return None if newest is None else str(newest[1].get("status"))


@contextlib.contextmanager
def _streaming(client: Any) -> Iterator[None]:
    """Let a client return answers before their content is read, so that it need not be in memory."""
    session = client.all.http_client.session
    before, session.stream = session.stream, True
    try:
        yield
    finally:
        session.stream = before
