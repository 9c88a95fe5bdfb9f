"""The place that older actors import `JobManager` from."""

from datacatalog.managers.pipelinejobs.instance import JobManager

__all__ = ["JobManager"]
