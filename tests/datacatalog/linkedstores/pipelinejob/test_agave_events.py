from __future__ import annotations

import pytest

from datacatalog.linkedstores.pipelinejob import AgaveEvents, TapisEvents

TABLE = {
    "resource": (
        "CREATED PERMISSION_GRANT PERMISSION_REVOKE PENDING STAGING_INPUTS CLEANING_UP ARCHIVING "
        "STAGING_JOB PAUSED QUEUED SUBMITTING STAGED PROCESSING_INPUTS ARCHIVING_FINISHED"
    ),
    "run": "RUNNING",
    "finish": "FINISHED",
    "fail": "FAILED STOPPED DELETED ARCHIVING_FAILED",
    "update": "KILLED HEARTBEAT UPDATED NO_SUCH_STATUS",
}
PAIRS = [(status, event) for event, statuses in TABLE.items() for status in statuses.split()]


@pytest.mark.parametrize(("status", "event"), PAIRS)
def test_a_status_in_any_case_is_its_event(status: str, event: str) -> None:
    assert AgaveEvents.process(status) == event
    assert AgaveEvents.process(status.lower()) == event
    assert AgaveEvents.process(status.title()) == event


@pytest.mark.parametrize("status", ["", "RUN", "finish", "RUNNING!", "ВЫПОЛНЕНО"])
def test_an_unknown_status_is_an_update(status: str) -> None:
    assert AgaveEvents.process(status) == "update"


@pytest.mark.parametrize("status", [None, 7, [], {}])
def test_what_is_no_status_is_an_update(status: object) -> None:
    assert (AgaveEvents.process(status), AgaveEvents.knows(status)) == ("update", False)
    assert TapisEvents.process(status) == "update"


def test_the_table_has_nothing_else() -> None:
    known = {status: event for status, event in PAIRS if status != "NO_SUCH_STATUS"}
    assert AgaveEvents.agavejobs == known
