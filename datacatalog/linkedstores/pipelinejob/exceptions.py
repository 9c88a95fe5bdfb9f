"""Errors of jobs.

CatalogUpdateFailure
└── JobError
    ├── JobCreateFailure
    ├── JobUpdateFailure
    │   ├── EventRefused
    │   ├── EventConflict
    │   └── LateDelivery
    ├── DuplicateJobError
    ├── UnknownPipeline
    ├── UnknownJob
    └── UnknownRejection
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.exceptions import CatalogUpdateFailure

if TYPE_CHECKING:
    import datetime


class JobError(CatalogUpdateFailure):
    """Something about a job is wrong."""


class JobCreateFailure(JobError):
    """The job was not created."""


class JobUpdateFailure(JobError):
    """The job was not changed."""


class EventRefused(JobUpdateFailure):
    """The state machine does not allow the event in the job's state."""

    def __init__(self, event: str, state: str, allowed: list[str]) -> None:
        self.event, self.state, self.allowed = event, state, allowed
        super().__init__(
            f"{event} event: not allowed in state {state}, which allows only {', '.join(allowed)}"
        )


class EventConflict(JobUpdateFailure):
    """Another event was applied under the same idempotency key."""

    def __init__(self, event: str, applied: str) -> None:
        self.event, self.applied = event, applied
        super().__init__(self.known_by("event_id or execution id"))

    def known_by(self, key: str) -> str:
        """Return the text, for an event whose key is called so."""
        return (
            f"{self.event} event: its {key} already stands for "
            f"another event ({self.applied}) of this job: give each event an id of its own"
        )


class LateDelivery(JobUpdateFailure):
    """The event belongs to what the job did before it was reset."""

    def __init__(self, event: str, began: datetime.datetime | None, what: str) -> None:
        self.what = what
        moment = "" if began is None else f" of {began:%Y-%m-%dT%H:%M:%SZ}"
        super().__init__(f"{event} event: a late delivery: {what} before the job's reset{moment}")


class DuplicateJobError(JobError):
    """There is such a job already."""


class UnknownPipeline(JobError):
    """There is no such pipeline."""


class UnknownJob(JobError):
    """There is no such job, or it is hidden."""


class UnknownRejection(JobError):
    """No event was refused under this id, or it was applied since."""
