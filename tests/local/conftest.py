"""Fixtures: the command line, as its own tests run it."""

from __future__ import annotations

from tests.pipelinejobs.conftest import bare, connections, elsewhere

__all__ = ["bare", "connections", "elsewhere"]
