"""Paths on storage systems, and the `agave://` URIs that name them."""

from __future__ import annotations

import posixpath

SCHEME = "agave://"
PRODUCTS = "/products/v2"
"""Where the outputs of jobs are by default."""


def normalize(path: str) -> str:
    """Return an absolute path without blanks around it, doubled slashes, `.` and `..`."""
    return "/" + posixpath.normpath(f"/{path.strip()}").lstrip("/")


def absolute(path: str, root: str) -> str:
    """Return an absolute path as it is, and any other one below a root."""
    return path if path.startswith("/") else f"{root}{normalize(path)}"


def to_uri(system: str, path: str) -> str:
    """Return the URI of an absolute path on a storage system."""
    return f"{SCHEME}{system}{path}"


def from_uri(uri: str) -> tuple[str, str] | None:
    """Return the storage system and the normalized path of an URI, or None if it is none."""
    text = uri.strip()
    if not text.startswith(SCHEME):
        return None
    system, _, path = text.removeprefix(SCHEME).partition("/")
    return system, normalize(path)


def is_inside(path: str, folder: str) -> bool:
    """Tell whether a normalized path is a folder, or something below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
