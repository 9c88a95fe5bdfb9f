"""Where the tenant is, what its URLs are made of, and who an execution is to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "https://api.sd2e.org"


def api_server(environ: Mapping[str, str]) -> str:
    """Return the base URL of the tenant's API, as the platform or else the environment names it."""
    return environ.get("_abaco_api_server") or environ.get("TACC_API_SERVER") or DEFAULT


def get_api_server(ag: Any) -> str | None:
    """Return the base URL that the platform gave, else that of a client; None where there is none.

    Args:
        ag: an `agavepy.agave.Agave`, such as a Reactor's `client`.
    """
    return _told("_abaco_api_server", ag, "api_server")


def get_api_token(ag: Any) -> str | None:
    """Return the access token, as `get_api_server` does the URL."""
    return _told("_abaco_access_token", ag, "_token")


def get_api_username(ag: Any) -> str | None:
    """Return the user's name, as `get_api_server` does the URL."""
    return _told("_abaco_username", ag, "username")


def _told(variable: str, client: Any, attribute: str) -> str | None:
    return os.environ.get(variable) or getattr(client, attribute, None)


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
