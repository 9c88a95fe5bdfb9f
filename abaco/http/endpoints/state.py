"""The state that an actor keeps between executions (docs/reference/abaco.md#state)."""

from __future__ import annotations

from abaco.exceptions import BadRequest, NotFound
from abaco.http.call import Call, Endpoint, Reply
from abaco.http.endpoints.actors import show
from abaco.store import actors
from abaco.store.permissions import READ, UPDATE
from abaco.workers import environment

_PATH = "/actors/{actor}/state"


def get(call: Call) -> Reply:
    """Return the state."""
    return Reply({"state": call.actor["state"]}, "Actor state retrieved successfully.")


def replace(call: Call) -> Reply:
    """Replace the state."""
    if call.actor["stateless"]:
        message = "actor is stateless."
        raise NotFound(message)
    state = call.content
    if not state:
        message = "Invalid actor state description: state must be JSON serializable."
        raise BadRequest(message)
    if not environment.fits(environment.STATE, str(state)):
        message = (
            "Invalid actor state description: a process cannot be given this state, which is "
            f"longer than {environment.MAX_BYTES} bytes or has a character that cannot be written in UTF-8."
        )
        raise BadRequest(message)
    with call.gateway.database.write() as tx:
        actors.change(tx, call.actor["id"], state=state)
    shown = show(call, {**call.actor, "state": state}, whole=not call.principal.nonce)
    return Reply(shown, "State updated successfully.")


ENDPOINTS = (
    Endpoint("GET", _PATH, get, READ, "Return the state of an actor", result="State"),
    Endpoint("POST", _PATH, replace, UPDATE, "Replace it", result="Actor", free_body=True),
)
