"""Errors of managed jobs."""

from __future__ import annotations


class ManagedPipelineJobError(Exception):
    """The managed job could not do what was asked."""
