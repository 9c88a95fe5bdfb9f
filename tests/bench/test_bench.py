"""Each measurement of `make bench` works; what its figures are is not looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest

from bench import __main__ as bench
from bench import load, measuring
from bench.catalog import Catalog
from bench.running import accepting
from datacatalog.linkedstores.pipelinejob import history
from datacatalog.mongo import Db
from tests.conftest import ROOT
from tests.docs.pages import rows, text_of

BRIEF = ["--brief"]


# the others start gateways and load them: `python -m bench --brief` shows that they work
@pytest.mark.long
@pytest.mark.parametrize("name", ["bench.handle", "bench.history", "bench.process"])
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


def test_each_table_of_the_results_is_explained() -> None:
    titles = re.findall("^## (.+)$", bench.RESULTS.read_text(), flags=re.MULTILINE)
    assert len(titles) == 14
    explained = rows(text_of("bench/README.md"), "table | what is measured")
    assert [title for title, *_ in explained] == titles


def test_what_is_counted_in_tests_names_tests_that_there_are() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", text_of("bench/README.md"))
    assert len(targets) >= 7
    assert [target for target in targets if not (ROOT / "bench" / target).exists()] == []


@pytest.mark.parametrize("count", [2, 10, 24, 25, 1_013])
def test_a_history_that_is_made_in_bulk_is_like_one_of_events(
    count: int, mongodb: dict[str, Any], db: Db
) -> None:
    jobs = Catalog(mongodb, os.getpid())
    job = jobs.running_job()
    jobs.fill_history(job, count)
    jobs.update(job, count)
    entries = list(jobs.jobs.histories.read(jobs.jobs.load(job["uuid"]), 0, None))
    assert [entry["_revision"] for entry in entries] == list(range(count + 1))
    assert len({entry["uuid"] for entry in entries}) == count + 1
    moved = history.moved(jobs.jobs.load(job["uuid"]))
    # the row of the creation is written at once
    assert db["updates"].count_documents({"uuid": job["uuid"]}) == max(1, moved)


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
    with accepting() as port:
        with pytest.raises(load.UnexpectedAnswer, match="404"):
            load.closed_loop(port, [[load.post("/nowhere", {})]], 0.0)
        found = load.closed_loop(port, [[load.post("/messages", {})]] * 3, 0.1, b"success")
    assert found.answered >= 3
    assert 0 < found.at(0.5) <= found.at(0.99) <= found.seconds
