"""The page in a real browser, where one is found (`make browser` installs it)."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import time
from collections.abc import Callable

import httpx
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import EventRefused
from datacatalog.linkedstores.pipelinejob.fsm import STATES
from datacatalog.linkedstores.pipelinejob.search import Filters
from local import day
from pipelinejobs.backend import Backend
from tests.abaco.running import RunningGateway, eventually
from tests.conftest import BROWSER
from tests.pipelinejobs.page.browsing import Browser
from tests.pipelinejobs.page.conftest import Job, new_address
from tests.pipelinejobs.running import told
from tests.reliability.soak import many

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is found: make browser")

ALONE = True
"""The list is full of its jobs alone."""
TAKE = "PIPELINEJOBS_SCREENSHOTS"
"""A variable: the pictures of the documentation are taken again where it is set."""


def test_the_printed_address_signs_in_and_is_not_kept(browser: Browser, up: RunningGateway) -> None:
    browser.driver.get(new_address(up))
    assert browser.driver.current_url == f"{up.url}/"
    browser.open("/jobs")
    assert told(up, "job") in browser.jobs()
    assert told(up, "token") not in browser.driver.page_source
    # no script gets to see it
    assert browser.driver.execute_script("return document.cookie") == ""


def test_the_list_shows_what_happens(
    browser: Browser, make_job: Callable[..., Job], post: Callable[..., int], backend: Backend
) -> None:
    wanted = Filters(text="first-light")

    def counts_are_right() -> bool:
        shown = dict(zip(STATES, browser.texts(".counts [data-count]")[1:], strict=True))
        return shown == {
            state: str(count) for state, count in backend.search.counts(wanted)[0].items()
        }

    job = make_job("run", session="first-light")
    browser.open("/jobs?text=first-light")
    row = f"#job-{job.uuid}"
    browser.until(counts_are_right)
    assert browser.one(f"{row} .state").text == "RUNNING"
    post(job, "finish")
    browser.until(lambda: browser.texts(f"{row} .state") == ["FINISHED"])
    browser.until(counts_are_right)
    other = make_job(session="first-light")
    browser.until(lambda: browser.jobs() == [other.uuid, job.uuid])
    assert browser.was_not_loaded_again


def test_filters_work_without_a_mouse(browser: Browser, make_job: Callable[..., Job]) -> None:
    failed, running = make_job("run", "fail", session="dusk"), make_job("run", session="dusk")
    browser.open("/jobs")
    browser.one("input[name=text]").send_keys("dusk", Keys.ENTER)
    browser.until(lambda: set(browser.jobs()) == {failed.uuid, running.uuid})
    assert browser.driver.current_url.endswith("/jobs?text=dusk")
    browser.press(".counts a[title^='did not complete']")
    browser.until(lambda: browser.jobs() == [failed.uuid])
    assert browser.one(".counts [aria-current]").text.startswith("FAILED")
    browser.one("tbody th a").send_keys(Keys.ENTER)
    browser.until(lambda: failed.uuid in browser.driver.current_url)
    assert failed.uuid in browser.one("main").text


def test_an_event_that_is_posted_changes_everything_that_is_shown(
    browser: Browser, job: Job, post: Callable[..., int]
) -> None:
    browser.open(f"/jobs/{job.uuid}")
    assert browser.texts("#headline .state") == ["CREATED"]
    assert browser.texts(".timeline .row .name") == ["CREATED"]
    post(job, "run", step="smoke")
    browser.until(lambda: browser.texts("#headline .state") == ["RUNNING"])
    assert browser.one(".machine .current").get_attribute("data-state") == "RUNNING"
    assert browser.one(".machine .visited.edge").get_attribute("data-event") == "run"
    assert browser.texts(".timeline .row .name") == ["CREATED", "RUNNING"]
    assert browser.texts("#history li b") == ["run", "create"]
    offered = [text.split()[0] for text in browser.texts("#allowed button")]
    assert offered == ["run", "update", "resource", "fail", "finish", "reset"]
    # what somebody reads stays open while more happens
    browser.press("#history summary")
    assert '"step": "smoke"' in browser.one("#history details[open] pre").text
    browser.one("#h-next ~ form [name=token]").send_keys("half a tok")
    post(job, "update", step="slice")
    browser.until(lambda: browser.texts("#history li b") == ["update", "run", "create"])
    assert '"step": "smoke"' in browser.one("#history details[open] pre").text
    typed = browser.one("#h-next ~ form [name=token]").get_attribute("value")
    assert typed == "half a tok"
    assert browser.was_not_loaded_again


def test_a_button_sends_the_event_and_asks_for_the_token(browser: Browser, job: Job) -> None:
    browser.open(f"/jobs/{job.uuid}")
    browser.press("#allowed button[value=run]")
    assert browser.driver.switch_to.active_element.get_attribute("name") == "token"
    browser.one("#h-next ~ form [name=token]").send_keys(job.token)
    browser.one("[name=data]").send_keys('{"step": "smoke"}')
    browser.press("#allowed button[value=run]")
    browser.until(lambda: browser.texts(".notice") == ["The event run was applied."])
    assert browser.texts("#headline .state") == ["RUNNING"]


def test_a_refusal_is_told_and_the_page_goes_on(
    browser: Browser, job: Job, post: Callable[..., int]
) -> None:
    browser.open(f"/jobs/{job.uuid}")
    browser.one("#h-next ~ form [name=token]").send_keys("0123456789abcdef")
    browser.press("#allowed button[value=run]")
    browser.until(lambda: browser.texts("[role=alert]"))
    assert "that this token may change" in browser.one("[role=alert]").text
    assert browser.driver.current_url.endswith(f"/jobs/{job.uuid}")
    browser.until(lambda: browser.one("#live").text == "live")
    # one that its state does not allow is listed with the job
    post(job, "finish")
    browser.until(lambda: browser.texts("#refusals b") == ["finish"])
    assert browser.texts("#headline .state") == ["CREATED"]


def test_a_job_is_deleted_after_a_question(browser: Browser, job: Job) -> None:
    browser.open(f"/jobs/{job.uuid}")
    browser.press("#h-delete ~ details summary")
    browser.one("#h-delete ~ details [name=token]").send_keys(job.token)
    browser.press("#h-delete ~ details button[value='']")
    browser.driver.switch_to.alert.dismiss()
    assert browser.texts("#headline .state") == ["CREATED"]
    browser.press("#h-delete ~ details button[value='']")
    browser.driver.switch_to.alert.accept()
    browser.until(lambda: browser.texts("#headline .state") == ["CREATED", "HIDDEN"])
    browser.open("/jobs")
    assert job.uuid not in browser.jobs()


def test_the_log_of_an_execution(browser: Browser, job: Job, post: Callable[..., int]) -> None:
    post(job, "run")
    browser.open("/platform")
    browser.press("tbody a")
    browser.until(lambda: browser.texts("#executions tbody a"))
    browser.press("#executions tbody a")
    browser.until(lambda: f"job {job.uuid}: run event" in browser.one("#log").text)


def test_it_fits_a_phone_in_the_dark(browser: Browser, job: Job) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    run = browser.driver.execute_cdp_cmd
    run("Emulation.setEmulatedMedia", dark)
    run("Emulation.setDeviceMetricsOverride", phone)
    try:
        for path in ("/", "/platform", "/refused", "/jobs", f"/jobs/{job.uuid}"):
            browser.open(path)
            widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            needed, there = browser.driver.execute_script(widths)
            assert needed <= there, path
            background = "return getComputedStyle(document.body).backgroundColor"
            assert browser.driver.execute_script(background) == "rgb(13, 17, 23)"
        # the timeline is as wide as the window, and what stands in it large enough to be read
        assert browser.driver.execute_script("return timeline.scrollWidth <= timeline.clientWidth")
        size = "return parseFloat(getComputedStyle(document.querySelector(arguments[0])).fontSize)"
        assert browser.driver.execute_script(size, ".timeline .name") >= 12
        scale = "const svg = document.querySelector('.machine'); return svg.clientWidth / svg.viewBox.baseVal.width"
        assert browser.driver.execute_script(scale) > 0.9
        # the state that it is in is in sight, and the way there in words
        assert browser.texts("#way .state") == ["CREATED"]
        within = "const [a, b] = ['.machine .current', '#machine'].map((each) => document.querySelector(each).getBoundingClientRect()); return a.left >= b.left && a.right <= b.right"
        assert browser.driver.execute_script(within)
        # a job takes two lines, and the filters are folded
        browser.open("/jobs")
        heights = "return [...document.querySelectorAll('#rows tr')].map((row) => row.offsetHeight)"
        assert max(browser.driver.execute_script(heights)) < 90
        assert not browser.one("[name=session]").is_displayed()
        browser.press("label.fold")
        assert browser.one("[name=session]").is_displayed()
    finally:
        run("Emulation.clearDeviceMetricsOverride", {})
        run("Emulation.setEmulatedMedia", {"features": []})


def test_who_listens_finds_their_way(browser: Browser, make_job: Callable[..., Job]) -> None:
    job = make_job("run", "finish")
    browser.open(f"/jobs/{job.uuid}")
    browser.one("body").send_keys(Keys.TAB)
    assert browser.driver.switch_to.active_element.text == "Skip to the content"
    label = browser.one(".machine").get_attribute("aria-label")
    assert label == "The job is FINISHED, after CREATED → RUNNING → FINISHED"


def check_names_and_landmarks(browser: Browser) -> None:
    """Check that what a page has to operate has a name, and that its parts are found."""
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    nodes = [node for node in tree if not node["ignored"]]
    nameless = [
        node["role"]["value"]
        for node in nodes
        if node["role"]["value"] in ("link", "button", "textbox", "combobox", "image", "checkbox")
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    roles = [node["role"]["value"] for node in nodes]
    assert {"main", "banner", "navigation", "heading"} <= set(roles)
    assert roles.count("main") == 1


OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
"""In one step, between two of the page's updates."""
LEAVE_ONE = "document.querySelectorAll('main > details ~ details').forEach((each) => each.remove())"
"""Of the operations of the API: they look alike, and there are many."""


