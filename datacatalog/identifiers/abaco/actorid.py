"""The ids of actors."""

from datacatalog.identifiers.abaco.hashids import generate, mock, validate

__all__ = ["generate", "mock", "validate"]
