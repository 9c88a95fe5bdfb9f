"""The engine: SQLite in WAL mode by default, PostgreSQL by its URL."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.sql.dml import UpdateBase

from abaco.exceptions import SettingsError
from abaco.store import notices, statements, tables
from abaco.store.known import COUNTS, SOURCES, Known
from abaco.store.statements import Statement
from abaco.store.writer import IDLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.engine import ExceptionContext

_CHANGED = "changed"
"""What is noted at a connection whose transaction changes a source of what is known."""
BUSY_SECONDS = 4
"""How long a writer waits for the writers of this process, and then for those of others."""
CHECK_SECONDS = 1.0
"""For how long a write shows that there may be others."""
_CONNECTIONS = 64
_RETURNED = "returned"
"""What is noted at a connection to a server: when it was returned, by the monotonic clock."""
_SERVER_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 8_000,
        "idle_in_transaction_session_timeout": 8_000,
    }.items()
)
"""Whoever is cut off keeps no lock in PostgreSQL for more than some seconds."""
_CLIENT_OPTIONS = {
    "options": _SERVER_OPTIONS,
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
}
"""Whoever is cut off from PostgreSQL finds that out within some seconds, too."""
_MIGRATION = 0x6162_6163_0000
"""The lock of whoever makes or changes the tables."""
_SAID_SECONDS = 60.0
"""After which it is said again why there is no connection."""
_logger = logging.getLogger(__name__)
_UNUSABLE = "the platform's database cannot be used"

_CHANGE_NOTHING = Statement(sqlalchemy.delete(tables.posts).where(sqlalchemy.false()))
_TAKE_ROOM = [
    sqlalchemy.text(line)
    for line in (
        # a commit that is in the journal, and in no table that would grow
        "SELECT set_config('work_mem', '64kB', true), pg_logical_emit_message(true, 'abaco', '')",
        # more than that memory: it goes to the disk of the tables for a moment
        "SELECT count(*) FROM generate_series(1, 10000)",
    )
]
"""What shows that PostgreSQL writes, and has some room left."""


class FairLock:
    """A lock that threads get in the order in which they ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, seconds: float) -> bool:
        """Wait for one's turn; tell whether it came in time."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=seconds):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        # it came just now
        return True

    def give(self) -> None:
        """End one's turn."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class OtherVersion(SettingsError):
    """The database is of another version than this program."""


class Database:
    """The database of the platform.

    Args:
        url: as SQLAlchemy takes it, `sqlite:////path/to/file` for instance.
        as_it_is: do not bring it to this version.

    Attributes:
        known: what need not be asked again.

    Raises:
        SettingsError: it cannot be opened, or is of a later version.
        OtherVersion: it is of another version, and is to stay as it is.
    """

    def __init__(self, url: str, *, as_it_is: bool = False) -> None:
        self._turns = FairLock()
        self._written = -CHECK_SECONDS
        self.known = Known(self.read)
        try:
            self.engine = _engine(_parsed(url))
            try:
                if as_it_is:
                    self._refuse_other_version()
                else:
                    self._migrate()
            except BaseException:  # whatever it is, it goes on after the connections are closed
                self.close()
                raise
        except (SQLAlchemyError, ImportError) as error:
            raise SettingsError(explain(url, error)) from error
        if self.is_shared:
            event.listen(self.engine, "handle_error", _Refusals(url).hear)

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

        Raises:
            SQLAlchemyError: others write for too long, or what was written is not on disk.
        """
        with self.writing_connection() as connection, self.write_on(connection):
            yield connection

    def writing_connection(self) -> Connection:
        """Open a connection for `write_on`."""
        return self.engine.connect().execution_options(writing=True)

    @property
    def is_shared(self) -> bool:
        """Whether several machines can use it."""
        return self.engine.dialect.name == "postgresql"

    def own_connection(self) -> Connection:
        """Open a connection, apart from those that are lent, that ends when it is closed.

        What it executes is committed at once.
        """
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()
        return connection

    @contextlib.contextmanager
    def write_on(self, connection: Connection) -> Iterator[None]:
        """Do as `write` does, on a connection that serves many transactions, one after the other."""
        if not self._turns.take(BUSY_SECONDS):
            message = f"other writers did not end within {BUSY_SECONDS} s"
            raise sqlalchemy.exc.TimeoutError(message)
        try:
            with connection.begin():
                yield
                if self.is_shared and connection.info.get(_CHANGED, False):
                    notices.tell(connection, notices.CHANGED)
            self._written = time.monotonic()
        finally:
            if not connection.invalidated and connection.info.pop(_CHANGED, False):
                self.known.forget()
            self._turns.give()

    def check(self) -> None:
        """Show that it can be written to.

        What was written a moment ago has shown that of SQLite, whose disk the gateway looks at besides;
        of PostgreSQL it has not: what changes a row finds room where there is none for new ones.

        Raises:
            SQLAlchemyError: it cannot.
        """
        if self.is_shared:
            with self.write() as tx:
                for statement in _TAKE_ROOM:
                    tx.execute(statement)
        elif time.monotonic() - self._written > CHECK_SECONDS:
            with self.write() as tx:
                _CHANGE_NOTHING.run(tx, [{}])

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _refuse_other_version(self) -> None:
        with self.read() as connection:
            version = _version(connection)
        if version != tables.VERSION:
            found = "has no tables yet" if version is None else f"is of version {version}"
            message = (
                f"the platform's database {found}, and this program works with {tables.VERSION}"
            )
            raise OtherVersion(message)

    def _migrate(self) -> None:
        with self.read() as connection:
            version = _version(connection)
        if version == tables.VERSION:
            return
        with contextlib.ExitStack() as stack:
            if self.is_shared:
                # of several that start, one does it, and the others find it done
                alone = stack.enter_context(contextlib.closing(self.own_connection()))
                alone.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(_MIGRATION)))
            with self.write() as connection:
                version = _version(connection)
                if version is None:
                    tables.create(connection)
                    return
            if version != tables.VERSION:
                from abaco.store import migrations  # noqa: PLC0415 - takes a third of a second; most starts do without

                migrations.upgrade(self.engine)


class _Refusals:
    """Says in the log why there is no connection: who wanted one tells of the class of the error alone.

    Args:
        url: of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._said = ("", 0.0)
        """what was said last, and when, by the monotonic clock"""

    def hear(self, context: ExceptionContext) -> None:
        """Take an error, of a connection or of the attempt to have one."""
        if context.connection is not None:
            return
        line, now = explain(self._url, context.original_exception), time.monotonic()
        said, moment = self._said
        if line != said or now - moment > _SAID_SECONDS:
            self._said = (line, now)
            _logger.error("%s", line)


