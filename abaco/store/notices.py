"""What the processes that share a PostgreSQL tell each other: LISTEN and NOTIFY.

A notice that is lost, while a connection is, is made up for by who listens: it is told to look again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy
from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from abaco.store.database import Database

ENDED = "ended"
"""An execution, with its id."""
POSTPONED = "postponed"
"""Likewise, one that could not be handled yet."""
ACTORS = "actors"
"""An actor is new, changed or gone."""
CHANGED = "changed"
"""What requests ask again and again may have other answers."""
MISSED = "missed"
"""There may have been notices that nobody heard."""
_CHANNEL = "abaco"
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class Notice(NamedTuple):
    """What is told, and of what."""

    kind: str
    value: str = ""


_TELL = select(func.pg_notify(_CHANNEL, bindparam("b_text")))


def tell(tx: Connection, kind: str, value: str = "") -> None:
    """Tell all who listen, when the transaction is committed."""
    tx.execute(_TELL, {"b_text": f"{kind} {value}"})


class Listener:
    """A thread that hears what is told.

    Args:
        database: of the platform.
        hear: is called in the thread.
    """

    def __init__(self, database: Database, hear: Callable[[Notice], None]) -> None:
        self._database = database
        self._hear = hear
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="abaco-listener", daemon=True)

    def start(self) -> None:
        """Listen from now on; `MISSED` says when that has begun."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, if that was begun."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        import psycopg  # noqa: PLC0415 - who has PostgreSQL has it

        while not self._stop.is_set():
            try:
                with contextlib.closing(self._database.own_connection()) as connection:
                    self._listen(connection)
            except (SQLAlchemyError, psycopg.Error) as error:
                _logger.warning("notices are not heard: %s", type(error).__name__)
                self._stop.wait(_RETRY_SECONDS)

    def _listen(self, connection: Connection) -> None:
        connection.execute(sqlalchemy.text(f"LISTEN {_CHANNEL}"))
        # of psycopg: SQLAlchemy has nothing for notices
        driver: Any = connection.connection.dbapi_connection
        self._hear(Notice(MISSED))
        while not self._stop.is_set():
            for heard in driver.notifies(timeout=_POLL_SECONDS):
                self._hear(Notice(*heard.payload.split(" ", 1)))