SCHEMES: dict[str, dict[str, list[str]]] = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}
"""What axe looks for in each; nothing else differs in the dark."""


def test_no_page_breaks_a_rule_of_accessibility(
    browser: Browser,
    make_job: Callable[..., Job],
    backend: Backend,
    up: RunningGateway,
    post: Callable[..., int],
) -> None:
    # few jobs, but in many states, each of which has its colours
    way = ("run", "finish", "index", "indexed", "validate", "validated")
    for count in (0, 1, 2, 3, 5, 6):
        make_job(*way[:count], session="dawn")
    failed = make_job("run", session="dawn")
    for progress in range(4):
        backend.jobs.apply(backend.jobs.load(failed.uuid), "update", {"progress": progress})
    trace = {"message": "no tacos", "traceback": "Traceback\n  line 1\nTacoError: no tacos\n"}
    backend.jobs.apply(backend.jobs.load(failed.uuid), "fail", trace)
    with pytest.raises(EventRefused):
        backend.jobs.apply(backend.jobs.load(failed.uuid), "validate", {})
    (refused,) = backend.search.rejected(job_uuid=failed.uuid).rows
    assert post(make_job(), "run") == 200
    actor = f"/platform/{told(up, 'actor')}"
    listed = "/jobs?session=dawn"
    # the charts of a week: those of other times have less or more of the same
    paths = [
        "/?period=week",
        "/gantt?session=dawn",
        listed,
        f"/jobs/{failed.uuid}",
    ]
    paths += ["/pipelines", "/refused", "/subscriptions", "/platform", actor]
    paths += ["/jobs?created=soon&text=dawn", *many([], ["/?period=hour"])]
    still = ["/docs", f"/jobs/{failed.uuid}/document", f"/refused/{refused['id']}"]
    still += [f"/pipelines/{backend.jobs.load(failed.uuid)['pipeline_uuid']}", "/nope", "/sign-in"]
    # from a page to one that has no address of its own, or one that is not known before
    onward = {listed: ["[name=job]", "#selection button"], actor: ["a[href*='/executions/']"]}

    # in the dark, where the states have their colours; the soak looks at the others as well
    schemes = dict.fromkeys(paths[:4], SCHEMES)
    usual = many({"light": SCHEMES["light"]}, SCHEMES)

    def look_at(where: str) -> None:
        for scheme, rules in schemes.get(where, usual).items():
            wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
            assert browser.broken_rules(rules) == [], (where, scheme)

    try:
        for path in [*paths, *still]:
            browser.open(path, live=path in paths)
            if path == "/docs":
                browser.driver.execute_script(LEAVE_ONE)
            if path in paths:
                check_names_and_landmarks(browser)
            browser.driver.execute_script(OPEN_ALL)
            look_at(path)
            if path in onward:
                heading = browser.texts("h1")
                for selector in onward[path]:
                    browser.press(selector)
                browser.until(lambda: browser.texts("h1") not in ([], heading))  # noqa: B023 - called at once
                browser.driver.execute_script(OPEN_ALL)
                look_at(f"after {path}")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize(
    ("path", "chart"),
    [("/", ".plot-of-ended"), pytest.param("/gantt", ".drawing", marks=pytest.mark.long)],
    ids=["overview", "gantt"],
)
def test_a_time_that_is_dragged_over_is_looked_at(
    browser: Browser, make_job: Callable[..., Job], path: str, chart: str
) -> None:
    make_job("run", "finish")
    browser.open(path)
    plot = browser.place(f"{chart} .plot > .background")
    middle = int(plot["x"] + plot["width"] / 2), int(plot["y"] + plot["height"] / 2)
    browser.drag((middle[0] - int(plot["width"] / 4), middle[1]), middle)
    # what happens meanwhile is shown once the button is released
    shown = browser.one("main").get_attribute("data-version")
    make_job("run", "fail")
    time.sleep(1.5)
    assert browser.one("main").get_attribute("data-version") == shown
    assert browser.place(f"{chart} .zoom")["width"] > 0
    browser.release()
    browser.until(lambda: "from=" in browser.driver.current_url)
    query = httpx.URL(browser.driver.current_url).params
    assert httpx.URL(browser.driver.current_url).path == path
    since, until = (datetime.datetime.fromisoformat(query[name]) for name in ("from", "to"))
    assert since < until
    assert until - since < datetime.timedelta(hours=9)
    assert browser.one("input[name=from]").get_attribute("value") == query["from"]


