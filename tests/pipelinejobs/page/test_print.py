"""Pages on paper: what is left of them there, and whether it fits."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator

import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused
from pipelinejobs.backend import Backend
from pipelinejobs.page import columns, gantt
from tests.abaco.running import RunningGateway
from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Job, copy_job
from tests.pipelinejobs.running import told
from tests.reliability.soak import many

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")

UPRIGHT, ACROSS = (718, 1046), (1046, 718)
"""A sheet of A4 without the margins of Chromium, in pixels."""
OPERATED = (
    ".top, form, input, select, button, .counts[aria-label=Period], .views, .copy, .drag, "
    ".fold, #h-next, #h-delete"
)
OPEN_TABLES = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
SEEN = (
    "return [...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility())"
    ".map((each) => each.outerHTML.slice(0, 80))"
)
BROADER = """
const broader = [...document.querySelectorAll(".scroll, .drawing, pre")].filter(
  (each) => each.checkVisibility() && (each.scrollWidth > each.clientWidth + 1
    || getComputedStyle(each).overflowX !== "visible"));
return [document.documentElement.scrollWidth - document.documentElement.clientWidth, broader.map((each) => each.outerHTML.slice(0, 80))];
"""
STYLE = (
    "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
)


@contextlib.contextmanager
def on_paper(browser: Browser, width: int, height: int) -> Iterator[None]:
    """See pages as they are printed until the end of the block."""
    run = browser.driver.execute_cdp_cmd
    run("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        with browser.seen_by(width, height):
            yield
    finally:
        run("Emulation.setEmulatedMedia", {"media": ""})


def test_paper_has_nothing_to_operate_and_all_that_there_is_fits_its_width(
    browser: Browser, make_job: Callable[..., Job], backend: Backend, up: RunningGateway
) -> None:
    job = make_job("run", session="on-paper", data={"name": "W" * 90})
    long = {"progress": 100, "note": "x" * 300}
    backend.jobs.apply(backend.jobs.load(job.uuid), "update", long)
    backend.jobs.apply(backend.jobs.load(job.uuid), "update", {**long, "progress": 99})
    with pytest.raises(EventRefused):
        backend.jobs.apply(backend.jobs.load(job.uuid), "validate", {})
    other = make_job("run", "fail", session="on-paper-" + "long" * 20, data={"name": "short"})
    found = "/jobs?text=on-paper"
    every = "".join(f"&columns={name}" for name in columns.COLUMNS)
    paths = [found + every, f"/jobs/{job.uuid}", "/", "/gantt", f"/platform/{told(up, 'actor')}"]
    # of tables and parts that those have as well
    alike = [found, f"/jobs/{other.uuid}?data=open", "/refused", "/subscriptions"]
    for path in [*paths, *many(alike[:1], alike)]:
        browser.open(path)
        browser.driver.execute_script(OPEN_TABLES)
        assert browser.driver.execute_script(SEEN, OPERATED)
        for sheet in (UPRIGHT, ACROSS):
            with on_paper(browser, *sheet):
                assert browser.driver.execute_script(SEEN, OPERATED) == [], path
                too_broad, parts = browser.driver.execute_script(BROADER)
                assert (max(too_broad, 0), parts) == (0, []), (path, sheet)
                if path == found:
                    heads = browser.driver.execute_script(
                        SEEN.replace("outerHTML", "innerText"), "thead th"
                    )
                    names = [columns.COLUMNS[name] for name in columns.USUAL]
                    assert [head.split(" ↓")[0] for head in heads] == ["Job", *names]


def test_colours_that_say_something_are_printed_on_white(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    job = make_job("run", session="in-colour")
    browser.open("/gantt?session=in-colour")
    browser.one("#theme").choose("Dark")
    with on_paper(browser, *UPRIGHT):
        assert browser.driver.execute_script(STYLE, ".swatch", "print-color-adjust") == "exact"
    browser.open(f"/jobs/{job.uuid}")
    with on_paper(browser, *UPRIGHT):
        for each in ("#headline .state", ".timeline svg"):
            assert browser.driver.execute_script(STYLE, each, "print-color-adjust") == "exact"
        for each in ("h1", "#headline .state"):
            assert browser.driver.execute_script(STYLE, each, "color") == "rgb(31, 35, 40)"
        page = browser.driver.execute_script(STYLE, "body", "background-color")
        assert page == "rgba(0, 0, 0, 0)"
    browser.one("#theme").choose("System")


def test_a_long_gantt_chart_begins_on_the_first_sheet(
    browser: Browser, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job(session="many-sheets")
    copy_job(backend, job, gantt.MAX_JOBS - 1)
    try:
        browser.open("/gantt?session=many-sheets")
        paper = {"paperWidth": 8.27, "paperHeight": 11.69}
        printed = browser.driver.execute_cdp_cmd("Page.printToPDF", paper)["data"]
        # a hundred rows take a sheet and a third
        assert len(re.findall(rb"/Type /Page\b", base64.b64decode(printed))) == 2
    finally:
        backend.jobs.coll.delete_many({"session": "many-sheets"})
