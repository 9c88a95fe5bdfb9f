"""The folder of a process's files, and how a file is replaced that others may not read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import IO, TYPE_CHECKING

from abaco.exceptions import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from abaco.settings import Settings

_MAX_ADDRESS = 300
_LOOKS, _LOOK_SECONDS = 50, 0.02


def unusable(settings: Settings, error: OSError) -> str:
    """Return what is said of a data folder that cannot be used."""
    return (
        f"the data folder {settings.data} cannot be used: {error.strerror}. "
        "Name a folder of your own (data) in the configuration"
    )


@contextlib.contextmanager
def own_folder(settings: Settings) -> Iterator[Callable[[str], None]]:
    """Make the data folder, for its owner only, and keep other gateways out of it.

    Yields what takes the address of this gateway, to tell it to whoever starts another one.

    Raises:
        ServerError: it cannot be used, or is in use.
    """
    os.umask(0o077)
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.data.chmod(0o700)
        lock = (settings.data / "lock").open("a+")
    except OSError as error:
        raise ServerError(unusable(settings, error)) from error
    with lock:
        if not _take(lock):
            lock.seek(0)
            address = lock.read(_MAX_ADDRESS)
            place = f", at {address}" if address else ""
            message = (
                f"another gateway is running with the data folder {settings.data}{place}: stop it, "
                "or name another folder (data) in the configuration"
            )
            raise ServerError(message)
        lock.truncate(0)

        def note(address: str) -> None:
            lock.write(address)
            lock.flush()

        yield note


def _take(lock: IO[str]) -> bool:
    """Take a lock, unless somebody holds it for longer than it takes to look who does."""
    for _ in range(_LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def running_address(settings: Settings) -> str | None:
    """Return the address of the gateway that runs with the data folder, or None where none runs."""
    try:
        with (settings.data / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read(_MAX_ADDRESS) or None
    except OSError:
        # it cannot be read, or nothing has run here
        return None
    return None


def write_whole(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file as a whole or not at all, never readable by more than its mode says.

    Raises:
        OSError: it cannot be written.
    """
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    draft.replace(file)
