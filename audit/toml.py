"""Reads TOML, in every version of Python that the project knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path


def read(file: Path) -> dict[str, Any]:
    """Return what a file holds."""
    return tomllib.loads(file.read_text(encoding="utf-8"))
