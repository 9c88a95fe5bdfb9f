"""The Gantt chart: the jobs of a period, parents above their children."""

from __future__ import annotations

import csv
import datetime
import html
import io
import re
from collections.abc import Callable

import pytest

from pipelinejobs.backend import Backend
from pipelinejobs.page import gantt, spans, ticks
from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Job, Person, copy_job
from tests.pipelinejobs.page.test_pages import row_uuids

_NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)


def span(name: str, minute: int, *parents: str) -> spans.Span:
    created = _NOON + datetime.timedelta(minutes=minute)
    return spans.Span(
        name, name, "p", "FAILED", created, created + datetime.timedelta(minutes=5), parents=parents
    )


def test_children_follow_their_parent() -> None:
    found = spans.arranged(
        [span("c", 4, "a"), span("d", 3, "c"), span("b", 1), span("a", 0), span("e", 5, "a", "b")]
    )
    assert [(each.uuid, each.depth) for each in found] == [
        ("a", 0),
        ("c", 1),
        ("d", 2),
        ("e", 1),
        ("b", 0),
    ]
    assert spans.svg(found).count('class="join"') == 4


def test_jobs_that_are_parents_of_each_other_are_drawn_once() -> None:
    found = spans.arranged([span("a", 0, "b"), span("b", 1, "a"), span("c", 2, "c")])
    assert sorted(each.uuid for each in found) == ["a", "b", "c"]


def test_a_job_is_a_bar_in_the_colour_of_its_state_that_leads_to_it(
    operator: Person, make_job: Callable[..., Job]
) -> None:
    parent = make_job("run", "finish", session="gantt-gull")
    child = make_job("run", "fail", session="gantt-gull", child_of=[parent.uuid])
    other = make_job(session="gantt-grebe")
    text = operator.get("/gantt?session=gantt-gull").text
    bars = re.findall(r'<a href="/jobs/([^"]+)" tabindex="-1" class="span state-(\w+)"', text)
    assert bars == [(parent.uuid, "finished"), (child.uuid, "failed")]
    assert text.count('class="join"') == 1
    (path,) = re.findall(r'<a href="([^"]*)">The list of these jobs', text)
    assert set(row_uuids(operator.get(html.unescape(path)).text)) == {parent.uuid, child.uuid}
    (header, *rows) = csv.reader(
        io.StringIO(operator.get("/gantt?session=gantt-gull&format=csv").text)
    )
    assert [(row[0], row[-1]) for row in rows] == [(parent.uuid, ""), (child.uuid, parent.uuid)]
    assert header[3] == "State"
    assert other.uuid in operator.get("/gantt").text


def test_an_axis_is_marked_at_round_times() -> None:
    minutes = datetime.timedelta(minutes=1)
    begin = _NOON + 3.5 * minutes

    def marks(length: float) -> list[str]:
        return [mark.text for mark in ticks.between(begin, begin + length * minutes).marks]

    assert marks(60) == ["12:10", "12:20", "12:30", "12:40", "12:50", "13:00"]
    assert marks(24 * 60) == ["18:00", "02 Jan", "06:00", "12:00"]
    assert marks(5 * 24 * 60) == ["02 Jan", "03 Jan", "04 Jan", "05 Jan", "06 Jan"]
    assert marks(0.25) == ["12:03:30", "12:03:35", "12:03:40", "12:03:45"]


def test_a_long_title_keeps_its_end() -> None:
    job = span("Normalization of plate reader measurements S335", 0)
    assert ">Normalization of plate re…nts S335<" in spans.svg([job])


def test_a_drawing_may_be_parted_between_rows_and_the_lines_go_on() -> None:
    jobs = [span("first", 0), *(span(f"n{number}", number, "first") for number in range(1, 24))]
    pieces = re.findall("<svg.*?</svg>", spans.svg(spans.arranged(jobs)), re.DOTALL)
    assert [piece.count('class="span ') for piece in pieces] == [10, 10, 4]
    # the last has the lines to its rows, the second also those that cross it
    assert [piece.count('class="join"') for piece in pieces] == [23, 14, 4]
    tops, heights = zip(
        *(map(int, re.findall(r'viewBox="0 (\d+) 1000 (\d+)"', piece)[0]) for piece in pieces),
        strict=True,
    )
    assert tops == (0, heights[0], heights[0] + heights[1])


@pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")
def test_no_title_reaches_the_bars_and_every_piece_can_be_dragged_over(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    titles = ["W" * 8 + "M" * 40, "M" * 36, "@%&" * 15, "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖ" * 2]
    titles += [f"lowercase letters of any kind, with commas and so on, {n}" for n in range(8)]
    for title in titles:
        make_job("run", session="broad-titles", data={"name": title})
    browser.open("/gantt?session=broad-titles")
    reaching = (
        "return [...document.querySelectorAll('.gantt .span text')].filter((text) => {"
        "const { x, width } = text.getBBox(); return x + width > arguments[0] })"
        ".map((text) => text.textContent)"
    )
    assert browser.driver.execute_script(reaching, 220) == []
    assert browser.driver.execute_script(reaching, 190) != []
    second = browser.place(".gantt ~ .gantt .plot > .background")
    x, y = (int(second[way] + second[size] / 2) for way, size in (("x", "width"), ("y", "height")))
    browser.drag((x - 100, y), (x, y))
    assert browser.place(".gantt ~ .gantt .zoom")["width"] > 0
    browser.release()
    browser.until(lambda: "from=" in browser.driver.current_url)


def test_a_wrong_period_is_said(operator: Person) -> None:
    reply = operator.get("/gantt?from=yesterday")
    assert reply.status_code == 400
    assert "is not a date" in html.unescape(reply.text)
    assert "No job was created" in operator.get("/gantt?from=2020-01-01&to=2020-01-02").text


def test_how_many_jobs_are_left_out_is_said(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    oldest = make_job(session="crowd")
    copy_job(backend, oldest, gantt.MAX_JOBS)
    try:
        text = operator.get("/gantt?session=crowd").text
        assert re.search(r"newest 100 are drawn,\s+more\s+are left out", text)
        assert len(re.findall('class="span ', text)) == gantt.MAX_JOBS
        assert re.search(
            r"newest 100 are drawn, \d+ more are left out", operator.get("/gantt").text
        )
    finally:
        backend.jobs.coll.delete_many({"session": "crowd"})
