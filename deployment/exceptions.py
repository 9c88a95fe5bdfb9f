"""Errors of the deployment."""

from __future__ import annotations


class DeploymentError(Exception):
    """It was not done; the text says why, and what to do."""


class Missing(DeploymentError):
    """The tenant has no such thing."""
