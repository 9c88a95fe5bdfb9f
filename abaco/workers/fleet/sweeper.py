"""Makes up for what is lost: a ring that nobody heard, a node that is gone."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from abaco import clock
from abaco.store import actors, executions, leases, locks, nodes, notices
from abaco.workers import endings
from abaco.workers.fate import MAX_ATTEMPTS
from abaco.workers.fleet.bell import PREPARE, RUN, Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from abaco.store.database import Database
    from abaco.store.rows import Begun, Execution
    from abaco.workers.fleet.bell import Bell

_KILLED = 137
DELETION_SECONDS = 30.0
"""After which a DELETE has ended, or the gateway that was asked for it."""

_logger = logging.getLogger(__name__)


class Sweeper:
    """Looks now and then; of all gateways and nodes, one does.

    Args:
        database: of the platform.
        bell: is rung.
        api_server: returns the base URL that an actor of a tenant is told.
        log_seconds: how long the log of an execution is kept that is given up.
    """

    def __init__(
        self,
        database: Database,
        bell: Bell,
        api_server: Callable[[str], str],
        log_seconds: int,
    ) -> None:
        self._database = database
        self._bell = bell
        self._api_server = api_server
        self._log_seconds = log_seconds
        self._deleted: dict[str, float] = {}
        """since when actors are being deleted, as far as is known here, by the monotonic clock"""

    def sweep(self) -> None:
        """Look once.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        events: list[Ring] = []
        rings: list[Ring] = []
        gone: list[str] = []
        is_away = self._bell.is_away
        with self._database.write() as tx:
            # not longer than that: who sweeps may be cut off, too
            if not locks.take_within(tx, locks.SWEEPER):
                return
            if not locks.is_free(tx, locks.ONLY_GATEWAY):
                # what it runs has no lease, and a holder nevertheless
                return
            for lost in leases.expired(tx):
                self._settle(tx, lost, events)
            nodes.forget_silent(tx)
            if not is_away:
                # another may have a broker that answers: what is noted as rung, it does not ring for
                rings = _unheard(tx)
                gone = self._finish_deletions(tx)
        for ring in events:
            self._bell.ring(ring)
        self._bell.ring_again(rings)
        for actor_id in gone:
            self._bell.remove(actor_id)
        if is_away:
            self._bell.knock()

    def _finish_deletions(self, tx: Connection) -> list[str]:
        """Remove the actors that a gateway began to remove and is gone; return their ids."""
        now, found = time.monotonic(), actors.deleted(tx)
        self._deleted = {actor["id"]: self._deleted.get(actor["id"], now) for actor in found}
        left = [actor for actor in found if now - self._deleted[actor["id"]] >= DELETION_SECONDS]
        for actor in left:
            _logger.warning("actor %s was not deleted to the end, and is now", actor["id"])
            for execution_id in executions.abandon(tx, actor["id"]):
                notices.tell(tx, notices.ENDED, execution_id)
            actors.remove(tx, actor)
            notices.tell(tx, notices.ACTORS)
        return [actor["id"] for actor in left]

    def _settle(self, tx: Connection, lost: Execution, rings: list[Ring]) -> None:
        actor = actors.get(tx, lost["actor_id"])
        if actor is None:
            return
        attempts = lost["attempts"] + 1
        if attempts < MAX_ATTEMPTS:
            _logger.warning("execution %s has no holder any more, and starts again", lost["id"])
            leases.give_back(tx, lost["sequence"], lost["id"], attempts, lost["tries"])
            return
        moment = clock.now()
        execution: Begun = {
            "id": lost["id"],
            "actor_id": lost["actor_id"],
            "tenant": lost["tenant"],
            "worker_id": lost["worker_id"],
            "start_time": lost["start_time"] or moment,
        }
        end = executions.End(
            execution=execution,
            status=executions.COMPLETE,
            log=f"[abaco] the process was killed from outside, {attempts} times\n",
            log_seconds=self._log_seconds,
            runtime=0,
            cpu=0,
            io=0,
            exit_code=_KILLED,
            final_state=endings.final_state(execution, moment, _KILLED, "", out_of_memory=False),
            finish_time=moment,
        )
        (linked,) = endings.End.write(
            tx, [endings.End(end, actor, self._api_server(actor["tenant"]))]
        )
        if linked is not None:
            rings.append(ring_for(tx, linked))
        notices.tell(tx, notices.ENDED, lost["id"])


def _unheard(tx: Connection) -> list[Ring]:
    """Return what is to be rung for again, and note that it is."""
    rings = [
        Ring(RUN, execution_id, actor_id, stateless)
        for actor_id, execution_id, stateless in leases.unheard(tx)
    ]
    return rings + [
        Ring(PREPARE, actor["id"], actor["id"], actor["stateless"])
        for actor in actors.submitted(tx)
    ]


def ring_for(tx: Connection, accepted: executions.Accepted) -> Ring:
    """Return the ring for a message that was accepted in a transaction."""
    actor_id = accepted.submission.actor_id
    actor = actors.get(tx, actor_id)
    stateless = actor is None or bool(actor["stateless"])
    return Ring(RUN, accepted.execution_id, actor_id, stateless)
