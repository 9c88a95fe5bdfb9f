"""Fixtures: a gateway for the tests of a module, and clients of it."""

from tests.abaco.conftest import ada, admin, gateway, stranger
from tests.manager.conftest import actor

__all__ = ["actor", "ada", "admin", "gateway", "stranger"]
