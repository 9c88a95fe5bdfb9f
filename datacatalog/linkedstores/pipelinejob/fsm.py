"""The state machine of a job (docs/reference/jobs.md#states-and-events)."""

from __future__ import annotations

from typing import NamedTuple

from datacatalog.linkedstores.pipelinejob.exceptions import EventRefused

STATES = {
    "CREATED": "inputs and configuration are defined",
    "RUNNING": "processing",
    "FAILED": "did not complete",
    "FINISHED": "done, outputs are archived",
    "INDEXING": "outputs are being associated with metadata",
    "VALIDATING": "outputs are being assessed",
    "VALIDATED": "outputs are correct",
    "REJECTED": "outputs are invalid",
    "FINALIZED": "validated and ready for use",
    "RETIRED": "no longer to be used",
    "RESET": "being reset for another run",
}
FIRST_STATE = "CREATED"
FIRST_EVENT = "create"


class Transition(NamedTuple):
    """Where an event leads: from any of `sources` to `target`, or nowhere else if that is None."""

    sources: frozenset[str]
    target: str | None
    administrative: bool = False


def _from(*sources: str, to: str | None, administrative: bool = False) -> Transition:
    return Transition(frozenset(sources), to, administrative)


TRANSITIONS = {
    "create": _from("CREATED", to="CREATED"),
    "run": _from("CREATED", "RUNNING", to="RUNNING"),
    "update": _from("CREATED", "RUNNING", "VALIDATING", "INDEXING", to=None),
    "resource": _from("CREATED", "RUNNING", to=None),
    "fail": _from("CREATED", "RUNNING", "VALIDATING", "INDEXING", to="FAILED"),
    "finish": _from("RUNNING", "FINISHED", to="FINISHED"),
    "index": _from("INDEXING", "FINISHED", to="INDEXING"),
    "indexed": _from("FINISHED", "INDEXING", to="FINISHED"),
    "validate": _from("FINISHED", "VALIDATED", to="VALIDATING"),
    "validated": _from("VALIDATED", "VALIDATING", to="VALIDATED"),
    "reject": _from("VALIDATING", to="REJECTED"),
    "finalize": _from("VALIDATED", to="FINALIZED"),
    "retire": _from(
        "FAILED", "FINALIZED", "FINISHED", "REJECTED", "VALIDATING", "VALIDATED", to="RETIRED"
    ),
    "reset": _from(*STATES, to="RESET", administrative=True),
    "ready": _from("RESET", to="CREATED", administrative=True),
}
EVENTS = tuple(TRANSITIONS)
MESSAGE_EVENTS = tuple(event for event in EVENTS if event != FIRST_EVENT)


def allowed_events(state: str) -> list[str]:
    """Return the events that a message may bring in a state, in the order of `EVENTS`."""
    return [event for event in MESSAGE_EVENTS if state in TRANSITIONS[event].sources]


def next_state(state: str, event: str) -> str:
    """Return the state that an event leads to.

    Raises:
        KeyError: there is no such event.
        EventRefused: the state does not allow it.
    """
    transition = TRANSITIONS[event]
    if state not in transition.sources:
        raise EventRefused(event, state, allowed_events(state))
    return transition.target or state
