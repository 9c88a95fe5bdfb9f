"""Fixtures: the clients of a gateway."""

from tests.abaco.conftest import ada, admin

__all__ = ["ada", "admin"]
