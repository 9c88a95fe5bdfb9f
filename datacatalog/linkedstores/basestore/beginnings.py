"""Finding documents by the beginning of their UUID, as people copy it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datacatalog.mongo import Document

MIN_BEGINNING = 8
"""Characters of a UUID that are enough to look for."""
_BEGINNING = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")
_BEHIND_HEX = "g"


def query(text: str, field: str = "uuid") -> Document | None:
    """Return the query for documents whose UUID begins so, or None if none can.

    Args:
        text: at least `MIN_BEGINNING` characters.
        field: that begins with the UUID, and has an index.
    """
    beginning = text.lower()
    if not _BEGINNING.fullmatch(beginning):
        return None
    return {field: {"$gte": beginning, "$lt": beginning + _BEHIND_HEX}}
