from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable
from typing import Any

import pytest

from pipelinejobs.backend import Backend
from pipelinejobs.page import numbers
from tests.pipelinejobs.page.conftest import Job, Person


@pytest.fixture
def updated(backend: Backend, make_job: Callable[..., Job]) -> Callable[..., Job]:
    """Make a job that has had updates with such data."""

    def make(*updates: dict[str, Any]) -> Job:
        job = make_job("run")
        stored = backend.jobs.load(job.uuid)
        for data in updates:
            stored = backend.jobs.apply(stored, "update", data).job
        return job

    return make


def test_numbers_that_change_are_drawn_with_a_table_and_as_csv(
    updated: Callable[..., Job], operator: Person
) -> None:
    updates = [{"tacos": n * n, "progress": n, "of": 70, "on": n % 2 == 0} for n in range(70)]
    job = updated(*updates, {"note": "done", "progress": "70"})
    text = operator.get(f"/jobs/{job.uuid}").text
    section = text[text.index('id="h-numbers"') : text.index('id="h-about"')]
    assert section.index("<h3>progress</h3>") < section.index("<h3>tacos</h3>")
    # neither what stays the same nor what is not a number has a line
    assert section.count('class="chart"') == section.count("<h3>") == 2
    assert "From the data of 70 updates" in section
    assert "<td>4761</td>" in section
    assert section.count('class="dots"') <= 2 * numbers.MAX_POINTS
    reply = operator.get(f"/jobs/{job.uuid}?format=csv")
    assert reply.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(reply.text))
    assert header == ["Event", "Date", "progress", "tacos"]
    assert [row[2:] for row in rows] == [[str(n), str(n * n)] for n in range(70)]
    # by the revision, as in the history
    assert [rows[0][0], rows[-1][0]] == ["2", "71"]


def test_any_key_that_an_event_may_have_is_shown(
    updated: Callable[..., Job], operator: Person
) -> None:
    job = updated(*({"p": n, "a\0b": n, "$c.d": n} for n in range(3)))
    reply = operator.get(f"/jobs/{job.uuid}")
    assert reply.status_code == 200
    assert "<h3>p</h3>" in reply.text


def test_a_stated_number_of_keys_is_drawn(updated: Callable[..., Job], operator: Person) -> None:
    keys = [f"<key {n}>" for n in range(8)]
    job = updated(*(dict.fromkeys(keys, value) for value in (1, 2.5)))
    text = operator.get(f"/jobs/{job.uuid}").text
    assert html.unescape(text).count("<h3><key ") == numbers.MAX_CHARTS
    assert "2 more keys are not shown" in text
    assert "<key" not in text


def test_a_job_without_such_numbers_has_no_empty_charts(
    updated: Callable[..., Job], operator: Person
) -> None:
    job = updated({"progress": 1e300}, {"progress": True}, {"note": "x"}, {"step": 3})
    assert "h-numbers" not in operator.get(f"/jobs/{job.uuid}").text


def test_large_updates_are_not_all_read(updated: Callable[..., Job], backend: Backend) -> None:
    job = updated(*({"tacos": n, "note": "n" * 24_000} for n in range(110)))
    stored = backend.jobs.load(job.uuid)
    newest = list(backend.search.entries(stored, data=False))
    read = numbers.read(backend.search, stored, newest, len(newest))
    assert [update["data"]["tacos"] for update in read] == list(range(10, 110))
