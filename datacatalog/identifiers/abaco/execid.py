"""The ids of executions."""

from datacatalog.identifiers.abaco.hashids import generate, validate

__all__ = ["generate", "validate"]
