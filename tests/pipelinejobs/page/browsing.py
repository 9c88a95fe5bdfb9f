"""A browser, as the tests use it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import axe_core_python
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.abaco.running import SECONDS, RunningGateway, eventually
from tests.conftest import BROWSER, ROOT

Answer = TypeVar("Answer")
MOUSE = (
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,"
    "availablePointerTypes=4"
)
"""Machines without a screen have none, but whoever sits before one."""
IMAGES = ROOT / "docs" / "images"
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
FIND_BROKEN = """
const [rules, done] = arguments;
// axe gives up a rule where it fails, as that of contrast does at a colour that CSS has mixed
const rewritten = [];
const mixed = /^color\\(srgb ([\\d.]+) ([\\d.]+) ([\\d.]+)\\)$/;
for (const each of document.querySelectorAll("body *")) {
  const style = getComputedStyle(each);
  for (const name of ["color", "backgroundColor"]) {
    const parts = mixed.exec(style[name]);
    if (!parts) continue;
    each.style[name] = `rgb(${parts.slice(1).map((part) => Math.round(part * 255))})`;
    rewritten.push([each, name]);
  }
}
// to describe what breaks none takes a third of the time, and no rule needs what would be fetched again
axe.run({...rules, resultTypes: ["violations"], preload: false}).then((found) => {
  for (const [each, name] of rewritten) each.style[name] = "";
  const failed = found.incomplete.filter((each) => each.error);
  done([
    ...found.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]),
    ...failed.map((each) => [each.id, each.error.message]),
  ]);
});
"""


def started(profile: Path) -> webdriver.Chrome:
    """Start a browser with a profile of its own, in which nobody is signed in."""
    assert BROWSER is not None
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    arguments = ["--headless=new", "--window-size=1280,1000", "--disable-dev-shm-usage", MOUSE]
    # what makes pages appear sooner, or looks at them for other purposes, takes the time of those who work
    arguments += ["--in-process-gpu", "--disable-gpu"]
    arguments += ["--disable-partial-raster", "--num-raster-threads=1", "--disable-extensions"]
    arguments += ["--disable-features=SpareRendererForSitePerProcess,Translate,OptimizationHints"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run as root with one
    for argument in (*arguments, f"--user-data-dir={profile}", "--disable-background-networking"):
        options.add_argument(argument)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


class Element:
    """What a selector finds first, found again for each use: the page may have replaced it.

    Args:
        driver: of the browser.
        selector: in CSS.
    """

    def __init__(self, driver: webdriver.Chrome, selector: str) -> None:
        self._driver = driver
        self._selector = selector

    @property
    def text(self) -> str:
        """What can be read of it."""
        return self._use(lambda found: found.text)

    def get_attribute(self, name: str) -> str | None:
        """Return an attribute, or the property of this name."""
        return self._use(lambda found: found.get_attribute(name))

    def is_displayed(self) -> bool:
        """Tell whether it can be seen."""
        return self._use(lambda found: found.is_displayed())

    def click(self) -> None:
        """Press it."""
        self._use(lambda found: found.click())

    def send_keys(self, *keys: str) -> None:
        """Type into it."""
        self._use(lambda found: found.send_keys(*keys))

    def choose(self, text: str) -> None:
        """Choose one of its options, by the text that is shown for it."""
        self._use(lambda found: Select(found).select_by_visible_text(text))

    def run(self, script: str) -> Any:
        """Return what JavaScript returns, to which it is `arguments[0]`."""
        return self._use(lambda found: self._driver.execute_script(script, found))

    def _use(self, act: Callable[[WebElement], Answer]) -> Answer:
        waiting = WebDriverWait(self._driver, SECONDS, 0.05, [StaleElementReferenceException])
        find = (By.CSS_SELECTOR, self._selector)
        (answer,) = waiting.until(
            lambda driver: (act(driver.find_element(*find)),), f"there is no {self._selector}"
        )
        return answer


class Browser:
    """A browser in which somebody is signed in.

    Args:
        driver: of the browser.
        gateway: whose page it shows.
    """

    def __init__(self, driver: webdriver.Chrome, gateway: RunningGateway) -> None:
        self.driver = driver
        self._gateway = gateway

    def open(self, path: str, *, live: bool = True) -> None:
        """Open a page; return when changes are followed."""
        self.driver.get(self._gateway.url + path)
        if live:
            self.until(lambda: self.texts("#live") == ["live"])
            # a page that is loaded again would lose it
            self.driver.execute_script("window.loaded = 'once'")

    @contextlib.contextmanager
    def in_zone(self, name: str) -> Iterator[None]:
        """Be in a time zone, such as `Asia/Tokyo`, until the end of the block."""
        command = "Emulation.setTimezoneOverride"
        self.driver.execute_cdp_cmd(command, {"timezoneId": name})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd(command, {"timezoneId": ""})

    @contextlib.contextmanager
    def seen_by(self, width: int, height: int, *, mobile: bool = False) -> Iterator[None]:
        """Have a window of this size until the end of the block; that of a phone, if it is mobile."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    @property
    def was_not_loaded_again(self) -> bool:
        """Whether it is still the page that was opened."""
        return bool(self.driver.execute_script("return window.loaded === 'once'"))

    def one(self, selector: str) -> Element:
        """Return an element."""
        return Element(self.driver, selector)

    def broken_rules(self, options: dict[str, list[str]]) -> Any:
        """Return the rules of accessibility that the page breaks, each with the HTML of the places.

        Args:
            options: of axe, such as the rules to look for: `{"runOnly": ["color-contrast"]}`.
        """
        if not self.driver.execute_script("return 'axe' in window"):
            self.driver.execute_script(AXE)
        return self.driver.execute_async_script(FIND_BROKEN, options)

    def drag(self, begin: tuple[int, int], end: tuple[int, int]) -> None:
        """Press the button of the mouse at a place of the window, and move to another."""
        mouse = ActionBuilder(self.driver, duration=20)
        mouse.pointer_action.move_to_location(*begin).pointer_down().move_to_location(*end)
        mouse.perform()

    def release(self) -> None:
        """Release the button of the mouse where it is."""
        mouse = ActionBuilder(self.driver)
        mouse.pointer_action.pointer_up()
        mouse.perform()

    def place(self, selector: str) -> dict[str, float]:
        """Return where an element is in the window, `x`, `y`, `width` and `height`, at one moment."""
        script = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
        found: dict[str, float] = self.driver.execute_script(script, selector)
        return found

    def texts(self, selector: str) -> list[str]:
        """Return the text of elements, at one moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent.trim())"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def jobs(self) -> list[str]:
        """Return the uuids of the jobs in the list."""
        script = (
            "return [...document.querySelectorAll('tr[id^=job-]')].map((each) => each.id.slice(4))"
        )
        found: list[str] = self.driver.execute_script(script)
        return found

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something to become true."""
        eventually(condition)

    def press(self, selector: str) -> None:
        """Press a button."""
        self.one(selector).click()

    def complaints(self) -> list[str]:
        """Return what the browser complains about: errors of scripts, what the policy forbids."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if "the server responded with a status of" not in entry["message"]
        ]

    def picture(self, name: str, height: int = 900) -> None:
        """Make a picture for the documentation."""
        self.driver.set_window_size(1280, height)
        IMAGES.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(IMAGES / f"{name}.png"))
