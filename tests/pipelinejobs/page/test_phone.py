"""Pages on a narrow phone, which is touched."""

from __future__ import annotations

import itertools

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Person

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")

PHONE, DESK = (360, 740), (1280, 1000)
OVERHANGING = """
const hanging = [];
for (const place of document.querySelectorAll("[data-count]")) {
  place.textContent = arguments[0];
  const tile = place.closest("a");
  const [within, around] = [place, tile].map((each) => each.getBoundingClientRect());
  const state = tile.querySelector(".state")?.getBoundingClientRect();
  const overlaps = state && state.bottom > within.top && state.right > within.left;
  if (within.right > around.right || tile.scrollWidth > tile.clientWidth || overlaps) hanging.push(tile.innerText);
}
return hanging;
"""
# the window of a phone grows with what is in it: its inner width says nothing
SIDEWAYS = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth - clientWidth"
CUT = """
return ["theme", "zone"].filter((id) => {
  const select = document.getElementById(id), free = select.cloneNode(true);
  free.style.maxWidth = "none";
  select.after(free);
  const needed = free.offsetWidth;
  free.remove();
  return select.offsetWidth < needed;
});
"""
FOCUSED = """
const { activeElement } = document, box = activeElement.getBoundingClientRect();
return activeElement.closest(".top") && [activeElement.textContent.trim(), Math.round(box.x), box.top, box.bottom];
"""


def test_counts_and_views_of_any_length_stay_within_a_phone(
    browser: Browser, operator: Person
) -> None:
    name = "W" * 60
    assert operator.submit("/jobs/views?text=narrow", at="/jobs", name=name).status_code == 303
    try:
        with browser.seen_by(*PHONE, mobile=True):
            browser.open("/jobs")
            for count in ("128", "12,345", "1,234,567+"):
                assert browser.driver.execute_script(OVERHANGING, count) == []
            browser.press(".views summary")
            assert browser.one(".views select").is_displayed()
            assert browser.driver.execute_script(SIDEWAYS) <= 0
    finally:
        operator.submit("/jobs/views/remove", at="/jobs", name=name)


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_keys_go_through_the_header_as_the_eye_does(
    browser: Browser, size: tuple[int, int]
) -> None:
    with browser.seen_by(*size, mobile=size == PHONE):
        browser.open("/pipelines")
        assert browser.driver.execute_script(CUT) == []
        browser.one(".brand").run("arguments[0].focus()")
        seen = []
        while found := browser.driver.execute_script(FOCUSED):
            seen.append(found)
            ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        assert [text for text, *_ in seen if text in ("Overview", "API", "Sign out")] == [
            "Overview",
            "API",
            "Sign out",
        ]
        # the brand is beside both lines of the menu
        for (_, x, _, bottom), (text, right, top, _) in itertools.pairwise(seen[1:]):
            assert right > x or top >= bottom - 1, text


def test_only_who_has_a_mouse_is_told_to_drag(browser: Browser) -> None:
    for path in ("/", "/gantt"):
        browser.open(path)
        assert browser.one(".drag").is_displayed()
    touch = "Emulation.setTouchEmulationEnabled"
    browser.driver.execute_cdp_cmd(touch, {"enabled": True})
    try:
        for path in ("/", "/gantt"):
            browser.open(path)
            assert not browser.one(".drag").is_displayed()
    finally:
        browser.driver.execute_cdp_cmd(touch, {"enabled": False})
