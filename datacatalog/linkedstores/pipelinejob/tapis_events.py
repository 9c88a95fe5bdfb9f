"""From what Tapis v3 says about its jobs to events.

The rules are in docs/reference/tapis.md#from-a-notification-to-an-event.
"""

from __future__ import annotations

from typing import ClassVar

_EVENTS = {
    "run": "RUNNING",
    "finish": "FINISHED",
    "fail": "FAILED CANCELLED",
    "resource": (
        "PENDING PROCESSING_INPUTS STAGING_INPUTS STAGING_JOB SUBMITTING_JOB QUEUED ARCHIVING "
        "BLOCKED PAUSED"
    ),
}


class TapisEvents:
    """The mapping, as a table of statuses and as a function."""

    tapisjobs: ClassVar[dict[str, str]] = {
        status: event for event, statuses in _EVENTS.items() for status in statuses.split()
    }
    new_status: ClassVar[str] = "JOB_NEW_STATUS"
    """the category that tells a status"""

    @classmethod
    def process(cls, event_type: object) -> str:
        """Return the event of a type such as `jobs.JOB_NEW_STATUS.RUNNING`, in any case.

        That is `update` for every category but `JOB_NEW_STATUS`, and `resource` for a status that
        is not in the table.
        """
        _, category, detail = [*str(event_type).strip().upper().split(".", 2), "", ""][:3]
        return cls.tapisjobs.get(detail, "resource") if category == cls.new_status else "update"
