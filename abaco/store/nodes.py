"""The machines that run messages, as they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, text, update

from abaco.store.moments import NOW, later
from abaco.store.records import Record, every
from abaco.store.rows import Node
from abaco.store.tables import nodes

if TYPE_CHECKING:
    from sqlalchemy import Connection

SILENT_SECONDS = 15.0
"""After which a node counts as gone."""
# what is later was noted before the clock was set back
_HEARD = nodes.c.beat.between(later(-SILENT_SECONDS), later(SILENT_SECONDS))


def platform_of(tx: Connection) -> str:
    """Return what tells the platform of a database from others that the same machines serve."""
    query = text(
        "SELECT system_identifier || '-' || oid FROM pg_control_system(), pg_database "
        "WHERE datname = current_database()"
    )
    return str(tx.execute(query).scalar_one())


def enter(tx: Connection, node: Record) -> None:
    """Add a node: `id`, `host`, `pid`, `queues` and `concurrency`."""
    tx.execute(insert(nodes).values(**node, started=NOW, beat=NOW, draining=False))


def beat(tx: Connection, node_id: str, *, draining: bool) -> bool:
    """Say that a node is there; tell whether it was still known."""
    changed = update(nodes).where(nodes.c.id == node_id)
    return tx.execute(changed.values(beat=NOW, draining=draining)).rowcount == 1


def leave(tx: Connection, node_id: str) -> None:
    """Remove a node."""
    tx.execute(delete(nodes).where(nodes.c.id == node_id))


def present(tx: Connection) -> list[Node]:
    """Return the nodes that were heard of lately, oldest first."""
    return every(tx, select(nodes).where(_HEARD).order_by(nodes.c.started), Node)


def forget_silent(tx: Connection) -> None:
    """Remove the nodes that were not heard of."""
    tx.execute(delete(nodes).where(~_HEARD))
