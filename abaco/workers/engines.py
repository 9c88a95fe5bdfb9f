"""Which engine the settings ask for: nothing else in the gateway knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.exceptions import SettingsError
from abaco.settings import CELERY
from abaco.workers.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.throttling import Throttle
    from abaco.workers.protocol import Engine


def make_engine(
    settings: Settings,
    database: Database,
    api_server: Callable[[str], str],
    throttle: Throttle,
) -> Engine:
    """Return the engine of a gateway, in whose event loop this is called.

    Args:
        settings: of the gateway.
        database: of the platform.
        api_server: returns the base URL that an actor of a tenant is told.
        throttle: is told the results of executions.

    Raises:
        SettingsError: what the engine needs is not installed.
    """
    if settings.engine == CELERY:
        try:
            from abaco.workers.fleet.engine import Fleet  # noqa: PLC0415 - only a fleet has Celery
        except ImportError as error:
            message = f"engine celery: {error.name} is not installed: pip install '.[fleet]'"
            raise SettingsError(message) from error
        return Fleet(settings, database, api_server, throttle)
    return Pool(settings, database, api_server, throttle)