def test_a_row_of_the_list_is_one_line(browser: Browser, make_job: Callable[..., Job]) -> None:
    long = make_job("run", session="a session whose name is longer than anybody has room for" * 3)
    short = make_job("run")
    browser.open("/jobs")
    heights = [
        browser.one(row).run("return arguments[0].offsetHeight")
        for row in (f"#job-{long.uuid}", f"#job-{short.uuid}")
    ]
    assert abs(heights[0] - heights[1]) <= 2
    assert max(heights) < 45
    widths = (
        "const list = document.querySelector('#list'); return [list.scrollWidth, list.clientWidth]"
    )
    needed, there = browser.driver.execute_script(widths)
    assert needed <= there
    moment = browser.one(f"#job-{long.uuid} time")
    assert "UTC" in str(moment.get_attribute("title"))
    moment.click()
    assert moment.text == str(moment.get_attribute("title")).splitlines()[0]


def test_who_wants_the_dark_gets_it_without_an_account(browser: Browser) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    browser.open("/jobs")
    assert browser.driver.execute_script(background) == "rgb(246, 248, 250)"
    browser.one("#theme").choose("Dark")
    assert browser.driver.execute_script(background) == "rgb(13, 17, 23)"
    browser.open("/pipelines")
    assert browser.driver.execute_script(background) == "rgb(13, 17, 23)"
    browser.one("#theme").choose("System")
    assert browser.driver.execute_script(background) == "rgb(246, 248, 250)"


