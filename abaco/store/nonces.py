"""Nonces: credentials in a URL, for one actor or alias (docs/reference/abaco.md#nonces)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, delete, insert, or_, select, update

from abaco import clock, identifiers
from abaco.store.known import COUNTS
from abaco.store.records import every, one
from abaco.store.rows import Nonce
from abaco.store.tables import nonces

if TYPE_CHECKING:
    import datetime

    from sqlalchemy import ColumnElement, Connection

    from abaco.store.database import Database

UNLIMITED = -1


def create(
    tx: Connection,
    tenant: str,
    kind: str,
    subject: str,
    *,
    owner: str,
    roles: list[str],
    level: str,
    max_uses: int,
    description: str,
) -> Nonce:
    """Make a nonce; whoever has it acts as the owner, with these roles.

    Args:
        tx: a transaction that writes.
        tenant: the tenant's name.
        kind: `permissions.ACTOR` or `permissions.ALIAS`.
        subject: the actor's id, or the alias.
        owner: the user's name.
        roles: of the owner, as they are now.
        level: the highest level at which it holds.
        max_uses: at least 1, or `UNLIMITED`.
        description: free text.
    """
    record: Nonce = {
        "id": f"{tenant}_{identifiers.new()}",
        "tenant": tenant,
        "kind": kind,
        "subject": subject,
        "owner": owner,
        "roles": roles,
        "level": level,
        "max_uses": max_uses,
        "current_uses": 0,
        "remaining_uses": max_uses,
        "description": description,
        "create_time": clock.now(),
        "last_use_time": None,
    }
    tx.execute(insert(nonces).values(record))
    return record


def find(tx: Connection, tenant: str, kind: str, subject: str, nonce_id: str) -> Nonce | None:
    """Return a nonce of an actor or alias."""
    return one(
        tx, select(nonces).where(*_is(tenant, kind, subject), nonces.c.id == nonce_id), Nonce
    )


def all_of(tx: Connection, tenant: str, kind: str, subject: str) -> list[Nonce]:
    """Return the nonces of an actor or alias, oldest first."""
    query = select(nonces).where(*_is(tenant, kind, subject)).order_by(nonces.c.create_time)
    return every(tx, query, Nonce)


def redeem(tx: Connection, nonce: Nonce) -> bool:
    """Use a nonce once; tell whether a use was left."""
    remaining = nonces.c.remaining_uses
    query = (
        update(nonces)
        .where(nonces.c.id == nonce["id"], or_(remaining == UNLIMITED, remaining > 0))
        .values(
            current_uses=nonces.c.current_uses + 1,
            remaining_uses=case((remaining == UNLIMITED, UNLIMITED), else_=remaining - 1),
            last_use_time=clock.now(),
        )
    )
    return tx.execute(query).rowcount == 1


class Uses:
    """Uses of nonces that are not limited, counted in memory and written now and then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._uses: dict[str, tuple[int, datetime.datetime]] = {}

    def count(self, nonce_id: str) -> None:
        """Count one use."""
        with self._lock:
            number, _ = self._uses.get(nonce_id, (0, None))
            self._uses[nonce_id] = (number + 1, clock.now())

    @property
    def are_counted(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._uses)

    def write(self, database: Database) -> None:
        """Write down what was counted; when it returns, all earlier uses are on disk.

        Raises:
            SQLAlchemyError: it is not written, and is counted still.
        """
        with self._writing:
            with self._lock:
                uses, self._uses = self._uses, {}
            if not uses:
                return
            rows = [
                {"nonce": nonce_id, "number": number, "moment": moment}
                for nonce_id, (number, moment) in uses.items()
            ]
            try:
                with database.write() as tx:
                    tx.execute(_COUNT, rows)
            except BaseException:  # whatever it is, the uses are not forgotten
                with self._lock:
                    for nonce_id, (number, moment) in uses.items():
                        more, last = self._uses.get(nonce_id, (0, moment))
                        self._uses[nonce_id] = (number + more, last)
                raise


_COUNT = (
    update(nonces)
    .where(nonces.c.id == bindparam("nonce"))
    .values(
        current_uses=nonces.c.current_uses + bindparam("number"), last_use_time=bindparam("moment")
    )
    .execution_options(**{COUNTS: True})
)


def remove(tx: Connection, nonce: Nonce) -> None:
    """Remove a nonce."""
    tx.execute(delete(nonces).where(nonces.c.id == nonce["id"]))


def remove_all(tx: Connection, tenant: str, kind: str, subject: str) -> None:
    """Remove the nonces of an actor or alias."""
    tx.execute(delete(nonces).where(*_is(tenant, kind, subject)))


def remove_of_others(tx: Connection, tenant: str, kind: str, subject: str, owner: str) -> None:
    """Remove the nonces of an actor or alias that somebody else has made."""
    tx.execute(delete(nonces).where(*_is(tenant, kind, subject), nonces.c.owner != owner))


def _is(tenant: str, kind: str, subject: str) -> tuple[ColumnElement[bool], ...]:
    return (nonces.c.tenant == tenant, nonces.c.kind == kind, nonces.c.subject == subject)
