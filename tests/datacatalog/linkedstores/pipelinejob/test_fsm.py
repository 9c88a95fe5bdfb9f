from __future__ import annotations

import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused, fsm

STATE_NAMES = """
    CREATED RUNNING FAILED FINISHED INDEXING VALIDATING VALIDATED REJECTED FINALIZED RETIRED RESET
"""
STATES = STATE_NAMES.split()
TABLE = """
    create     CREATED                                                         CREATED
    run        CREATED,RUNNING                                                 RUNNING
    update     CREATED,RUNNING,VALIDATING,INDEXING                             same
    resource   CREATED,RUNNING                                                 same
    fail       CREATED,RUNNING,VALIDATING,INDEXING                             FAILED
    finish     RUNNING,FINISHED                                                FINISHED
    index      INDEXING,FINISHED                                               INDEXING
    indexed    FINISHED,INDEXING                                               FINISHED
    validate   FINISHED,VALIDATED                                              VALIDATING
    validated  VALIDATED,VALIDATING                                            VALIDATED
    reject     VALIDATING                                                      REJECTED
    finalize   VALIDATED                                                       FINALIZED
    retire     FAILED,FINALIZED,FINISHED,REJECTED,VALIDATING,VALIDATED         RETIRED
    reset      any                                                             RESET
    ready      RESET                                                           CREATED
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]
EVENTS = [event for event, _, _ in ROWS]
LEADS_TO = {
    (state, event): state if target == "same" else target
    for event, sources, target in ROWS
    for state in (STATES if sources == "any" else sources.split(","))
}


def test_there_are_11_states_and_15_events() -> None:
    assert sorted(fsm.STATES) == sorted(STATES)
    assert sorted(fsm.EVENTS) == sorted(EVENTS)
    assert (len(STATES), len(EVENTS)) == (11, 15)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_an_event_leads_where_the_table_says(state: str, event: str) -> None:
    if (state, event) in LEADS_TO:
        assert fsm.next_state(state, event) == LEADS_TO[state, event]
        return
    with pytest.raises(EventRefused) as refused:
        fsm.next_state(state, event)
    shown = str(refused.value)
    possible = [e for e in EVENTS if (state, e) in LEADS_TO and e != "create"]
    assert shown.startswith(f"{event} event: not allowed in state {state}, which allows only ")
    named = shown.split(" allows only ")[1].split(", ")
    assert sorted(named) == sorted(possible)


@pytest.mark.parametrize("state", STATES)
def test_the_events_allowed_in_a_state_are_those_of_the_table(state: str) -> None:
    expected = {event for event in EVENTS if (state, event) in LEADS_TO and event != "create"}
    assert set(fsm.allowed_events(state)) == expected


def test_only_reset_and_ready_are_administrative() -> None:
    administrative = {name for name, way in fsm.TRANSITIONS.items() if way.administrative}
    assert administrative == {"reset", "ready"}


def test_no_message_creates_a_job_by_an_event() -> None:
    assert set(fsm.MESSAGE_EVENTS) == set(EVENTS) - {"create"}


def test_an_unknown_event_is_an_error() -> None:
    with pytest.raises(KeyError):
        fsm.next_state("CREATED", "explode")
