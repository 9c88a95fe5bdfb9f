"""Endpoints for executions, their logs and results (docs/reference/abaco.md#executions)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from abaco.exceptions import BadRequest
from abaco.http import envelope
from abaco.http.call import NONCE, Call, Endpoint, Reply
from abaco.http.endpoints import search
from abaco.store import executions
from abaco.store.executions import BINARY, RUNNING
from abaco.store.permissions import READ, UPDATE

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from abaco.store.rows import Execution

MAX_LISTED = 10_000
"""As many as a search returns: all that there ever were may be more than memory has room for."""
_PATH = "/actors/{actor}/executions"
_ONE = f"{_PATH}/{{execution}}"


def list_executions(call: Call) -> Reply:
    """List the newest executions of an actor, oldest first; with parameters, search among all of them."""
    if any(name != NONCE for name in call.parameters):
        return search.search_in(call, "executions")
    actor = call.actor
    with call.gateway.database.read() as tx:
        found = executions.newest_of(tx, actor["id"], MAX_LISTED)
        totals = executions.totals(tx, actor["id"])
    result = {
        "actorId": actor["id"],
        "apiServer": call.gateway.api_server(call.tenant),
        "owner": actor["owner"],
        "totalExecutions": totals["executions"],
        "totalCpu": int(totals["cpu"]),
        "totalIo": int(totals["io"]),
        "totalRuntime": int(totals["runtime"]),
        "executions": [envelope.show(execution, missing=True) for execution in found],
        "_links": {
            "self": call.link(actor["id"], "executions"),
            "owner": call.profile(actor["owner"]),
        },
    }
    return Reply(result, "Actor executions retrieved successfully.")


def get(call: Call) -> Reply:
    """Return an execution."""
    execution = _find(call)
    result = {
        **envelope.show(execution, without=executions.PRIVATE, missing=call.snake),
        "apiServer": call.gateway.api_server(call.tenant),
        "_links": _links(call, execution),
    }
    return Reply(result, "Actor execution retrieved successfully.")


def stop(call: Call) -> Reply:
    """Force an execution to end: its process is asked, and killed where it goes on.

    The message of one that could not be handled yet is dropped; it ends in status ERROR.
    """
    execution = _find(call)
    execution_id, engine = execution["id"], call.gateway.engine
    if call.gateway.on_loop(engine.drop_postponed(call.actor["id"], execution_id)):
        return Reply(None, f"Dropped the message of execution {execution_id}.")
    if not call.gateway.on_loop(engine.stop_execution(execution_id)):
        status = _find(call)["status"]
        message = (
            "Cannot force quit an execution not in RUNNING status. "
            f"Execution was found in status: {status}"
        )
        raise BadRequest(message)
    return Reply(None, f"Issued force quit command for execution {execution_id}.")


def logs(call: Call) -> Reply:
    """Return what an execution has written, also while it runs."""
    execution = _find(call)
    text = None
    if execution["status"] == RUNNING:
        text = call.gateway.on_loop(call.gateway.engine.live_log(execution["id"]))
    if text is None:
        with call.gateway.database.read() as tx:
            text = executions.log_of(tx, execution["id"])
    links = _links(call, execution)
    links = {"self": links["logs"], "owner": links["owner"], "execution": links["self"]}
    return Reply({"logs": text, "_links": links}, "Logs retrieved successfully.")


def result(call: Call) -> Response:
    """Take the oldest result of an execution; the body is empty where there is none.

    A result may hold a secret for whoever sent the message. Nobody else gets it but those who may
    change the actor, who get it anyway.
    """
    with call.gateway.database.write() as tx:
        execution = executions.find(tx, call.actor["id"], call.path["execution"])
        if execution is not None and not _may_take(tx, call, execution):
            message = (
                "Not authorized -- the results of an execution are for the sender of its message, "
                "with the same nonce if it was sent with one."
            )
            raise BadRequest(message)
        body = executions.pop_result(tx, call.actor["id"], call.path["execution"])
    return Response(body or b"", media_type=BINARY)


def _may_take(tx: Connection, call: Call, execution: Execution) -> bool:
    principal = call.principal
    if execution["sender"] == principal.author:
        return True
    if principal.nonce:
        return False
    return call.may(tx, UPDATE, call.actor["id"])


def _find(call: Call) -> Execution:
    actor_id, execution_id = call.actor["id"], call.path["execution"]
    gateway = call.gateway
    with gateway.database.read() as tx:
        execution = executions.find(tx, actor_id, execution_id)
    if execution is None and gateway.on_loop(gateway.engine.write_down(execution_id)):
        # it asks for itself
        with gateway.database.read() as tx:
            execution = executions.find(tx, actor_id, execution_id)
    if execution is None:
        message = (
            f"No executions found with actor id of {actor_id} and "
            f"execution id of {execution_id:.100}."
        )
        raise BadRequest(message)
    return execution


def _links(call: Call, execution: Execution) -> dict[str, str]:
    parts = (call.actor["id"], "executions", execution["id"])
    return {
        "self": call.link(*parts),
        "owner": call.profile(call.actor["owner"]),
        "logs": call.link(*parts, "logs"),
    }


ENDPOINTS = (
    Endpoint(
        "GET",
        _PATH,
        list_executions,
        READ,
        "List executions, or search among them where there are parameters",
        result="ExecutionsOrSearch",
        parameters=search.PARAMETERS,
        scans=True,
    ),
    Endpoint("GET", _ONE, get, READ, "Return an execution", result="Execution"),
    Endpoint("DELETE", _ONE, stop, UPDATE, "Force a running execution to end"),
    Endpoint("GET", f"{_ONE}/logs", logs, READ, "Return a log", result="Log"),
    Endpoint(
        "GET",
        f"{_ONE}/results",
        result,
        READ,
        "Take the oldest result",
        raw=(BINARY,),
        takes=True,
    ),
)
