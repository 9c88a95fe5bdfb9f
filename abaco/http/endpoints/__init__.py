"""The endpoints: a module for each noun of the API, each with a table `ENDPOINTS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.http.endpoints import (
    actors,
    aliases,
    configs,
    executions,
    messages,
    nonces,
    oauth,
    permissions,
    search,
    state,
    system,
    workers,
)

if TYPE_CHECKING:
    from abaco.http.call import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *system.ENDPOINTS,
    *oauth.ENDPOINTS,
    *search.ENDPOINTS,
    *aliases.ENDPOINTS,
    *configs.ENDPOINTS,
    *actors.ENDPOINTS,
    *messages.ENDPOINTS,
    *executions.ENDPOINTS,
    *nonces.ENDPOINTS,
    *permissions.ENDPOINTS,
    *workers.ENDPOINTS,
    *state.ENDPOINTS,
)
"""In the order in which paths are tried."""
