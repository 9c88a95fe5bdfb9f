"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from abaco.store import actors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from abaco.readiness import Readiness
    from abaco.store.counts import ExecutionCounts
    from abaco.store.database import Database
    from abaco.workers.protocol import Counts

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class Metrics:
    """The counters of a gateway, and what is counted when they are read."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "abaco_requests",
            "Requests that were answered.",
            ("method", "path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "abaco_request_seconds",
            "Time until a request was answered.",
            ("method", "path"),
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self.dropped = Counter(
            "abaco_dropped_parameters",
            "URL parameters that a process does not get, since they could change how it runs.",
            registry=self._registry,
        )
        self.throttled = Counter(
            "abaco_throttled_messages",
            "Messages that were not taken, since too many of their sender had been refused.",
            registry=self._registry,
        )

        # to find them by their labels takes longer than to count
        self._of = functools.cache(self._find)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request that is answered.

        Args:
            method: of the endpoint.
            path: of the endpoint, with its braces.
            status: of the answer.
            seconds: that it took.
        """
        requests, durations = self._of(method, path, status)
        requests.inc()
        durations.observe(seconds)

    def _find(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        labels = (method, path)
        return self._requests.labels(*labels, status), self._seconds.labels(*labels)

    def register(self, collector: Collector) -> None:
        """Have something else counted as well."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Return all values in the text format."""
        return generate_latest(self._registry)


class State(Collector):
    """What the database and the engine say at the moment.

    Args:
        database: of the platform.
        executions: counts them.
        counts: asks the engine, from a thread that is not its own.
        readiness: whether messages can be accepted and run.
    """

    def __init__(
        self,
        database: Database,
        executions: ExecutionCounts,
        counts: Callable[[], Counts],
        readiness: Readiness,
    ) -> None:
        self._database = database
        self._counts = counts
        self._executions = executions
        self._readiness = readiness

    def describe(self) -> list[GaugeMetricFamily]:
        """Say nothing at registration, when there are no tables yet."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count."""
        yield GaugeMetricFamily(
            "abaco_ready",
            "1 while messages can be accepted and run.",
            value=self._readiness.reason() is None,
        )
        with self._database.read() as tx:
            of_actors, of_executions = actors.count(tx), self._executions.by_status(tx)
        for noun, counts in (("actors", of_actors), ("executions", of_executions)):
            family = GaugeMetricFamily(
                f"abaco_{noun}", f"{noun.title()} by status.", labels=["status"]
            )
            for status, number in sorted(counts.items()):
                family.add_metric([status], number)
            yield family
        postponed, busy = self._counts()
        yield GaugeMetricFamily(
            "abaco_messages_postponed",
            "Messages that could not be handled yet, and are tried again.",
            value=postponed,
        )
        yield GaugeMetricFamily("abaco_workers_busy", "Workers that run a message.", value=busy)
