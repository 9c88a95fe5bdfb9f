"""Who described an actor last, and with which roles: it is asked again what they may register.

It is kept among the permissions, a row for the user and one for each role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, insert, select

from abaco.roles import ADMIN, EVERYONE, ROLES
from abaco.store.permissions import NONE
from abaco.store.tables import permissions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from abaco.store.rows import Actor

USER = "registrant"
ROLE = "registrant-role"


class Registrant(NamedTuple):
    """Who registers an actor, or replaces its description."""

    user: str
    roles: tuple[str, ...] = ()

    @property
    def admin(self) -> bool:
        """Whether everything may be registered."""
        return ADMIN in self.roles


def record(tx: Connection, tenant: str, actor_id: str, registrant: Registrant) -> None:
    """Keep who describes an actor, in place of whoever did before; of the roles, those that count."""
    forget(tx, tenant, actor_id)
    rows = [(USER, registrant.user)]
    rows += [(ROLE, role) for role in ROLES if role in registrant.roles]
    common = {"tenant": tenant, "subject": actor_id, "level": NONE}
    tx.execute(insert(permissions), [{**common, "kind": kind, "user": name} for kind, name in rows])


def of(tx: Connection, actor: Actor) -> Registrant:
    """Return who described an actor last; where that was not kept, its owner as one of everybody."""
    tenant, actor_id = actor["tenant"], actor["id"]
    users = list(_names(tx, tenant, actor_id, USER))
    if not users:
        return Registrant(actor["owner"], (EVERYONE,))
    return Registrant(users[0], tuple(_names(tx, tenant, actor_id, ROLE)))


def forget(tx: Connection, tenant: str, actor_id: str) -> None:
    """Forget who described an actor."""
    table = permissions
    mine = (table.c.tenant == tenant, table.c.subject == actor_id)
    tx.execute(delete(table).where(*mine, table.c.kind.in_((USER, ROLE))))


def _names(tx: Connection, tenant: str, actor_id: str, kind: str) -> Iterable[str]:
    table = permissions
    query = select(table.c.user).where(
        table.c.tenant == tenant, table.c.subject == actor_id, table.c.kind == kind
    )
    return map(str, tx.execute(query).scalars())
