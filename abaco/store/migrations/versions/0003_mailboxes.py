"""Whose messages wait, in which order, and why they wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("executions") as table:
        table.add_column(sa.Column("sender", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("ordering", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("due", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("reason", sa.Text(), nullable=True))
    op.execute("UPDATE executions SET sender = executor")
