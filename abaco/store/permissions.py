"""Who may do what with an actor, an alias or a config (docs/reference/abaco.md#permissions)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from abaco.store.tables import permissions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

ACTOR = "actor"
ALIAS = "alias"
CONFIG = "config"

NONE = "NONE"
READ = "READ"
EXECUTE = "EXECUTE"
UPDATE = "UPDATE"
LEVELS = (NONE, READ, EXECUTE, UPDATE)
"""From the lowest to the highest; each includes those before it."""

WORLD = "ABACO_WORLD"
"""Everybody: what this user may do, all may."""


def grant(tx: Connection, tenant: str, kind: str, subject: str, user: str, level: str) -> None:
    """Give a user a level, in place of what the user had."""
    table = permissions
    tx.execute(delete(table).where(*_on(tenant, kind, subject), table.c.user == user))
    tx.execute(
        insert(table).values(tenant=tenant, kind=kind, subject=subject, user=user, level=level)
    )


def forget(tx: Connection, tenant: str, kind: str, subject: str) -> None:
    """Take all users the levels that they have, since the thing is removed."""
    tx.execute(delete(permissions).where(*_on(tenant, kind, subject)))


def of(tx: Connection, tenant: str, kind: str, subject: str) -> dict[str, str]:
    """Return the level of each user."""
    table = permissions
    query = select(table.c.user, table.c.level).where(*_on(tenant, kind, subject))
    return {str(user): str(level) for user, level in tx.execute(query)}


def allows(tx: Connection, tenant: str, kind: str, subject: str, user: str, needed: str) -> bool:
    """Tell whether a user, or everybody, has a level or a higher one."""
    return LEVELS.index(level_of(tx, tenant, kind, subject, user)) >= LEVELS.index(needed)


def level_of(tx: Connection, tenant: str, kind: str, subject: str, user: str) -> str:
    """Return the level that a user has, or everybody."""
    table = permissions
    query = select(table.c.level).where(
        *_on(tenant, kind, subject), table.c.user.in_((user, WORLD))
    )
    return max(map(str, tx.execute(query).scalars()), key=LEVELS.index, default=NONE)


def subjects(tx: Connection, tenant: str, kind: str, user: str, needed: str = READ) -> set[str]:
    """Return everything of a kind on which a user, or everybody, has a level."""
    query = of_user(tenant, kind, user, needed)
    return {str(subject) for subject in tx.execute(query).scalars()}


def of_user(tenant: str, kind: str, user: str, needed: str = READ) -> Select[tuple[str]]:
    """Return the query for what `subjects` returns."""
    table = permissions
    return select(table.c.subject).where(
        table.c.tenant == tenant,
        table.c.kind == kind,
        table.c.user.in_((user, WORLD)),
        table.c.level.in_(LEVELS[LEVELS.index(needed) :]),
    )


def _on(tenant: str, kind: str, subject: str) -> tuple[ColumnElement[bool], ...]:
    table = permissions
    return table.c.tenant == tenant, table.c.kind == kind, table.c.subject == subject
