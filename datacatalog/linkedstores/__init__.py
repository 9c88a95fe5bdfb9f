"""Stores: the only place that talks to MongoDB, one module for each kind of document."""

from typing import TYPE_CHECKING

from datacatalog import importing

if not TYPE_CHECKING:
    __getattr__ = importing(__name__)
