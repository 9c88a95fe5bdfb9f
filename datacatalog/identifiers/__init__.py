"""Identifiers: typed UUIDs, Abaco and Agave ids, session names."""

from typing import TYPE_CHECKING

from datacatalog import importing

if not TYPE_CHECKING:
    __getattr__ = importing(__name__)
