"""Programs for which a file of the system is another one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_MOUNT = 'mount --bind "$0" "$1" && shift && exec "$@"'


def with_file(file: Path, place: str) -> tuple[str, ...]:
    """Return what the command of such a program begins with; only root can do it."""
    within = ("unshare", "--mount", "sh", "-c", _MOUNT, str(file), place)
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip(f"a file in place of {place} needs root")
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return within
