"""Where the tenant is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "https://api.sd2e.org"


def api_server(environ: Mapping[str, str]) -> str:
    """Return the base URL of the tenant's API, as the platform or else the environment names it."""
    return environ.get("_abaco_api_server") or environ.get("TACC_API_SERVER") or DEFAULT
