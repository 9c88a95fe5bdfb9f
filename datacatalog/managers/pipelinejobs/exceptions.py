"""Errors of managed jobs.

ManagedPipelineJobError
├── StorageError
└── InvalidRequest
"""

from __future__ import annotations


class ManagedPipelineJobError(Exception):
    """The managed job could not do what was asked."""


class StorageError(ManagedPipelineJobError):
    """A storage system did not do what was asked."""


class InvalidRequest(ManagedPipelineJobError):
    """What is to be indexed is not said in a way that makes sense."""
