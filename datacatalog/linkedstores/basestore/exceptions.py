"""Errors of stores.

CatalogError
└── CatalogUpdateFailure
    ├── PipelineCreateFailure, PipelineUpdateFailure   (linkedstores.pipeline)
    └── JobError                                       (linkedstores.pipelinejob.exceptions)
"""

from __future__ import annotations


class CatalogError(Exception):
    """The catalog could not do what was asked."""


class CatalogUpdateFailure(CatalogError):
    """A document was not written."""
