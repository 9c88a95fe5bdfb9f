"""Where the tenant is, and what its URLs are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "https://api.sd2e.org"


def api_server(environ: Mapping[str, str]) -> str:
    """Return the base URL of the tenant's API, as the platform or else the environment names it."""
    return environ.get("_abaco_api_server") or environ.get("TACC_API_SERVER") or DEFAULT


def segment(text: str) -> str:
    """Return a string as it stands between two slashes in the path of a URL.

    Raises:
        ValueError: it would lead elsewhere: to delete the nonce `..` of an actor is to delete the
            actor.
    """
    if text in ("", ".", ".."):
        message = f"{text!r} cannot be a name: give an id or an alias"
        raise ValueError(message)
    return quote(text, safe="")
