"""The engine: SQLite in WAL mode by default, PostgreSQL by its URL."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError

from abaco.exceptions import SettingsError
from abaco.store import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

_BUSY_SECONDS = 10
_READERS = 48


class Database:
    """The database of the platform.

    Args:
        url: as SQLAlchemy takes it, `sqlite:////path/to/file` for instance.

    Raises:
        SettingsError: it cannot be opened, or is of a later version.
    """

    def __init__(self, url: str) -> None:
        self._writing = threading.Lock()
        try:
            self.engine = _engine(url)
            self._migrate()
        except (SQLAlchemyError, ImportError) as error:
            shown = sqlalchemy.make_url(url).render_as_string() if "://" in url else "it"
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            message = f"the platform's database cannot be opened: {reason} (database: {shown})"
            raise SettingsError(message) from error

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; when it is left without an error, all is on disk.

        Writers of one process wait for each other here, in order, rather than in SQLite, which
        makes them sleep and try again.
        """
        with self._writing, self.engine.connect() as connection:
            connection.execution_options(writing=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        if self._version() == tables.VERSION:
            return
        # most starts do without: it takes a third of a second to import
        from abaco.store import migrations  # noqa: PLC0415

        migrations.upgrade(self.engine)

    def _version(self) -> str | None:
        with self.engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return None
            row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
            return None if row is None else str(row[0])


def _engine(url: str) -> Engine:
    engine = sqlalchemy.create_engine(url, pool_size=_READERS, max_overflow=0, pool_timeout=30)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    # transactions are begun by `_begin`, not by the driver
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # in WAL mode, anything less acknowledges what is not on disk
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
