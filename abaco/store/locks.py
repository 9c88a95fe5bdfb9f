"""Locks of the database itself, which end with the connection that has them."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from abaco.store.database import Database

ONLY_GATEWAY = 0x6162_6163_0001
"""Of the gateway whose workers live in its own process, or shared by the gateways and nodes of a fleet."""
LEADER = 0x6162_6163_0002
"""Of the gateway, among several, that does what only one may do."""
SWEEPER = 0x6162_6163_0003
"""Of the gateway or node that looks for what was lost."""

_logger = logging.getLogger(__name__)


def take_within(tx: Connection, number: int) -> bool:
    """Take a lock until a transaction ends; tell whether nobody else has it."""
    return bool(tx.scalar(select(func.pg_try_advisory_xact_lock(number))))


def is_free(tx: Connection, number: int) -> bool:
    """Tell whether no process has a lock for itself; any number may share it, and ask at the same time."""
    return bool(tx.scalar(select(func.pg_try_advisory_xact_lock_shared(number))))


class Lock:
    """A lock that one process has at a time, or several that share it; it is lost with the connection.

    SQLite has none: whoever uses its file locks the folder.

    Args:
        database: of the platform.
        number: of the lock.
        shared: whether others may share it.
    """

    def __init__(self, database: Database, number: int, *, shared: bool = False) -> None:
        self._database = database
        self._number = number
        self._try = func.pg_try_advisory_lock_shared if shared else func.pg_try_advisory_lock
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Take the lock, or look whether it is still had; tell whether it is.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        if not self._database.is_shared:
            return True
        if self._connection is not None and self._is_alive(self._connection):
            return True
        connection = self._database.own_connection()
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            taken = bool(connection.scalar(select(self._try(self._number))))
            if taken:
                stack.pop_all()
                self._connection = connection
        return taken

    def release(self) -> None:
        """Let the lock go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()

    def _is_alive(self, connection: Connection) -> bool:
        try:
            connection.scalar(select(1))
        except SQLAlchemyError as error:
            _logger.warning("a lock of the database was lost: %s", type(error).__name__)
            self.release()
            return False
        return True