def test_times_are_shown_in_the_zone_that_is_chosen(browser: Browser, job: Job) -> None:
    with browser.in_zone("Asia/Tokyo"):
        browser.open(f"/jobs/{job.uuid}")
        utc = browser.one("#headline time").text
        browser.one("#zone").choose("Local time")
        there = datetime.datetime.fromisoformat(utc) + datetime.timedelta(hours=9)
        assert browser.one("#headline time").text == str(there)
        assert browser.texts("#headline [data-zone]") == ["local"]
        browser.one("#zone").choose("UTC")
        assert browser.one("#headline time").text == utc


@pytest.mark.parametrize("page", ["jobs", pytest.param("refused", marks=pytest.mark.long), "gantt"])
def test_who_has_chosen_local_times_types_them_as_well(browser: Browser, page: str) -> None:
    with browser.in_zone("Asia/Tokyo"):
        browser.open(f"/{page}?from=2026-11-28T20:30")
        browser.one("#zone").choose("Local time")
        field = browser.one("input[name=from]")
        assert field.get_attribute("value") == "2026-11-29T05:30"
        label = field.run("return arguments[0].parentElement.textContent")
        assert "from (local)" in str(label).lower()
        field.run("arguments[0].value = '2026-11-29T06:00'; arguments[0].form.requestSubmit()")
        eventually(lambda: "from=2026-11-28T21%3A00" in browser.driver.current_url)
        assert browser.one("input[name=from]").get_attribute("value") == "2026-11-29T06:00"
        browser.one("#zone").choose("UTC")
        assert browser.one("input[name=from]").get_attribute("value") == "2026-11-28T21:00"


