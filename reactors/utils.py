"""The names of `reactors.runtime`, for actors that import them from here."""

from reactors.clock import microseconds, utcnow
from reactors.runtime import Reactor, agaveutils

__all__ = ["Reactor", "agaveutils", "microseconds", "utcnow"]
