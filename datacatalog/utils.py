"""Names of directories and paths, as actors make them."""

from __future__ import annotations

import re
import unicodedata

from datacatalog.identifiers import interestinganimal
from datacatalog.identifiers.typeduuid import listify_uuid, validate_uuid5

__all__ = ["instanced_directory", "listify_uuid", "safen_path", "validate_uuid5"]

_UNSAFE = re.compile(r"[^\w./-]", re.ASCII)


def instanced_directory(session: str | None = None) -> str:
    """Return the name of a directory for one run: a session, by default a new one, and the time."""
    return interestinganimal.instanced((session or interestinganimal.generate()).rstrip("-"))


def safen_path(path: str, *, no_unicode: bool = True, no_spaces: bool = True) -> str:
    """Return a path that every storage system and shell takes as it is.

    Args:
        path: relative or absolute.
        no_unicode: write letters without their accents, and leave out what is not ASCII.
        no_spaces: write `-` for blanks, and leave out what shells give a meaning to.
    """
    text = path.strip()
    if no_unicode:
        decomposed = unicodedata.normalize("NFKD", text)
        text = decomposed.encode("ascii", "ignore").decode()
    if no_spaces:
        text = _UNSAFE.sub("", re.sub(r"\s+", "-", text))
    return re.sub(r"/{2,}", "/", text)
