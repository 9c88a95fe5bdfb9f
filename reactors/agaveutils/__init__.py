"""Helpers for the addresses of Agave."""

from reactors.agaveutils.uri import from_agave_uri, to_agave_uri

__all__ = ["from_agave_uri", "to_agave_uri"]
