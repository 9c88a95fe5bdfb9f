"""What the names of Agave's entities look like."""

from __future__ import annotations

import re

_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*-[0-9]+(?:\.[0-9]+)+(?:u[0-9]+)?")
_MAX_LENGTH = 256


def is_appid(text: str) -> bool:
    """Tell whether a string looks like the id of an app.

    That is its name, a dash and its version: `tacos-1.0.2`, or `tacos-1.0.2u3` for the third
    revision of a public one.
    """
    return len(text) <= _MAX_LENGTH and _APP_ID.fullmatch(text) is not None
