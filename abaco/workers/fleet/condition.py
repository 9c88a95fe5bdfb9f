"""How a fleet is: its broker, nodes, queues and leases, for whoever operates it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from abaco.store import actors, leases, nodes
from abaco.store.database import Database
from abaco.workers.fleet import bell

if TYPE_CHECKING:
    from abaco.settings import Settings
    from abaco.store.rows import Node

QUEUE_TIMEOUTS = (3, 12)
"""The version from which on a queue says itself how long a ring may be kept."""
USUAL_TIMEOUT_SECONDS = 1800.0
"""After which an older RabbitMQ, unless it is told otherwise, takes a ring back."""


class Condition(NamedTuple):
    """What was found.

    Attributes:
        version: of the broker.
        rings: in the queue of each actor, by its id; they wait for a node.
        dead: the rings that were given up.
        nodes: that were heard of lately.
        unserved: the queues of actors that no node serves.
        held: the executions that have a holder.
        expired: those of them whose lease has run out.
    """

    version: str
    rings: dict[str, int]
    dead: int
    nodes: list[Node]
    unserved: list[str]
    held: int
    expired: int

    @property
    def has_queue_timeouts(self) -> bool:
        """Whether the broker keeps rings as long as the queues say."""
        return tuple(map(int, re.findall(r"\d+", self.version)[:2])) >= QUEUE_TIMEOUTS


def look(settings: Settings) -> Condition:
    """Look at a fleet; nothing is changed.

    Raises:
        SettingsError: the database cannot be used.
        OtherVersion: it is of another version.
        SQLAlchemyError: it does not answer.
        BrokerRefuses: the broker lets nobody in.
        OperationalError: the broker does not answer.
    """
    database = Database(settings.database, as_it_is=True)
    try:
        with database.read() as tx:
            known = actors.everywhere(tx)
            present = nodes.present(tx)
            held = leases.held(tx)
    finally:
        database.close()
    served = {queue for node in present for queue in node["queues"] if not node["draining"]}
    names = {
        actor["id"]: bell.name_of(actor["id"], stateless=actor["stateless"]) for actor in known
    }
    version, lengths = bell.lengths_of(settings.broker, [*names.values(), bell.DEAD])
    return Condition(
        version=version,
        rings={actor_id: lengths.get(name, 0) for actor_id, name in names.items()},
        dead=lengths.get(bell.DEAD, 0),
        nodes=present,
        unserved=sorted({actor["queue"] for actor in known} - served),
        held=held["held"],
        expired=held["expired"],
    )
