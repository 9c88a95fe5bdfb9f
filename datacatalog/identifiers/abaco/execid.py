"""The ids of executions."""

from datacatalog.identifiers.abaco.hashids import generate, mock, validate

__all__ = ["generate", "mock", "validate"]