def test_the_list_is_used_by_keys_alone(browser: Browser, make_job: Callable[..., Job]) -> None:
    older, newer = make_job(session="keys-1"), make_job(session="keys-2")
    browser.open("/jobs")

    def press(*keys: str) -> str:
        ActionChains(browser.driver).send_keys(*keys).perform()
        script = "return document.activeElement.name || document.activeElement.textContent"
        return str(browser.driver.execute_script(script))

    assert press("j") == "keys-2"
    assert press("j") == "keys-1"
    assert press("k") == "keys-2"
    press("?")
    assert browser.one("#keys").is_displayed()
    press(Keys.ESCAPE)
    assert not browser.one("#keys").is_displayed()
    assert press("/") == "text"
    # in a field they are letters
    press("j?")
    assert browser.one("input[name=text]").get_attribute("value") == "j?"
    assert older.uuid in browser.jobs()
    assert newer.uuid in browser.jobs()


def test_an_axis_has_round_times_in_the_zone_that_is_chosen(
    browser: Browser, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job("run", session="round-times")
    begin = now() - datetime.timedelta(hours=10)
    fields = {"$set": {"_properties.created_date": begin}}
    backend.jobs.coll.update_one({"uuid": job.uuid}, fields)
    with browser.in_zone("Asia/Kolkata"):  # half an hour from those of UTC
        browser.open("/gantt?session=round-times")
        utc = browser.texts(".ticks text")
        assert len(utc) >= 4
        browser.one("#zone").choose("Local time")
        local = browser.texts(".ticks text")
        assert local != utc
        for text in (*utc, *local):
            assert text.endswith(":00") or " " in text, text
        browser.one("#zone").choose("UTC")
        assert browser.texts(".ticks text") == utc


def test_what_can_be_done_with_selected_jobs_is_in_sight(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    for _ in range(25):
        make_job(session="many-to-select")
    browser.open("/jobs?text=many-to-select")
    bar = browser.one("#selection")
    assert not bar.is_displayed()
    for row in (1, 2):
        browser.press(f"#rows tr:nth-child({row}) [name=job]")
    bottom = (
        "return document.querySelector('#selection').getBoundingClientRect().bottom - innerHeight"
    )
    assert browser.driver.execute_script(bottom) <= 0
    assert bar.text.startswith("With the 2 selected")
    browser.press("[data-clear]")
    assert not bar.is_displayed()


def test_titles_that_differ_at_their_end_are_told_apart_on_one_line(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    title = "Normalization of plate reader measurements of sample"
    for number in (101, 102):
        data = {"name": f"{title} S{number}", "progress": 50}
        make_job("run", "finish", session="ends-with-a-long-name", data=data)
    browser.driver.set_window_size(1280, 1000)
    browser.open("/jobs?text=ends-with-a-long-name")
    seen = browser.driver.execute_script(
        "return [...document.querySelectorAll('#rows .title')].map((title) => {"
        "const end = title.lastElementChild.getBoundingClientRect(), box = title.getBoundingClientRect();"
        "return [title.lastElementChild.textContent.trim(), end.right <= box.right + 1 && end.width > 20]})"
    )
    assert seen == [["ple S102", True], ["ple S101", True]]
    heights = "return [...document.querySelectorAll('#rows tr')].map((row) => row.offsetHeight)"
    assert max(browser.driver.execute_script(heights)) < 45


def test_a_title_that_is_read_from_the_right_begins_there(
    browser: Browser, make_job: Callable[..., Job]
) -> None:
    job = make_job(data={"name": "תוצאות של הניסוי הראשון במעבדה הגדולה עם הרבה דגימות ועוד מילים"})
    browser.open("/jobs")
    title = f"#job-{job.uuid} .title > "
    beginning, end = (browser.place(title + part) for part in (":first-child", ":last-child"))
    assert beginning["x"] > end["x"]
    browser.open(f"/jobs/{job.uuid}")
    assert browser.one("h1").run("return getComputedStyle(arguments[0]).direction") == "rtl"


def test_a_uuid_is_copied_by_a_button(browser: Browser, make_job: Callable[..., Job]) -> None:
    job = make_job()
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
    browser.open("/jobs")
    browser.press(f"#job-{job.uuid} [data-copy]")
    browser.until(lambda: browser.texts("#said") == ["copied"])
    title = browser.one(f"#job-{job.uuid} [data-copy]").get_attribute("title")
    assert title is not None
    assert title.startswith("Copy")
    read = "navigator.clipboard.readText().then(arguments[0])"
    assert browser.driver.execute_async_script(read) == job.uuid


def test_the_callback_is_copied_as_a_command_that_works(
    browser: Browser, make_job: Callable[..., Job], up: RunningGateway, backend: Backend
) -> None:
    job = make_job("run")
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
    browser.open(f"/jobs/{job.uuid}")
    browser.press("[data-copy^='curl']")
    browser.until(lambda: browser.texts("#said") == ["copied"])
    command = browser.driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0])"
    )
    secrets = {"NONCE": told(up, "nonce"), "TOKEN": job.token}
    shell = ["sh", "-c", command]
    subprocess.run(shell, check=True, capture_output=True, env={**os.environ, **secrets})
    eventually(lambda: backend.jobs.load(job.uuid)["last_event"] == "update")
    browser.press("[data-copy-from]")
    browser.until(lambda: browser.one("[data-copy-from]").get_attribute("data-said") == "copied")
    copied = browser.driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0])"
    )
    assert json.loads(copied)["uuid"] == job.uuid


