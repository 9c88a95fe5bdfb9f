"""What `/metrics` says of jobs and of subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from datacatalog import mongo
from datacatalog.linkedstores.statistics.sums import RUN, bound
from manager.exceptions import InvalidSettings
from pipelinejobs import subscribing
from pipelinejobs.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelinejobs.backend import Backend

SECONDS = 2.0
"""For all questions to the database; without it, nothing is said of jobs and subscriptions."""
_LABEL = ["subscription"]
_PIPELINE = ["pipeline", "name"]
_EDGES = range(0, 300, 12)
"""Buckets of durations that `/metrics` has: each reaches three times as far as the one before."""


class Measures(Collector):
    """How it goes with the jobs and the subscriptions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def describe(self) -> list[Metric]:
        """Say nothing at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read how it goes."""
        for read in (_jobs, _subscriptions):
            try:
                with mongo.within(SECONDS):
                    found = read(self._backend)
            except (mongo.DatabaseError, CommandError, InvalidSettings):
                continue
            yield from found


def _jobs(backend: Backend) -> list[Metric]:
    """Return what was counted: it costs the same for few jobs as for many."""
    jobs = GaugeMetricFamily(
        "pipelinejobs_jobs", "Jobs in a state, hidden ones too.", labels=[*_PIPELINE, "state"]
    )
    events = CounterMetricFamily(
        "pipelinejobs_events", "Events that jobs have had.", labels=[*_PIPELINE, "event"]
    )
    refused = CounterMetricFamily("pipelinejobs_refused_events", "Events that were refused.")
    runs = HistogramMetricFamily(
        "pipelinejobs_run_seconds", "How long runs took.", labels=[*_PIPELINE, "state"]
    )
    waits = HistogramMetricFamily(
        "pipelinejobs_wait_seconds", "How long jobs waited to be started.", labels=_PIPELINE
    )
    states, ever = backend.statistics.states(), backend.statistics.ever()
    names = backend.search.pipeline_names([*states, *ever])
    for uuid, found in states.items():
        for state, number in found.items():
            jobs.add_metric([uuid, names.get(uuid, ""), state], number)
    for uuid, figures in ever.items():
        labels = [uuid, names.get(uuid, "")]
        for event, number in figures.events.items():
            events.add_metric([*labels, event], number)
        for (before, after), histogram in figures.moves.items():
            if before == RUN:
                runs.add_metric([*labels, after], *_histogram(histogram))
        waits.add_metric(labels, *_histogram(figures.waits))
    refused.add_metric([], backend.search.count_rejected())
    return [jobs, events, refused, runs, waits]


def _histogram(found: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Return a histogram as Prometheus has it: each bucket with those below it, and the sum."""
    total = sum(found.values())
    buckets = [
        (f"{bound(edge):.3g}", float(sum(n for key, n in found.items() if key <= edge)))
        for edge in _EDGES
    ]
    return [*buckets, ("+Inf", float(total))], sum(bound(key) * n for key, n in found.items())


def _subscriptions(backend: Backend) -> list[Metric]:
    told = CounterMetricFamily(
        "pipelinejobs_deliveries", "Events that a subscriber was told.", labels=_LABEL
    )
    failed = CounterMetricFamily(
        "pipelinejobs_delivery_failures", "Attempts at it that failed.", labels=_LABEL
    )
    events = GaugeMetricFamily(
        "pipelinejobs_lag_events", "Events that a subscriber has yet to be told.", labels=_LABEL
    )
    seconds = GaugeMetricFamily(
        "pipelinejobs_lag_seconds", "For how long the first of them waits.", labels=_LABEL
    )
    dead = GaugeMetricFamily(
        "pipelinejobs_dead_letters", "Events that it is not told any more.", labels=_LABEL
    )
    ended = GaugeMetricFamily(
        "pipelinejobs_subscription_ended",
        "Whether it asked to be told nothing more, by HTTP status 410.",
        labels=_LABEL,
    )
    for each in subscribing.overview(backend):
        told.add_metric([each.name], each.kept.get("delivered", 0))
        failed.add_metric([each.name], each.kept.get("failed", 0))
        events.add_metric([each.name], each.lag.events)
        seconds.add_metric([each.name], each.lag_seconds)
        dead.add_metric([each.name], each.dead)
        ended.add_metric([each.name], each.status == subscribing.ENDED)
    return [told, failed, events, seconds, dead, ended]
