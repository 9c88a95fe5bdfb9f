"""Configs: values that actors get in their environment (docs/reference/abaco.md#configs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from abaco.store import permissions
from abaco.store.records import Record, every, one
from abaco.store.rows import Config
from abaco.store.tables import configs
from abaco.store.tables import permissions as permission_table

if TYPE_CHECKING:
    from collections.abc import Container

    from sqlalchemy import Connection


def create(tx: Connection, tenant: str, owner: str, record: Record) -> None:
    """Keep a config; its name must be free.

    Args:
        tx: a transaction that writes.
        tenant: the tenant's name.
        owner: the user, who may then do everything with it.
        record: `name`, `value`, `is_secret` and `actors` (ids and aliases, commas between).
    """
    tx.execute(insert(configs).values(tenant=tenant, **record))
    permissions.grant(tx, tenant, permissions.CONFIG, record["name"], owner, permissions.UPDATE)


def find(tx: Connection, tenant: str, name: str) -> Config | None:
    """Return a config."""
    return one(
        tx, select(configs).where(configs.c.tenant == tenant, configs.c.name == name), Config
    )


def all_of(tx: Connection, tenant: str) -> list[Config]:
    """Return the configs of a tenant, by name."""
    return every(
        tx, select(configs).where(configs.c.tenant == tenant).order_by(configs.c.name), Config
    )


def change(tx: Connection, tenant: str, name: str, record: Record) -> None:
    """Replace the value of a config, and for whom it is."""
    mine = (configs.c.tenant == tenant, configs.c.name == name)
    tx.execute(update(configs).where(*mine).values(record))


def remove(tx: Connection, tenant: str, name: str) -> None:
    """Remove a config and who may use it."""
    tx.execute(delete(configs).where(configs.c.tenant == tenant, configs.c.name == name))
    tx.execute(
        delete(permission_table).where(
            permission_table.c.tenant == tenant,
            permission_table.c.kind == permissions.CONFIG,
            permission_table.c.subject == name,
        )
    )


def for_actor(tx: Connection, tenant: str, names: Container[str]) -> dict[str, str]:
    """Return the values by name for an actor that has these names (its id and aliases)."""
    return {
        record["name"]: record["value"]
        for record in all_of(tx, tenant)
        if any(name.strip() in names for name in record["actors"].split(","))
    }
