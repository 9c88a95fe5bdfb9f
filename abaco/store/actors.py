"""The table of actors, with their state (docs/reference/abaco.md#actors)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import bindparam, delete, func, insert, select, update

from abaco import clock, identifiers
from abaco.store import nonces, permissions, registrations, tables
from abaco.store.records import Record, every, one
from abaco.store.rows import Actor
from abaco.store.statements import Statement
from abaco.store.tables import (
    STAYS,
    actors,
    aliases,
    executions,
    logs,
    posts,
    results,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from abaco.store.registrations import Registrant

SUBMITTED = "SUBMITTED"
READY = "READY"
ERROR = "ERROR"
SHUTTING_DOWN = tables.SHUTTING_DOWN

DEFAULTS: Record = {
    "name": None,
    "description": "",
    "type": "none",
    "stateless": True,
    "token": "false",
    "link": "",
    "webhook": "",
    "hints": [],
    "privileged": False,
    "max_workers": None,
    "mem_limit": None,
    "max_cpus": None,
    "use_container_uid": False,
    "default_environment": {},
    "queue": "default",
    "log_ex": None,
    "cron_on": False,
    "cron_schedule": None,
    "cron_next_ex": None,
}
"""What a description may leave out."""


def owners(tx: Connection, tenant: str) -> dict[str, str]:
    """Return who owns each actor of a tenant."""
    query = select(actors.c.id, actors.c.owner).where(actors.c.tenant == tenant)
    return {row.id: row.owner for row in tx.execute(query)}


def create(
    tx: Connection, tenant: str, registrant: Registrant, description: Mapping[str, Any]
) -> Actor:
    """Register an actor; whoever does is its owner, and may do everything with it.

    Args:
        tx: a transaction that writes.
        tenant: the tenant's name.
        registrant: the owner.
        description: `image`, and what is not as in `DEFAULTS`.
    """
    moment = clock.now()
    actor = {
        **DEFAULTS,
        **description,
        "id": identifiers.new(),
        "tenant": tenant,
        "owner": registrant.user,
        "status": SUBMITTED,
        "status_message": " ",
        "state": {},
        "revision": 1,
        "wanted_workers": 1,
        "create_time": moment,
        "last_update_time": moment,
    }
    tx.execute(insert(actors).values(actor))
    owner = registrant.user
    permissions.grant(tx, tenant, permissions.ACTOR, actor["id"], owner, permissions.UPDATE)
    registrations.record(tx, tenant, actor["id"], registrant)
    return cast("Actor", actor)


def find(tx: Connection, tenant: str, actor_id: str) -> Actor | None:
    """Return an actor of a tenant."""
    return one(tx, select(actors).where(actors.c.tenant == tenant, actors.c.id == actor_id), Actor)


def find_by_alias(tx: Connection, tenant: str, alias: str) -> Actor | None:
    """Return the actor that an alias stands for."""
    query = (
        select(actors)
        .join(aliases, (aliases.c.actor_id == actors.c.id) & (aliases.c.tenant == actors.c.tenant))
        .where(aliases.c.tenant == tenant, aliases.c.alias == alias)
    )
    return one(tx, query, Actor)


def get(tx: Connection, actor_id: str) -> Actor | None:
    """Return an actor of any tenant."""
    return one(tx, select(actors).where(actors.c.id == actor_id), Actor)


def lock(tx: Connection, actor_id: str) -> Actor | None:
    """Return an actor that no other machine changes until the transaction ends."""
    return one(tx, select(actors).where(actors.c.id == actor_id).with_for_update(), Actor)


def all_of(tx: Connection, tenant: str, user: str | None = None) -> list[Actor]:
    """Return the actors of a tenant, oldest first; with a user, those that the user may read."""
    query = select(actors).where(actors.c.tenant == tenant).order_by(actors.c.create_time)
    if user is not None:
        query = query.where(actors.c.id.in_(permissions.of_user(tenant, permissions.ACTOR, user)))
    return every(tx, query, Actor)


def ids_of(tx: Connection, tenant: str) -> list[str]:
    """Return the ids of the actors of a tenant."""
    return [str(each) for each in tx.scalars(select(actors.c.id).where(actors.c.tenant == tenant))]


def everywhere(tx: Connection) -> list[Actor]:
    """Return the actors of all tenants."""
    return every(tx, select(actors).order_by(actors.c.create_time), Actor)


def submitted(tx: Connection) -> list[Actor]:
    """Return the actors that no worker has made ready yet."""
    return every(tx, select(actors).where(actors.c.status == SUBMITTED), Actor)


def deleted(tx: Connection) -> list[Actor]:
    """Return the actors that are being deleted."""
    return every(tx, select(actors).where(actors.c.status == SHUTTING_DOWN), Actor)


def change(tx: Connection, actor_id: str, **values: Any) -> None:
    """Set columns of an actor."""
    tx.execute(update(actors).where(actors.c.id == actor_id).values(values))


def describe(
    tx: Connection,
    actor: Actor,
    registrant: Registrant,
    description: Mapping[str, Any],
    *,
    force: bool,
) -> None:
    """Replace an actor's description; what it leaves out gets its default back.

    Args:
        tx: a transaction that writes.
        actor: the actor's record.
        registrant: whoever describes it; the owner stays.
        description: `image`, and what is not as in `DEFAULTS`.
        force: make a new revision, whose workers replace the old, though the image is the same.
    """
    values = {**DEFAULTS, **description, "last_update_time": clock.now()}
    values["name"] = actor["name"]
    renewed = force or description["image"] != actor["image"]
    if renewed:
        values["revision"] = actor["revision"] + 1
    if actor["status"] != SHUTTING_DOWN and (renewed or actor["status"] == ERROR):
        values |= {"status": SUBMITTED, "status_message": " "}
    change(tx, actor["id"], **values)
    registrations.record(tx, actor["tenant"], actor["id"], registrant)


def remove(tx: Connection, actor: Actor) -> None:
    """Remove an actor with its permissions, nonces, logs, results and waiting posts.

    Executions and aliases stay (docs/reference/abaco.md#actors).
    """
    tenant, actor_id = actor["tenant"], actor["id"]
    registrations.forget(tx, tenant, actor_id)
    permissions.forget(tx, tenant, permissions.ACTOR, actor_id)
    nonces.remove_all(tx, tenant, permissions.ACTOR, actor_id)
    for table in (logs, results, posts):
        tx.execute(delete(table).where(table.c.actor_id == actor_id))
    tx.execute(delete(actors).where(actors.c.id == actor_id))


_COUNT_DUE = Statement(
    select(func.count())
    .select_from(actors)
    .where(actors.c.cron_on, actors.c.cron_next_ex <= bindparam("moment"), STAYS)
)


def is_any_due(tx: Connection) -> bool:
    """Tell whether the cron schedule of any actor says now."""
    return bool(_COUNT_DUE.first(tx, [{"moment": clock.now()}])[0])


def due(tx: Connection) -> list[Actor]:
    """Return the actors whose cron schedule says now."""
    query = select(actors).where(actors.c.cron_on, actors.c.cron_next_ex <= clock.now(), STAYS)
    return every(tx, query, Actor)


def planned(tx: Connection) -> list[Actor]:
    """Return the actors whose cron schedule says later."""
    query = select(actors).where(actors.c.cron_on, actors.c.cron_next_ex > clock.now(), STAYS)
    return every(tx, query, Actor)


def ever(tx: Connection, tenant: str) -> int:
    """Return how many actors a tenant has or had, as far as they were executed."""
    query = select(executions.c.actor_id).where(executions.c.tenant == tenant)
    present = select(actors.c.id).where(actors.c.tenant == tenant)
    both = query.union(present).subquery()
    return int(tx.execute(select(func.count()).select_from(both)).scalar_one())


def count(tx: Connection) -> dict[str, int]:
    """Return how many actors have each status."""
    query = select(actors.c.status, func.count()).group_by(actors.c.status)
    return {str(status): int(number) for status, number in tx.execute(query)}
