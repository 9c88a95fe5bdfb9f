from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest

from pipelinejobs.backend import Backend
from pipelinejobs.page import history
from tests.pipelinejobs.page.conftest import Job, Person

UPDATES = 130


def numbers(text: str) -> list[int]:
    """Return the numbers of the entries that are shown, in their order."""
    return [int(each) for each in re.findall(r'<li id="entry-[^"]*" value="(\d+)">', text)]


def follow(operator: Person, text: str, name: str) -> str:
    """Return the page to which a link with this text leads."""
    (found,) = re.findall(rf'<a href="([^"]*)#h-history">{name}</a>', text)
    return operator.get(html.unescape(found)).text


@pytest.fixture(scope="module")
def long(backend: Backend) -> Job:
    """A job that was updated often, and validated in between."""
    pipeline = backend.pipeline_uuid("tacobot:9000")
    stored, _ = backend.jobs.find_or_create(
        {
            "pipeline_uuid": pipeline,
            "data": {"of": "test_history"},
            "archive_path": "/products/v2/past",
        }
    )
    job = backend.jobs.apply(backend.jobs.load(stored["uuid"]), "run", {"note": "begins"}).job
    for number in range(UPDATES):
        data = {"tacos": number, "note": "n" * 300} if number % 2 else {"tacos": number}
        job = backend.jobs.apply(job, "update", data).job
    backend.jobs.apply(job, "fail", {"message": "no more tacos"})
    return Job(stored["uuid"], backend.jobs.get_token(stored))


def test_the_numbers_of_the_entries_are_the_revisions(
    long: Job, operator: Person, backend: Backend
) -> None:
    text = operator.get(f"/jobs/{long.uuid}").text
    last = UPDATES + 2
    assert numbers(text)[:2] == [last, last - 1]
    assert f"revision {last}" in text
    assert backend.search.entries(backend.jobs.load(long.uuid), last).__next__()["name"] == "fail"


def test_the_oldest_can_come_first(long: Job, operator: Person) -> None:
    text = operator.get(f"/jobs/{long.uuid}?order=oldest").text
    seen = numbers(text)
    while ">Newer</a>" in text:
        text = follow(operator, text, "Newer")
        seen += numbers(text)
    text = follow(operator, text, "Newest")
    assert numbers(text)[-1] == UPDATES + 2
    assert seen == list(range(100))
    assert numbers(follow(operator, text, "Oldest")) == list(range(history.PAGE))


def test_a_history_can_be_filtered_by_event(long: Job, operator: Person) -> None:
    assert numbers(operator.get(f"/jobs/{long.uuid}?event=fail").text) == [UPDATES + 2]
    text = operator.get(f"/jobs/{long.uuid}?event=update").text
    seen = numbers(text)
    while ">Older</a>" in text:
        text = follow(operator, text, "Older")
        seen += numbers(text)
    assert seen == list(range(UPDATES + 1, 1, -1))
    # data of entries that are no longer in the document of the job
    assert '"tacos": 0' in html.unescape(text)
    none = operator.get(f"/jobs/{long.uuid}?event=validate").text
    assert numbers(none) == []
    assert "No event validate is here." in none


def test_data_is_shown_on_a_line_and_all_of_it_can_be_opened(
    long: Job, operator: Person, make_job: Callable[..., Job]
) -> None:
    text = html.unescape(operator.get(f"/jobs/{long.uuid}").text)
    assert '<summary>{"tacos": 128}</summary>' in text
    (line,) = re.findall(r'<summary>(\{"tacos": 129.*)</summary>', text)
    assert line.endswith("nnn…")
    assert len(line) == 101
    listed = text[text.index('id="history"') : text.index("Pages of the history")]
    assert "<details open>" not in listed
    opened = operator.get(f"/jobs/{long.uuid}?data=open").text
    assert opened.count("<details open>") == history.PAGE


@pytest.mark.parametrize("query", ["event=tacos", "order=tacos", "before=-1", "before=x"])
def test_what_an_address_cannot_mean_is_left_out(long: Job, operator: Person, query: str) -> None:
    assert operator.get(f"/jobs/{long.uuid}?{query}").status_code == 200
