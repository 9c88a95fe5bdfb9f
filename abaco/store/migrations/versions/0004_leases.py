"""Who runs what, where several machines do, and until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, the index and the table, and widen numbers."""
    with op.batch_alter_table("executions") as table:
        table.add_column(sa.Column("fence", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("holder", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("lease", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("rung", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("stop", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        # in SQLite, the number of a row has 64 bits anyway
        for name in ("messages", "executions", "results", "posts"):
            op.alter_column(name, "sequence", type_=sa.BigInteger())
            if name != "messages":
                op.execute(f"ALTER SEQUENCE {name}_sequence_seq AS bigint")
        op.create_index(
            "ix_executions_lane",
            "executions",
            ["actor_id", "ordering", "sequence"],
            postgresql_where=sa.text("status IN ('SUBMITTED', 'RUNNING')"),
        )
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("started", sa.DateTime(), nullable=False),
        sa.Column("beat", sa.DateTime(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
