"""The tables of the platform's database. A change here needs a migration and a new `VERSION`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    literal_column,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION = "0005"
"""The revision of the newest migration."""
SHUTTING_DOWN = "SHUTTING_DOWN"
"""The status of an actor that is being deleted."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""Of a row, in the order of their making, or of uses: 32 bits are used up within a month of 1,000 messages a second."""

versions = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""What Alembic keeps: the revision that the tables have."""

actors = Table(
    "actors",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False, index=True),
    Column("owner", String(255), nullable=False),
    Column("name", Text),
    Column("image", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("stateless", Boolean, nullable=False),
    Column("token", JSON, nullable=False),
    Column("link", Text, nullable=False),
    Column("webhook", Text, nullable=False),
    Column("hints", JSON, nullable=False),
    Column("privileged", Boolean, nullable=False),
    Column("max_workers", Integer),
    Column("mem_limit", Text),
    Column("max_cpus", Text),
    Column("use_container_uid", Boolean, nullable=False),
    Column("default_environment", JSON, nullable=False),
    Column("queue", Text, nullable=False),
    Column("log_ex", Integer),
    Column("cron_on", Boolean, nullable=False),
    Column("cron_schedule", Text),
    Column("cron_next_ex", DateTime),
    Column("status", String(32), nullable=False),
    Column("status_message", Text, nullable=False),
    Column("state", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("wanted_workers", Integer, nullable=False),
    Column("create_time", DateTime, nullable=False),
    Column("last_update_time", DateTime, nullable=False),
)
STAYS = actors.c.status != literal_column(f"'{SHUTTING_DOWN}'")
"""Of an actor that is not being deleted."""

aliases = Table(
    "aliases",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("alias", String(255), primary_key=True),
    Column("actor_id", String(32), nullable=False),
    Column("owner", String(255), nullable=False),
)

permissions = Table(
    "permissions",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user", String(255), primary_key=True),
    Column("level", String(16), nullable=False),
)

nonces = Table(
    "nonces",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("level", String(16), nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("current_uses", _NUMBER, nullable=False),
    Column("remaining_uses", Integer, nullable=False),
    Column("description", Text, nullable=False),
    Column("create_time", DateTime, nullable=False),
    Column("last_use_time", DateTime),
    Index("ix_nonces_subject", "tenant", "kind", "subject"),
)

executions = Table(
    "executions",
    metadata,
    Column("sequence", _NUMBER, primary_key=True),
    Column("id", String(32), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("actor_id", String(32), nullable=False),
    Column("executor", String(255), nullable=False),
    Column("sender", String(255)),
    Column("ordering", String(255)),
    Column("status", String(16), nullable=False),
    Column("worker_id", String(32)),
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("due", DateTime),
    Column("reason", Text),
    Column("cpu", BigInteger, nullable=False),
    Column("io", BigInteger, nullable=False),
    Column("runtime", Integer, nullable=False),
    Column("message_received_time", DateTime, nullable=False),
    Column("start_time", DateTime),
    Column("finish_time", DateTime),
    Column("exit_code", Integer),
    Column("final_state", JSON),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("holder", String(64)),
    Column("lease", DateTime),
    Column("rung", DateTime),
    Column("stop", Text),
    UniqueConstraint("id"),
    Index("ix_executions_queue", "actor_id", "status", "sequence"),
    sqlite_autoincrement=True,
)


@event.listens_for(executions, "after_create")
def _add_lane(_table: Table, connection: Connection, **_others: Any) -> None:
    """Add the index by which several machines find what comes next.

    As an `Index` with a condition of PostgreSQL, it would load all of that dialect with SQLite, too.
    """
    if connection.dialect.name == "postgresql":
        columns = "(actor_id, ordering, sequence) WHERE status IN ('SUBMITTED', 'RUNNING')"
        connection.execute(text(f"CREATE INDEX ix_executions_lane ON executions {columns}"))


messages = Table(
    "messages",
    metadata,
    Column(
        "sequence",
        _NUMBER,
        ForeignKey("executions.sequence", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("body", LargeBinary, nullable=False),
    Column("content_type", String(64), nullable=False),
    Column("environment", JSON, nullable=False),
)

logs = Table(
    "logs",
    metadata,
    Column("execution_id", String(32), primary_key=True),
    Column("actor_id", String(32), nullable=False, index=True),
    Column("tenant", String(64), nullable=False),
    Column("logs", Text, nullable=False),
    Column("expires", DateTime, nullable=False, index=True),
)

results = Table(
    "results",
    metadata,
    Column("sequence", _NUMBER, primary_key=True),
    Column("execution_id", String(32), nullable=False, index=True),
    Column("actor_id", String(32), nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("expires", DateTime, nullable=False, index=True),
    sqlite_autoincrement=True,
)

configs = Table(
    "configs",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text, nullable=False),
    Column("is_secret", Boolean, nullable=False),
    Column("actors", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("user", String(255), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("label", Text, nullable=False),
    Column("access_hash", String(64), nullable=False, unique=True),
    Column("refresh_hash", String(64), unique=True),
    Column("client_key", String(64)),
    Column("secret_hash", String(64)),
    Column("lifetime", Integer, nullable=False),
    Column("create_time", DateTime, nullable=False),
    Column("expires", DateTime, nullable=False, index=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column(
        "token_id",
        String(32),
        ForeignKey("tokens.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("create_time", DateTime, nullable=False),
    Column("expires", DateTime, nullable=False, index=True),
)
"""Of people in a browser, and the codes that begin one."""

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", JSON, nullable=False),
    Column("concurrency", Integer, nullable=False),
    Column("started", DateTime, nullable=False),
    Column("beat", DateTime, nullable=False),
    Column("draining", Boolean, nullable=False),
)
"""The machines that run messages."""

posts = Table(
    "posts",
    metadata,
    Column("sequence", _NUMBER, primary_key=True),
    Column("actor_id", String(32), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt", DateTime, nullable=False, index=True),
    sqlite_autoincrement=True,
)
"""Events on their way to webhooks."""


def create(connection: Connection) -> None:
    """Make all tables in an empty database, as the migrations would make them."""
    metadata.create_all(connection, checkfirst=False)
    versions.create(connection)
    connection.execute(versions.insert().values(version_num=VERSION))
