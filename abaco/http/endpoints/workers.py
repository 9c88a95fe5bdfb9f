"""Endpoints for the workers of an actor (docs/reference/abaco.md#workers)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from abaco import clock
from abaco.exceptions import BadRequest, NotFound
from abaco.http.arguments import Argument
from abaco.http.call import ADMIN, NONCE, Call, Endpoint, Reply
from abaco.http.endpoints import search
from abaco.store import actors, executions
from abaco.store.permissions import READ, UPDATE
from abaco.workers.scaling import most_of

if TYPE_CHECKING:
    from abaco.workers.protocol import WorkerFacts

_PATH = "/actors/{actor}/workers"
_ONE = f"{_PATH}/{{worker}}"


def list_workers(call: Call) -> Reply:
    """List the workers of an actor; with parameters, search among them."""
    if any(name != NONCE for name in call.parameters):
        return search.search_in(call, "workers")
    found = call.gateway.workers_of(call.actor["id"])
    return Reply([_show(worker) for worker in found], "Workers retrieved successfully.")


def add(call: Call) -> Reply:
    """Ensure that an actor has at least a number of workers."""
    actor = call.actor
    wanted = call.arguments.get("num", 1)
    most = most_of(actor, call.gateway.settings.limits.workers)
    if not 1 <= wanted <= most:
        message = f"Invalid worker description: num must be from 1 to {most} for this actor."
        raise BadRequest(message)
    before = sum(not worker.retired for worker in call.gateway.workers_of(actor["id"]))
    if before >= wanted:
        return Reply(None, f"Actor {actor['id']} already had {wanted} worker(s).")
    with call.gateway.database.write() as tx:
        actors.change(tx, actor["id"], wanted_workers=wanted)
    call.gateway.on_loop(call.gateway.engine.adopt(actor["id"]))
    message = (
        f"Scheduled {wanted - before} new worker(s) to start. "
        f"Previously, there were {before} workers."
    )
    return Reply(None, message)


def get(call: Call) -> Reply:
    """Return a worker."""
    return Reply(_show(_find(call)), "Worker retrieved successfully.")


def stop(call: Call) -> Reply:
    """End a worker after its current message; the last one comes back if there are more."""
    worker = _find(call)
    actor = call.actor
    with call.gateway.database.write() as tx:
        actors.change(tx, actor["id"], wanted_workers=max(1, actor["wanted_workers"] - 1))
    call.gateway.on_loop(call.gateway.engine.retire(actor["id"], worker.id))
    with call.gateway.database.read() as tx:
        waiting = executions.waiting(tx, actor["id"])
    if waiting:
        call.gateway.wake(actor["id"])
    return Reply(None, "Worker scheduled to be stopped.")


def _find(call: Call) -> WorkerFacts:
    for worker in call.gateway.workers_of(call.actor["id"]):
        if worker.id == call.path["worker"]:
            return worker
    message = "Worker not found."
    raise NotFound(message)


def _show(worker: WorkerFacts) -> dict[str, Any]:
    last = worker.last_execution_time
    return {
        "id": worker.id,
        "status": worker.status,
        "tenant": worker.tenant,
        "createTime": clock.iso(worker.create_time),
        "lastExecutionTime": clock.iso(last) if last else "None",
        "lastHealthCheckTime": "None",
        "image": worker.image,
        "chName": f"worker_{worker.id}",
        **_place(worker),
    }


def _place(worker: WorkerFacts) -> dict[str, str]:
    """Return where the container of the present message is."""
    place = {"location": worker.location, "cid": worker.cid}
    return {name: value for name, value in place.items() if value}


ENDPOINTS = (
    Endpoint(
        "GET",
        _PATH,
        list_workers,
        READ,
        "List workers, or search among them where there are parameters",
        result="WorkersOrSearch",
        parameters=search.PARAMETERS,
        scans=True,
    ),
    Endpoint(
        "POST",
        _PATH,
        add,
        ADMIN,
        "Ensure a number of workers",
        thing="worker",
        arguments=(Argument("num", "integer", "The number of workers to ensure."),),
    ),
    Endpoint("GET", _ONE, get, READ, "Return a worker", result="Worker"),
    Endpoint("DELETE", _ONE, stop, UPDATE, "End a worker after its current message"),
)
