"""The overview: what happened in a period, in numbers that lead to what they count."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable

import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused
from pipelinejobs import stuck
from pipelinejobs.backend import Backend
from pipelinejobs.page.filters import Scope
from pipelinejobs.page.stuck import Stuck
from tests.abaco.running import eventually
from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Job, Person

ALONE = True
"""What is counted are its jobs."""


def tiles(text: str) -> dict[str, tuple[str, str]]:
    """Return the numbers by their names, each with the address to which it leads."""
    found = re.findall(r'<dt>(.*?)</dt><dd><a href="([^"]*)">(.*?)</a>', text)
    return {name: (number, html.unescape(path)) for name, path, number in found}


def counted(operator: Person, **wanted: int) -> dict[str, tuple[str, str]]:
    """Wait until the overview shows these numbers; return all."""

    def shows() -> bool:
        shown = tiles(operator.get("/").text)
        return all(shown[name][0] == str(number) for name, number in wanted.items())

    eventually(shows)
    return tiles(operator.get("/").text)


@pytest.fixture(scope="module")
def before(operator: Person, backend: Backend) -> dict[str, int]:
    """What the overview shows of the job that `make up` has made."""
    eventually(lambda: tiles(operator.get("/").text)["Created"][0] == "1")
    return {name: int(n) for name, (n, _) in tiles(operator.get("/").text).items() if n.isdigit()}


def test_numbers_lead_to_the_jobs_that_they_count(
    before: dict[str, int], operator: Person, make_job: Callable[..., Job]
) -> None:
    failed, finished = make_job("run", "fail"), make_job("run", "finish")
    running = make_job("run")
    shown = counted(operator, Created=before["Created"] + 3, Started=3, Finished=1, Failed=1)
    for name, jobs in (("Failed", {failed}), ("Finished", {finished})):
        rows = re.findall(r'<tr id="job-([^"]+)"', operator.get(shown[name][1]).text)
        assert set(rows) == {job.uuid for job in jobs}
    rows = re.findall(r'<tr id="job-([^"]+)"', operator.get(shown["Created"][1]).text)
    assert {failed.uuid, finished.uuid, running.uuid} < set(rows)
    text = operator.get("/").text
    assert "50.0 %" in text
    assert f'xlink:href="/jobs/{failed.uuid}"' in text


def test_refused_events_lead_to_those_of_the_period_and_the_pipeline(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job()
    pipeline = backend.jobs.load(job.uuid)["pipeline_uuid"]
    with pytest.raises(EventRefused):
        backend.jobs.apply(backend.jobs.load(job.uuid), "finish", {})
    page = f"/?period=day&pipeline={pipeline}"
    eventually(lambda: tiles(operator.get(page).text)["Refused events"][0] == "1")
    path = tiles(operator.get(page).text)["Refused events"][1]
    assert job.uuid in operator.get(path).text
    for other in (("to", "2020-01-01T00:00"), ("from", "2040-01-01T00:00")):
        assert job.uuid not in operator.get("/refused", params=[other]).text
    mistaken = operator.get("/refused?from=soon&pipeline=tacos")
    assert mistaken.status_code == 400
    assert mistaken.text.count('class="mistake"') == 2


def test_charts_have_tables_and_can_be_had_as_csv(operator: Person, job: Job) -> None:
    text = operator.get("/?period=week").text
    for name in ("ended", "started", "events", "runs"):
        assert f'id="table-{name}"' in text
        reply = operator.get(f"/?period=week&of={name}&format=csv")
        assert reply.headers["content-type"].startswith("text/csv")
        header, *rows = csv.reader(io.StringIO(reply.text))
        assert header[0] in ("Since", "Job")
        assert len(rows) == 8 or name == "runs"
    (header, *rows) = csv.reader(io.StringIO(operator.get("/?format=csv").text))
    assert header[:2] == ["pipeline", "pipeline_uuid"]
    assert operator.get("/?of=tacos&format=csv").status_code == 404


def test_a_page_holds_no_style_or_script_that_its_policy_forbids(operator: Person) -> None:
    text = operator.get("/").text
    assert "<style" not in text
    assert " style=" not in text
    assert not re.findall("<script(?! src=)", text)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "is not a date"),
        ("to=0001-01-01T00:00", "is before 1970"),
        ("from=0001-01-01T00:00%2B14:00", "is not a date"),
        ("from=9999-12-31T23:00", "From must be before now"),
        ("from=2026-01-02T00:00&to=2026-01-01T00:00", "From must be before To"),
        ("from=2020-01-01T00:00&to=2026-01-01T00:00", "at most 366 days before it"),
        ("period=day&pipeline=tacos", "no pipeline has the uuid or id"),
    ],
)
def test_what_a_period_cannot_be_is_said(operator: Person, query: str, said: str) -> None:
    for path in ("/", "/gantt"):
        for form in ("", "&format=csv&of=events"):
            reply = operator.get(f"{path}?{query}{form}")
            assert reply.status_code == 400
            assert said in html.unescape(reply.text)


def test_a_period_may_end_with_the_calendar(operator: Person) -> None:
    for path in ("/", "/gantt"):
        for form in ("", "&format=csv&of=events"):
            reply = operator.get(f"{path}?to=9999-12-31T23:59{form}")
            assert reply.status_code == 200


def test_a_period_and_a_pipeline_are_in_the_address(operator: Person, backend: Backend) -> None:
    (pipeline, *_) = backend.search.pipelines().rows
    shown = operator.get(f"/?period=month&pipeline={pipeline['uuid']}").text
    assert f'<option value="{pipeline["uuid"]}" selected>' in shown
    assert f"pipeline={pipeline['uuid']}" in tiles(shown)["Failed"][1]
    past = operator.get("/?from=2020-01-01T00:00&to=2020-01-03T00:00").text
    assert tiles(past)["Created"][0] == "0"
    assert "Nothing has happened in this time." in past


def test_what_cannot_be_told_by_session_is_left_out_and_said(
    operator: Person, make_job: Callable[..., Job]
) -> None:
    make_job("run", "finish", session="left-out-loon")
    text = operator.get("/?period=week&session=left-out-loon").text
    assert tiles(text) == {}
    assert 'class="chart"' not in text
    assert "cannot tell owners or sessions apart" in text
    (path,) = re.findall(r'href="([^"]*)">the list of these jobs', text)
    rows = re.findall(r'<tr id="job-([^"]+)"', operator.get(html.unescape(path)).text)
    assert len(rows) == 1


def test_old_addresses_of_the_list_lead_to_it(operator: Person) -> None:
    reply = operator.get("/?state=FAILED&text=a%20b")
    assert (reply.status_code, reply.headers["location"]) == (303, "/jobs?state=FAILED&text=a%20b")


def test_jobs_that_are_quiet_for_unusually_long_are_listed(
    operator: Person,
    make_job: Callable[..., Job],
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(stuck.LEAST_KNOWN):
        make_job("run", "finish")
    slow = make_job("run", session="slow-worm")

    def is_listed() -> bool:
        text = operator.get("/").text
        section = text[text.index('id="h-stuck"') :]
        return f'href="/jobs/{slow.uuid}"' in section and "slow-worm" in section

    # the others were quick: this one is late at once
    eventually(is_listed)
    # of many, the first are listed, and how many more there are is said
    monkeypatch.setattr("pipelinejobs.page.stuck.MOST", 0)
    listed, more = Stuck().jobs(backend, Scope())
    assert listed == []
    assert more >= 1


@pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")
def test_a_chart_of_hours_says_local_times_and_one_of_days_the_days_of_utc(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    make_job("run", "finish")
    labels = ".plot-of-runs text[data-at]"
    with browser.in_zone("Asia/Kolkata"):  # half an hour from those of UTC
        browser.open("/?period=day")
        browser.until(lambda: browser.texts(labels))
        utc = browser.texts(labels)
        # a day has a midnight, or two in the first hour
        assert any(":" not in text for text in utc)
        browser.one("#zone").choose("Local time")
        local = browser.texts(labels)
        assert len(local) == len(utc)
        assert all(text.endswith(":30") for text in local), local
        browser.one("#zone").choose("UTC")
        browser.open("/?period=month")
        days = browser.texts("text[data-at]")
        browser.one("#zone").choose("Local time")
        assert browser.texts("text[data-at]") == days
        assert not any(":" in text for text in days)
        browser.one("#zone").choose("UTC")
