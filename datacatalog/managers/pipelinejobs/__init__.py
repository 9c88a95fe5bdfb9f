"""Jobs as the actors that launch and follow them see them."""

from datacatalog.managers.common import Manager
from datacatalog.managers.pipelinejobs.exceptions import (
    IndexingError,
    InvalidRequest,
    ManagedPipelineJobError,
    NotStored,
    StorageError,
    StorageRefusal,
    UnknownInstance,
)
from datacatalog.managers.pipelinejobs.instance import JobManager, ManagedPipelineJobInstance
from datacatalog.managers.pipelinejobs.job import ManagedPipelineJob, ReactorManagedPipelineJob

__all__ = [
    "IndexingError",
    "InvalidRequest",
    "JobManager",
    "ManagedPipelineJob",
    "ManagedPipelineJobError",
    "ManagedPipelineJobInstance",
    "Manager",
    "NotStored",
    "ReactorManagedPipelineJob",
    "StorageError",
    "StorageRefusal",
    "UnknownInstance",
]
