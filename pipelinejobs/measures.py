"""What `/metrics` says of subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from datacatalog import mongo
from manager.exceptions import InvalidSettings
from pipelinejobs import subscribing
from pipelinejobs.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelinejobs.site import Site

SECONDS = 2.0
"""For all questions to the database; without it, nothing is said of subscriptions."""
_LABEL = ["subscription"]


class Subscriptions(Collector):
    """How it goes with the subscriptions of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> list[GaugeMetricFamily]:
        """Say nothing at registration."""
        return []

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Read how it goes."""
        try:
            with mongo.within(SECONDS):
                found = subscribing.overview(self._site)
        except (mongo.DatabaseError, CommandError, InvalidSettings):
            return
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
        for each in found:
            told.add_metric([each.name], each.kept.get("delivered", 0))
            failed.add_metric([each.name], each.kept.get("failed", 0))
            events.add_metric([each.name], each.lag.events)
            seconds.add_metric([each.name], each.lag_seconds)
            dead.add_metric([each.name], each.dead)
        yield from (told, failed, events, seconds, dead)
