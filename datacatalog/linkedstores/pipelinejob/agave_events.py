"""From the statuses of Agave and Aloe jobs to events.

The rules are in docs/reference/jobs.md#statuses-of-platforms.
"""

from __future__ import annotations

from typing import ClassVar

_EVENTS = {
    "run": "RUNNING",
    "finish": "FINISHED",
    "fail": "FAILED STOPPED DELETED ARCHIVING_FAILED",
    "update": "KILLED HEARTBEAT UPDATED",
    "resource": (
        "CREATED PERMISSION_GRANT PERMISSION_REVOKE PENDING STAGING_INPUTS CLEANING_UP ARCHIVING "
        "STAGING_JOB PAUSED QUEUED SUBMITTING STAGED PROCESSING_INPUTS ARCHIVING_FINISHED"
    ),
}


class AgaveEvents:
    """The mapping, as a table and as a function."""

    agavejobs: ClassVar[dict[str, str]] = {
        status: event for event, statuses in _EVENTS.items() for status in statuses.split()
    }

    @classmethod
    def process(cls, status: object) -> str:
        """Return the event of a platform status in any case; `update` for an unknown one."""
        return cls.agavejobs.get(str(status).strip().upper(), "update")

    @classmethod
    def knows(cls, status: object) -> bool:
        """Tell whether a platform has such a status, in any case."""
        return str(status).strip().upper() in cls.agavejobs
