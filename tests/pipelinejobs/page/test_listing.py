"""The list of jobs: its pages, columns, order, counts and saved views."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest

from datacatalog.linkedstores.pipelinejob.fsm import STATES
from datacatalog.linkedstores.views import MAX_NAME
from pipelinejobs.backend import Backend
from pipelinejobs.page import columns, listing, rendering
from tests.pipelinejobs.page.conftest import Job, Person
from tests.pipelinejobs.page.test_pages import NASTY, row_uuids


def link(text: str, name: str) -> str:
    """Return where the link of a name leads."""
    (found,) = re.findall(rf'href="([^"]*)">\s*{name}', text)
    return html.unescape(found)


def titles(text: str) -> list[str]:
    head = text[text.index("<thead>") : text.index("</thead>")]
    cells = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', head, re.DOTALL)
    return [re.sub(r"<[^>]*>", "", cell).strip(" ↓↑") for cell in cells if "data-all" not in cell]


def test_pages_lead_on_and_back_and_say_where_they_are(
    operator: Person, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [make_job(session="paging").uuid for _ in range(listing.PAGE + 3)][::-1]
    first = operator.get("/jobs", params={"text": "paging"}).text
    second = operator.get(link(first, "Older")).text
    assert row_uuids(first) + row_uuids(second) == made
    assert f"1 to {listing.PAGE}<" in first
    assert f"{listing.PAGE + 1} to {listing.PAGE + 3}<" in second
    assert ">Older" not in second
    assert ">Newer" not in first
    back = operator.get(link(second, "Newer")).text
    assert row_uuids(back) == row_uuids(first)
    assert f"1 to {listing.PAGE}<" in back
    oldest = operator.get("/jobs", params={"text": "paging", "order": "oldest"}).text
    assert row_uuids(oldest) == made[::-1][: listing.PAGE]
    assert row_uuids(operator.get(link(oldest, "Newer")).text) == made[2::-1]


def test_counts_obey_the_filters(operator: Person, make_job: Callable[..., Job]) -> None:
    for events in ((), ("run",), ("run", "fail")):
        make_job(*events, session="counted")
    every = operator.get("/counts").json()
    assert list(every["counts"]) == list(STATES)
    assert every["counts"]["FAILED"] >= 1
    for filters in ({"text": "counted"}, {"text": "counted", "state": "FAILED"}):
        found = operator.get("/counts", params=filters).json()
        # what is chosen leaves the others to be counted: how many they would add
        assert {name: n for name, n in found["counts"].items() if n} == {
            "CREATED": 1,
            "RUNNING": 1,
            "FAILED": 1,
        }
        assert found["whole"] is True
    none = operator.get("/counts", params={"text": "counted", "created_to": "2020-01-01T00:00"})
    assert sum(none.json()["counts"].values()) == 0
    assert operator.get("/counts", params={"created": "soon"}).status_code == 400


def test_a_text_is_found_in_what_an_event_has_said(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job("run")
    backend.jobs.apply(backend.jobs.load(job.uuid), "fail", {"message": "the centrifuge wobbles"})
    shown = operator.get("/jobs", params={"text": "Centrifuge WOBBLES"}).text
    assert row_uuids(shown) == [job.uuid]
    assert "at the data of its newest events (up to 24)" in shown


def test_the_list_is_sorted_by_the_titles_of_its_columns(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    one, other = make_job(session="sorted"), make_job(session="sorted")
    backend.jobs.apply(backend.jobs.load(one.uuid), "run", {})
    newest = operator.get("/jobs", params={"text": "sorted"}).text
    assert row_uuids(newest) == [other.uuid, one.uuid]
    assert re.findall(r'aria-sort="(\w+)"[^>]*><a[^>]*>(\w+)', newest) == [
        ("descending", "Created")
    ]
    updated = operator.get(link(newest, "Updated")).text
    assert row_uuids(updated) == [one.uuid, other.uuid]
    oldest = operator.get(link(updated, "Updated")).text
    assert row_uuids(oldest) == [other.uuid, one.uuid]
    assert re.findall(r'aria-sort="(\w+)"[^>]*><a[^>]*>(\w+)', oldest) == [("ascending", "Updated")]


def test_columns_are_chosen(operator: Person, job: Job) -> None:
    usual = titles(operator.get("/jobs").text)
    assert usual == ["Job", *(columns.COLUMNS[name] for name in columns.USUAL)]
    few = operator.get("/jobs?columns=owner&columns=state&columns=nothing").text
    assert titles(few) == ["Job", "State", "Owner"]


def test_how_far_a_job_is_stands_in_its_row(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job("run", session="halfway")
    backend.jobs.apply(backend.jobs.load(job.uuid), "update", {"step": 3, "steps": 8})
    for filters in ({"text": "halfway"}, {"session": "halfway"}):
        row = operator.get("/jobs", params=filters).text
        assert re.findall(r'<progress max="100" value="(\d+)"', row) == ["38"]
    backend.jobs.apply(backend.jobs.load(job.uuid), "finish", {})
    assert "<progress" not in operator.get("/jobs", params={"text": "halfway"}).text


def test_what_is_wrong_with_a_filter_is_said_at_its_field(operator: Person) -> None:
    reply = operator.get("/jobs", params={"from": "noon", "text": "kept", "pipeline": "nope"})
    text = html.unescape(reply.text)
    assert reply.status_code == 400
    for name, value in (("from", "noon"), ("pipeline", "nope")):
        (field,) = re.findall(rf'<(?:input|select)[^>]* name="{name}"[^>]*>', text)
        assert f'aria-invalid="true" aria-describedby="mistake-{name}"' in field
        (said,) = re.findall(rf'id="mistake-{name}" role="alert">([^<]*)<', text)
        assert value in said
    assert 'value="noon"' in text
    assert 'value="kept"' in text


@pytest.fixture
def no_views(backend: Backend) -> None:
    for view in backend.views.all():
        backend.views.remove(view["name"])


def test_a_view_is_saved_for_all_who_look(
    operator: Person,
    user: Callable[[str, str], Person],
    make_job: Callable[..., Job],
    no_views: None,
) -> None:
    failed = make_job("run", "fail", session="viewed")
    make_job("run", session="viewed")
    address = "text=viewed&state=FAILED&columns=state&columns=owner"
    saved = operator.submit(f"/jobs/views?{address}&cursor=x", "/jobs", name="What is broken")
    assert saved.status_code == 303
    reader = user("rita", "READ")
    shown = reader.get(link(reader.get("/jobs").text, "What is broken")).text
    assert row_uuids(shown) == [failed.uuid]
    assert titles(shown) == ["Job", "State", "Owner"]
    assert reader.submit("/jobs/views", name="mine").status_code == 403
    sender = user("egon", "EXECUTE")
    assert sender.submit("/jobs/views/remove", name="What is broken").status_code == 403
    assert operator.submit("/jobs/views/remove", "/jobs", name="What is broken").status_code == 303
    assert "What is broken" not in reader.get("/jobs").text


@pytest.mark.parametrize("name", ["taken", " ", "a\x00b", "x" * (MAX_NAME + 1)])
def test_a_view_that_cannot_be_saved_is_explained_where_it_was_typed(
    name: str, operator: Person, no_views: None
) -> None:
    operator.submit("/jobs/views", "/jobs", name="taken")
    reply = operator.submit("/jobs/views?text=abc", "/jobs", name=name)
    assert reply.status_code == 409
    assert 'aria-describedby="mistake-view"' in reply.text
    assert f'name="name" value="{name}"' in reply.text
    assert 'value="abc"' in reply.text


def test_a_view_is_a_text_whatever_it_is_called(operator: Person, no_views: None) -> None:
    operator.submit("/jobs/views?text=%22%3E%3Cb%3E&evil=1", "/jobs", name=NASTY[:50])
    text = operator.get("/jobs").text
    assert NASTY[:50] not in text
    assert 'href="/jobs?text=%22%3E%3Cb%3E"' in text


def test_owner_and_session_leave_exactly_their_jobs(
    operator: Person, make_job: Callable[..., Job]
) -> None:
    wanted = make_job(session="exact-tern")
    make_job(session="exact-tern-2")
    text = operator.get("/jobs?session=exact-tern").text
    assert row_uuids(text) == [wanted.uuid]
    assert 'name="session" value="exact-tern"' in text
    counts = operator.get("/counts?session=exact-tern").json()["counts"]
    assert sum(counts.values()) == 1
    assert row_uuids(operator.get("/jobs?session=exact-tern&owner=nobody").text) == []


@pytest.mark.parametrize(
    "address",
    [
        "/jobs?from=2026-01-02T00:00&to=2026-01-01T00:00",
        "/jobs?created_from=2026-01-02T00:00&created_to=2026-01-01T00:00",
        "/refused?from=2026-01-02T00:00&to=2026-01-02T00:00",
    ],
)
def test_a_time_that_ends_before_it_begins_is_said(operator: Person, address: str) -> None:
    reply = operator.get(address)
    assert reply.status_code == 400
    assert "The end must be later than the beginning." in reply.text
    assert 'class="empty"' not in reply.text


@pytest.mark.parametrize(
    ("name", "beginning", "end"),
    [
        ("line1\nline2\ttab, and the end", "line1 line2 tab, ", "<span> the end</span>"),
        ("a long name " * 30 + "that is number 17", "a long name a long name", "umber 17</span>"),
    ],
)
def test_a_name_is_one_line_with_its_own_end(name: str, beginning: str, end: str) -> None:
    shown = str(rendering.both_ends(name))
    assert shown.startswith(f"<span>{beginning}")
    assert shown.endswith(end)
    assert len(shown) < 300