def test_nothing_moves_while_a_page_appears(browser: Browser, make_job: Callable[..., Job]) -> None:
    job = make_job("run", "fail")
    tablet = {"width": 768, "height": 1024, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", tablet)
    shifts = (
        "const done = arguments[0]; new PerformanceObserver((list) => done(list.getEntries()"
        ".filter((each) => !each.hadRecentInput).reduce((sum, each) => sum + each.value, 0)))"
        ".observe({ type: 'layout-shift', buffered: true }); setTimeout(() => done(0), 300)"
    )
    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    try:
        for path in ("/", "/jobs", f"/jobs/{job.uuid}", "/refused", "/platform", "/pipelines"):
            browser.open(path)
            browser.until(lambda: "" not in browser.texts("[data-count]"))
            assert browser.driver.execute_async_script(shifts) < 0.05, path
            needed, there = browser.driver.execute_script(widths)
            assert needed <= there, path
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_way_through_many_states(browser: Browser, make_job: Callable[..., Job]) -> None:
    for events in (("run", "fail"), ("run", "update"), ("run", "finish", "index"), ("run",)):
        make_job(*events)
    job = make_job("run", "update", "finish", "index", "indexed", "validate", "validated")
    browser.open("/jobs")
    browser.until(lambda: browser.one("[data-count=RUNNING]").text)
    browser.open(f"/jobs/{job.uuid}")
    states = ["CREATED", "RUNNING", "FINISHED", "INDEXING", "VALIDATING", "VALIDATED"]
    assert browser.texts(".timeline .row .name") == states


@pytest.mark.skipif(TAKE not in os.environ, reason="no pictures are wanted")
def test_the_pictures_show_the_day_of_make_up_demo(browser: Browser, backend: Backend) -> None:
    for name in ("jobs", "jobs_history", "rejected_events"):
        backend.jobs.db[name].delete_many({})
    assert day.fill(backend.jobs, now()) == day.JOBS
    browser.open("/")
    browser.picture("overview", 1200)
    browser.open("/jobs")
    browser.until(lambda: browser.one("[data-count=RUNNING]").text)
    browser.picture("jobs", 900)
    (failed,) = backend.search.jobs(Filters(states=("FAILED",)), limit=1).rows
    browser.open(f"/jobs/{failed['uuid']}")
    browser.picture("job", 1200)
