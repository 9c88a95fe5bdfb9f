"""Managers: several stores put together for one purpose."""

from typing import TYPE_CHECKING

from datacatalog import importing

if not TYPE_CHECKING:
    __getattr__ = importing(__name__)
