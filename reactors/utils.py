"""The names of `reactors.runtime`, for actors that import them from here."""

from reactors.runtime import Reactor, agaveutils, logtypes, microseconds, process, utcnow

__all__ = ["Reactor", "agaveutils", "logtypes", "microseconds", "process", "utcnow"]
