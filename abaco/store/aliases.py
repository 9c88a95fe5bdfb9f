"""Aliases: names for actors (docs/reference/abaco.md#aliases)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from abaco.store import permissions
from abaco.store.records import every, one
from abaco.store.rows import Alias
from abaco.store.tables import aliases

if TYPE_CHECKING:
    from sqlalchemy import Connection


def create(tx: Connection, tenant: str, alias: str, actor_id: str, owner: str) -> Alias:
    """Name an actor; the alias must be free."""
    record: Alias = {"tenant": tenant, "alias": alias, "actor_id": actor_id, "owner": owner}
    tx.execute(insert(aliases).values(record))
    permissions.grant(tx, tenant, permissions.ALIAS, alias, owner, permissions.UPDATE)
    return record


def find(tx: Connection, tenant: str, alias: str) -> Alias | None:
    """Return an alias."""
    return one(
        tx, select(aliases).where(aliases.c.tenant == tenant, aliases.c.alias == alias), Alias
    )


def all_of(tx: Connection, tenant: str) -> list[Alias]:
    """Return the aliases of a tenant, by name."""
    return every(
        tx, select(aliases).where(aliases.c.tenant == tenant).order_by(aliases.c.alias), Alias
    )


def of_actor(tx: Connection, tenant: str, actor_id: str) -> list[str]:
    """Return the names of an actor."""
    query = select(aliases.c.alias).where(
        aliases.c.tenant == tenant, aliases.c.actor_id == actor_id
    )
    return [str(name) for name in tx.execute(query).scalars()]


def point(tx: Connection, tenant: str, alias: str, actor_id: str) -> None:
    """Let an alias stand for another actor."""
    query = update(aliases).where(aliases.c.tenant == tenant, aliases.c.alias == alias)
    tx.execute(query.values(actor_id=actor_id))


def remove(tx: Connection, tenant: str, alias: str) -> None:
    """Remove an alias and who may use it; its nonces stay (docs/reference/abaco.md#aliases)."""
    tx.execute(delete(aliases).where(aliases.c.tenant == tenant, aliases.c.alias == alias))
    permissions.forget(tx, tenant, permissions.ALIAS, alias)