def _version(connection: Connection) -> str | None:
    if not sqlalchemy.inspect(connection).has_table(tables.versions.name):
        return None
    found = connection.scalar(sqlalchemy.select(tables.versions.c.version_num))
    return None if found is None else str(found)


def explain(url: str, error: BaseException) -> str:
    """Return one line that says what is wrong with a database, without user, password and options."""
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    found = _parsed(url)
    shown = found
    if not _is_file(found):
        shown = sqlalchemy.URL.create(
            found.drivername, host=found.host, port=found.port, database=found.database
        )
    return f"{_UNUSABLE}: {reason} ({shown})"


def _parsed(url: str) -> URL:
    """Return the parts of a URL.

    Raises:
        SettingsError: it has none, or a part of the password would be taken for the host or the port.
    """
    try:
        found = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        found = None
    if found is None or (not _is_file(found) and url.count("@") > 1):
        message = (
            f"{_UNUSABLE}: the value of database in the configuration is not a URL such as postgresql+psycopg://USER:PASSWORD"
            "@HOST:PORT/NAME, with @ / # : ? % in the password percent-encoded, %40 for @"
        )
        # what it is caused by shows the value
        raise SettingsError(message) from None
    return found


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL) -> Engine:
    is_file = _is_file(url)
    engine = sqlalchemy.create_engine(
        url,
        connect_args={} if is_file else dict(_CLIENT_OPTIONS),
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=30,
    )
    event.listen(engine, "before_execute", _note_change)
    if is_file:
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "checkin", _note_return)
        event.listen(engine, "checkout", functools.partial(_try_idle, engine))
    return engine


def _prepare(connection: Any, _record: object) -> None:
    # transactions are begun by `_begin`, not by the driver
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # in WAL mode, anything less acknowledges what is not on disk
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _note_return(_connection: object, record: Any) -> None:
    record.info[_RETURNED] = time.monotonic()


def _try_idle(engine: Engine, connection: Any, record: Any, _lent: object) -> None:
    """Let the pool connect again if the server has ended a connection that was idle."""
    returned = record.info.get(_RETURNED)
    if returned is None or time.monotonic() - returned <= IDLE_SECONDS:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        # what ended this one has ended the others
        raise InvalidatePoolError from error


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    statements.execute(connection, "BEGIN IMMEDIATE" if writing else "BEGIN")


def _note_change(connection: Connection, statement: Any, *_: Any) -> None:
    changes = isinstance(statement, UpdateBase) and statement.table in SOURCES
    if changes and not statement.get_execution_options().get(COUNTS, False):
        connection.info[_CHANGED] = True
