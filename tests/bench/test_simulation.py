"""The simulation of a larger fleet agrees with what was measured, and docs/scaling.md shows what it finds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import fleet, simulation
from bench.measuring import Table
from tests.docs.pages import text_of

PAGE = "docs/scaling.md"


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """What `python -m bench.fleet` has kept."""
    found: dict[str, Any] = json.loads(fleet.MEASURED.read_text())
    return found


def lines(table: Table) -> str:
    return "\n".join(line for line in str(table).splitlines() if line.startswith("|"))


def test_it_agrees_with_what_was_measured_of_one_to_eight_workers(measured: dict[str, Any]) -> None:
    _, compared = simulation.check(measured)
    assert [workers for workers, _, _ in compared] == list(fleet.WORKERS)
    for workers, real, found in compared:
        assert found == pytest.approx(real, rel=simulation.TOLERANCE), workers


def test_what_is_measured_and_found_is_what_the_page_shows(measured: dict[str, Any]) -> None:
    page = text_of(PAGE)
    for table in [*fleet.tables(measured), *simulation.tables(measured)]:
        assert lines(table) in page, (
            f"{table.title}: python -m bench.simulation prints it for {PAGE}"
        )
    assert measured["date"] in page
    assert measured["machine"].split(" (")[0] in page


def test_more_of_one_part_does_not_help_beyond_its_wall(measured: dict[str, Any]) -> None:
    rows = measured["rows"]
    costs = simulation.costs_of(*rows, wait=measured["wait_ms"] / 1000)
    few, many = (simulation.size_of(costs, rate, notices=1e9, delay=0.0) for rate in (100.0, 400.0))
    assert few.workers < many.workers
    _, soon = simulation.times_of(costs, many, delay=0.0)
    _, late = simulation.times_of(costs, many._replace(notices=300.0), delay=0.0)
    # 400 a second do not end one after the other if only 300 can
    assert late > 10 * soon
