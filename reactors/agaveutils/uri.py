"""Agave URIs: `agave://<system>/<directory>/<file>`."""

from __future__ import annotations

import posixpath

SCHEME = "agave://"


def to_agave_uri(
    systemId: str,
    dirPath: str,
    fileName: str | None = None,
) -> str:
    """Return the URI of a directory, or of a file in it."""
    path = posixpath.normpath("/".join(["", dirPath, fileName or ""])).lstrip("/")
    return f"{SCHEME}{systemId}/{path}"


def from_agave_uri(uri: str) -> tuple[str, str, str]:
    """Return the system, directory and file name of a URI.

    Raises:
        ValueError: it is no Agave URI.
    """
    if not uri.startswith(SCHEME):
        message = f"{uri!r:.80} is not an Agave URI: it has to begin with {SCHEME}"
        raise ValueError(message)
    system, _, path = uri.removeprefix(SCHEME).partition("/")
    directory, file_name = posixpath.split("/" + path)
    return system, directory, file_name
