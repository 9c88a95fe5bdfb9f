"""Each measurement of `make bench` works; what its figures are is not looked at."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from bench import __main__ as bench
from bench import load, measuring
from tests.conftest import ROOT

BRIEF = ["--brief"]


@pytest.mark.parametrize("name", [part.__name__ for part in bench.PARTS])
def test_a_measurement_prints_its_figures(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", name, *BRIEF],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    titles = re.findall("^## (.+)$", done.stdout, flags=re.MULTILINE)
    assert titles
    assert done.stdout.count("\n|---") == len(titles)


def test_the_results_have_every_table() -> None:
    titles = re.findall("^## (.+)$", bench.RESULTS.read_text(), flags=re.MULTILINE)
    assert titles == [
        "Accepted",
        "Committed",
        "Processor time of a committed event",
        "Memory",
        "An event in process",
        "A cold event",
        "Growth: events on one job",
        "Growth: jobs",
        "Workers",
        "Growth: actors",
        "Start to first accepted event",
    ]


def test_a_table_says_what_is_wanted_and_whether_it_is_so() -> None:
    rows = [["accepted", measuring.at_least(800, 800)], ["p99", measuring.at_most(41.5, 40)]]
    table = measuring.Table("Accepted", ["", "wanted"], rows, "A note.")
    assert str(table) == (
        "## Accepted\n\nA note.\n\n"
        "|          | wanted        |\n"
        "|----------|---------------|\n"
        "| accepted | >= 800: yes   |\n"
        "| p99      | <= 40: **no** |\n"
    )


def test_an_answer_that_is_not_expected_ends_a_load() -> None:
    from bench.running import accepting

    with accepting() as port:
        with pytest.raises(load.UnexpectedAnswer, match="404"):
            load.closed_loop(port, [[load.post("/nowhere", {})]], 0.0)
        found = load.closed_loop(port, [[load.post("/messages", {})]] * 3, 0.1, b"success")
    assert found.answered >= 3
    assert 0 < found.at(0.5) <= found.at(0.99) <= found.seconds
