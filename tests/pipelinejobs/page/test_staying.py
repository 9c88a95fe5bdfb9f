"""While things happen, who works with the page stays where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from pipelinejobs.backend import Backend
from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Job

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")

PHONE = (390, 844)
FOCUSED = "return document.activeElement.getAttribute('href') ?? document.activeElement.outerHTML"


def focused(browser: Browser) -> Any:
    return browser.driver.execute_script(FOCUSED)


@pytest.mark.parametrize(
    ("path", "selector", "changed"),
    [
        ("/", "#overview .tiles a", ".tiles a"),
        ("/jobs", "tbody th a", "tbody .state"),
        pytest.param("/gantt", "#gantt .note a", ".legend", marks=pytest.mark.long),
    ],
)
def test_the_focus_stays_when_something_happens(
    browser: Browser,
    make_job: Callable[..., Job],
    backend: Backend,
    path: str,
    selector: str,
    changed: str,
) -> None:
    job = make_job()
    browser.open(path)
    browser.one(selector).run("arguments[0].focus()")
    shown = browser.one("main").get_attribute("innerHTML")
    backend.jobs.apply(backend.jobs.load(job.uuid), "run", {})
    browser.until(lambda: browser.one("main").get_attribute("innerHTML") != shown)
    browser.until(lambda: "RUNNING" in browser.one("main").text or path == "/")
    assert browser.one(selector).run("return arguments[0] === document.activeElement")
    assert browser.was_not_loaded_again
    assert browser.texts(changed)


def test_a_drawing_stays_where_it_was_scrolled_to(
    browser: Browser, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job()
    with browser.seen_by(*PHONE, mobile=True):
        browser.open("/gantt")
        drawing = browser.one("#gantt .drawing")
        assert drawing.run("arguments[0].scrollLeft = 150; return arguments[0].scrollLeft") == 150
        shown = browser.one("#gantt").get_attribute("innerHTML")
        backend.jobs.apply(backend.jobs.load(job.uuid), "run", {})
        browser.until(lambda: browser.one("#gantt").get_attribute("innerHTML") != shown)
        assert drawing.run("return arguments[0].scrollLeft") == 150


def test_who_comes_back_finds_the_filters_of_the_address(browser: Browser) -> None:
    browser.open("/jobs")
    browser.one("[name=created]").choose("last hour")
    browser.until(lambda: "created=1h" in browser.driver.current_url)
    browser.driver.back()
    browser.until(lambda: "created=" not in browser.driver.current_url)
    assert browser.one("[name=created]").get_attribute("value") == ""


def test_a_job_leads_back_to_the_list_from_which_it_was_opened(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    job = make_job("run", session="from-a-list")
    browser.open("/jobs?session=from-a-list&state=RUNNING")
    browser.press(f"#job-{job.uuid} .title")
    browser.until(lambda: job.uuid in browser.driver.current_url)
    crumb = browser.one(".crumbs a")
    assert str(crumb.get_attribute("href")).endswith("/jobs?session=from-a-list&state=RUNNING")
    # the keys go through its history as through a list
    keys = ActionChains(browser.driver)
    keys.send_keys("j").perform()
    assert "<b>run</b>" in focused(browser)
    keys.send_keys("j").perform()
    assert "<b>create</b>" in focused(browser)


def test_what_is_wrong_with_a_filter_is_seen_on_a_phone(browser: Browser) -> None:
    with browser.seen_by(*PHONE, mobile=True):
        for path in ("/jobs?created=zz", "/refused?job=zz"):
            browser.open(path, live=False)
            assert browser.one(".mistake").is_displayed()
            assert browser.texts(".empty") == []
        browser.open("/jobs?created_from=2026-01-01T00:00&created_to=2026-01-02T00:00", live=False)
        assert browser.texts("label.fold") == ["Filters: 2 set"]
        assert "from 2026-01-01 00:00" in browser.texts(".filters .note")[0]
