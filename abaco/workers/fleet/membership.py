"""That a gateway or node is of a fleet: no gateway runs the messages of its database by itself meanwhile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from abaco.exceptions import ServerError
from abaco.store import locks

if TYPE_CHECKING:
    from abaco.store.database import Database

_ALONE = "a gateway with engine: local is using the platform's database: stop it"

_logger = logging.getLogger(__name__)


class Membership:
    """What all gateways and nodes of a fleet share, and keep a gateway with `engine: local` from.

    Args:
        database: of the platform.
    """

    def __init__(self, database: Database) -> None:
        self._lock = locks.Lock(database, locks.ONLY_GATEWAY, shared=True)
        self._has = False

    def begin(self) -> None:
        """Enter the fleet.

        Raises:
            ServerError: a gateway that runs messages itself uses the database.
            SQLAlchemyError: the database does not answer.
        """
        self._has = self._lock.take()
        if not self._has:
            message = f"{_ALONE} first"
            raise ServerError(message)

    def keep(self) -> None:
        """Enter again if the connection was lost.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        had, self._has = self._has, self._lock.take()
        if had and not self._has:
            _logger.error("%s", _ALONE)

    def end(self) -> None:
        """Leave the fleet."""
        self._lock.release()
