"""Jobs as the actors that launch and follow them see them."""

from datacatalog.managers.common import Manager
from datacatalog.managers.pipelinejobs.exceptions import (
    InvalidRequest,
    ManagedPipelineJobError,
    StorageError,
)
from datacatalog.managers.pipelinejobs.instance import ManagedPipelineJobInstance
from datacatalog.managers.pipelinejobs.job import ManagedPipelineJob, ReactorManagedPipelineJob

__all__ = [
    "InvalidRequest",
    "ManagedPipelineJob",
    "ManagedPipelineJobError",
    "ManagedPipelineJobInstance",
    "Manager",
    "ReactorManagedPipelineJob",
    "StorageError",
]
