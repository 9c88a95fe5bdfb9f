"""Jobs: their states, their events, their store."""

from datacatalog.linkedstores.pipelinejob import exceptions, fsm
from datacatalog.linkedstores.pipelinejob.agave_events import AgaveEvents
from datacatalog.linkedstores.pipelinejob.appending import Applied, Event, Uncertain
from datacatalog.linkedstores.pipelinejob.exceptions import (
    DuplicateJobError,
    EventConflict,
    EventRefused,
    JobCreateFailure,
    JobError,
    JobUpdateFailure,
    LateDelivery,
    UnknownJob,
    UnknownPipeline,
    UnknownRejection,
)
from datacatalog.linkedstores.pipelinejob.heads import Outdated
from datacatalog.linkedstores.pipelinejob.store import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.tapis_events import TapisEvents

__all__ = [
    "AgaveEvents",
    "Applied",
    "DuplicateJobError",
    "Event",
    "EventConflict",
    "EventRefused",
    "JobCreateFailure",
    "JobError",
    "JobUpdateFailure",
    "LateDelivery",
    "Outdated",
    "PipelineJobStore",
    "TapisEvents",
    "Uncertain",
    "UnknownJob",
    "UnknownPipeline",
    "UnknownRejection",
    "exceptions",
    "fsm",
]
