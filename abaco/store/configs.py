"""Configs: values that actors get in their environment (docs/reference/abaco.md#configs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from abaco.store import permissions
from abaco.store.records import Record, every, one
from abaco.store.rows import Config
from abaco.store.tables import configs

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

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
    permissions.forget(tx, tenant, permissions.CONFIG, name)


def let_go(
    tx: Connection, tenant: str, alias: str, actor_id: str, *, former: str | None, user: str
) -> None:
    """Take an alias from the configs that would reach an actor by it whose owners may not change that.

    Args:
        tx: a transaction that writes.
        tenant: the tenant's name.
        alias: which stands for another actor now.
        actor_id: of that one.
        former: the id of the one before, None where it is not known. Whoever had no right to that has
            set the config as an administrator, whose configs follow the alias.
        user: who has let it stand for the actor, and may give their own configs to it.
    """
    for record in all_of(tx, tenant):
        names = [name.strip() for name in record["actors"].split(",")]
        if alias not in names:
            continue
        levels = permissions.of(tx, tenant, permissions.CONFIG, record["name"])
        owners = [who for who, level in levels.items() if level == permissions.UPDATE]
        may_follow = user in owners or _may_change(tx, tenant, owners, actor_id)
        if not may_follow and (former is None or _may_change(tx, tenant, owners, former)):
            left = ",".join(name for name in names if name != alias)
            change(tx, tenant, record["name"], {"actors": left})


def _may_change(tx: Connection, tenant: str, users: Iterable[str], actor_id: str) -> bool:
    kind, level = permissions.ACTOR, permissions.UPDATE
    return any(permissions.allows(tx, tenant, kind, actor_id, user, level) for user in users)


def for_actor(tx: Connection, tenant: str, names: Container[str]) -> dict[str, str]:
    """Return the values by name for an actor that has these names (its id and aliases)."""
    return {
        record["name"]: record["value"]
        for record in all_of(tx, tenant)
        if any(name.strip() in names for name in record["actors"].split(","))
    }
