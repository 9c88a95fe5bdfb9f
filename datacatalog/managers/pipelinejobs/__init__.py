"""Jobs as the actors that launch and follow them see them."""

from datacatalog.managers.pipelinejobs.exceptions import ManagedPipelineJobError
from datacatalog.managers.pipelinejobs.instance import ManagedPipelineJobInstance
from datacatalog.managers.pipelinejobs.job import ManagedPipelineJob, ReactorManagedPipelineJob

__all__ = [
    "ManagedPipelineJob",
    "ManagedPipelineJobError",
    "ManagedPipelineJobInstance",
    "ReactorManagedPipelineJob",
]
