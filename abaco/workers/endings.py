"""What executions begin and end with in the database: facts about the actor, and its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from abaco import clock, events
from abaco.store import actors, aliases, configs, executions

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from abaco.store.rows import Actor, Begun


NOT_TAKEN = "the execution has ended, but its log and results cannot be stored"


class ActorFacts(NamedTuple):
    """What an execution has to know about its actor."""

    actor: Actor
    configs: dict[str, str]


def facts_of(tx: Connection, actor_id: str) -> ActorFacts | None:
    """Return an actor with its configs; None if it is gone."""
    actor = actors.get(tx, actor_id)
    if actor is None:
        return None
    names = {actor["id"], *aliases.of_actor(tx, actor["tenant"], actor["id"])}
    return ActorFacts(actor, configs.for_actor(tx, actor["tenant"], names))


class End(NamedTuple):
    """The end of an execution with its results, and the event that tells of it."""

    end: executions.End
    actor: Actor
    api_server: str
    results: executions.Results | None = None

    @classmethod
    def write(cls, tx: Connection, ends: Sequence[End]) -> list[executions.Accepted | None]:
        """End executions; return the message that each brings a linked actor."""
        executions.Results.write(tx, [each.results for each in ends if each.results])
        executions.End.write(tx, [each.end for each in ends])
        return [each.emit(tx) for each in ends]

    def without_what_was_refused(self) -> End:
        """Return the end in status ERROR of an execution whose own end the database will never take."""
        end = self.end
        state = final_state(
            end.execution,
            end.finish_time,
            0 if end.exit_code is None else end.exit_code,
            NOT_TAKEN,
            out_of_memory=False,
        )
        bare = end._replace(
            status=executions.ERROR, log="", runtime=0, cpu=0, io=0, final_state=state
        )
        return self._replace(end=bare)

    def emit(self, tx: Connection) -> executions.Accepted | None:
        """Tell the actor's link and webhook, where it has them."""
        end = self.end
        facts = {"execution_id": end.execution["id"], "status": end.status}
        outcome = {} if end.exit_code is None else {"exit_code": end.exit_code}
        kind = events.EXECUTION_COMPLETE
        return events.emit(tx, self.actor, kind, self.api_server, **facts, **outcome)


def final_state(
    execution: Begun,
    moment: datetime.datetime,
    exit_code: int,
    problem: str,
    *,
    out_of_memory: bool,
) -> dict[str, Any]:
    """Return what docker says of a container that has ended."""
    return {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": out_of_memory,
        "Dead": False,
        "Pid": 0,
        "ExitCode": exit_code,
        "Error": problem,
        "StartedAt": clock.iso(execution["start_time"]),
        "FinishedAt": clock.iso(moment),
    }
