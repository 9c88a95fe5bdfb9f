"""Databases that nobody has used yet, without what it takes to make one."""

from __future__ import annotations

import fcntl
import functools
import shutil
import tempfile
from pathlib import Path

from local.database import LocalDatabase


@functools.cache
def _unused() -> Path:
    """Return a database that was made, and whose server was ended, as at the first start of one.

    The processes that run the tests share it, as they share the folder for temporary files.
    """
    made = Path(tempfile.gettempdir()) / "unused"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            draft = made.with_suffix(".draft")
            draft.mkdir()
            LocalDatabase(draft)._make_owner(0)
            draft.rename(made)
    return made


def place(folder: Path) -> LocalDatabase:
    """Put a database into a folder that has none; it is not started.

    To make one takes a server of its own, and as long as to start it.
    """
    found, placed = LocalDatabase(_unused()), LocalDatabase(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(found.data, placed.data)
    shutil.copy(found.password_file, placed.password_file)
    return placed
