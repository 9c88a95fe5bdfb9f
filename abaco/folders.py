"""The folder of a process's files."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from abaco.exceptions import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abaco.settings import Settings


@contextlib.contextmanager
def own_folder(settings: Settings) -> Iterator[None]:
    """Make the data folder, for its owner only, and keep other gateways out of it.

    Raises:
        ServerError: it cannot be used, or is in use.
    """
    os.umask(0o077)
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.data.chmod(0o700)
        lock = (settings.data / "lock").open("w")
    except OSError as error:
        message = (
            f"the data folder {settings.data} cannot be used: {error.strerror}. "
            "Name a folder of your own (data) in the configuration"
        )
        raise ServerError(message) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another gateway is running with the data folder {settings.data}: stop it, "
            message += "or name another folder (data) in the configuration"
            raise ServerError(message) from None
        yield
