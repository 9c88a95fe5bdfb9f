"""Pages on a narrow phone, which is touched."""

from __future__ import annotations

import pytest

from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Person

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")

PHONE = (360, 740)
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
