"""Uses of a nonce, of which there may be more than 32 bits can count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the number."""
    if op.get_bind().dialect.name == "postgresql":
        # in SQLite it has 64 bits anyway
        op.alter_column("nonces", "current_uses", type_=sa.BigInteger())
