"""Databases that nobody has used yet, without what it takes to make one."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from local.database import LocalDatabase


@functools.cache
def _unused() -> tempfile.TemporaryDirectory[str]:
    """Return a database that was made, and whose server was ended, as at the first start of one."""
    folder = tempfile.TemporaryDirectory()
    LocalDatabase(Path(folder.name))._make_owner(0)
    return folder


def place(folder: Path) -> LocalDatabase:
    """Put a database into a folder that has none; it is not started.

    To make one takes a server of its own, and as long as to start it.
    """
    found, placed = LocalDatabase(Path(_unused().name)), LocalDatabase(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(found.data, placed.data)
    shutil.copy(found.password_file, placed.password_file)
    return placed
