"""Abaco ids, of actors, executions and nonces."""

from datacatalog.identifiers.abaco import actorid, execid, nonceid
from datacatalog.identifiers.abaco.hashids import HASHIDS_SALT, generate, validate

__all__ = ["HASHIDS_SALT", "actorid", "execid", "generate", "nonceid", "validate"]
