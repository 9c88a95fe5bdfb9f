from __future__ import annotations

import pytest

from datacatalog.linkedstores.pipelinejob import TapisEvents

TABLE = {
    "resource": (
        "PENDING PROCESSING_INPUTS STAGING_INPUTS STAGING_JOB SUBMITTING_JOB QUEUED ARCHIVING "
        "BLOCKED PAUSED"
    ),
    "run": "RUNNING",
    "finish": "FINISHED",
    "fail": "FAILED CANCELLED",
}
PAIRS = [(status, event) for event, statuses in TABLE.items() for status in statuses.split()]
OTHERS = (
    "JOB_INPUT_TRANSACTION_ID JOB_ARCHIVE_TRANSACTION_ID JOB_SUBSCRIPTION JOB_SHARE_EVENT "
    "JOB_ERROR_MESSAGE JOB_USER_EVENT JOB_OF_A_LATER_VERSION"
)


@pytest.mark.parametrize(("status", "event"), PAIRS)
def test_a_status_in_any_case_is_its_event(status: str, event: str) -> None:
    event_type = f"jobs.JOB_NEW_STATUS.{status}"
    assert TapisEvents.process(event_type) == event
    assert TapisEvents.process(event_type.lower()) == event


@pytest.mark.parametrize("status", ["SOMETHING_NEW", "", "FINISHED.x", "."])
def test_another_status_says_what_the_platform_does_for_the_job(status: str) -> None:
    assert TapisEvents.process(f"jobs.JOB_NEW_STATUS.{status}") == "resource"


@pytest.mark.parametrize("category", OTHERS.split())
@pytest.mark.parametrize("detail", ["RUNNING", "FAILED", "anything"])
def test_every_other_category_is_an_update(category: str, detail: str) -> None:
    assert TapisEvents.process(f"jobs.{category}.{detail}") == "update"


@pytest.mark.parametrize("event_type", ["", "jobs", "jobs.", "FINISHED"])
def test_what_is_no_type_is_an_update(event_type: str) -> None:
    assert TapisEvents.process(event_type) == "update"


def test_the_table_has_nothing_else() -> None:
    assert TapisEvents.tapisjobs == dict(PAIRS)
