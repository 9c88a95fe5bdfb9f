"""However much data there is, a page stays small, and all of it can be reached."""

from __future__ import annotations

import html
import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from markupsafe import escape

from pipelinejobs.backend import Backend
from pipelinejobs.page import folding
from tests.abaco.running import RunningGateway
from tests.pipelinejobs.page.conftest import Job, Person
from tests.pipelinejobs.running import told

MAX_PAGE = 500_000
EVENTS = 110


def note(number: int, size: int) -> dict[str, Any]:
    return {"number": number, "note": secrets.token_hex(size // 2)}


def link(text: str, name: str) -> str:
    """Return where a link leads that has this text."""
    found = re.findall(rf'<a href="([^"]*)">{name}</a>', text)
    assert found, name
    return html.unescape(found[0])


@pytest.fixture(scope="module", autouse=True)
def removed(backend: Backend) -> Iterator[None]:
    """Nothing that it makes is left: it would make the lists of others long."""
    jobs, pipelines = backend.jobs, backend.pipelines
    before = {coll.name: coll.distinct("uuid") for coll in (jobs.coll, pipelines.coll)}
    yield
    made = [*jobs.coll.find({"uuid": {"$nin": before[jobs.coll.name]}}, {"uuid": 1})]
    uuids = {"$in": [job["uuid"] for job in made]}
    jobs.histories.buckets.delete_many({"job_id": {"$in": [job["_id"] for job in made]}})
    jobs.db["rejected_events"].delete_many({"uuid": uuids})
    jobs.coll.delete_many({"uuid": uuids})
    pipelines.coll.delete_many({"uuid": {"$nin": before[pipelines.coll.name]}})


@pytest.fixture(scope="module")
def large(backend: Backend) -> Job:
    """A job with many large events."""
    pipeline = backend.pipeline_uuid("tacobot:9000")
    data = {"quotes": '"' * 50_000, "note": "of the job"}
    wanted = {"data": data, "archive_path": "/products/v2/large"}
    stored, _ = backend.jobs.find_or_create({"pipeline_uuid": pipeline, **wanted})
    job = backend.jobs.load(stored["uuid"])
    for number in range(EVENTS):
        job = backend.jobs.apply(job, "run", note(number, 50_000)).job
    return Job(stored["uuid"], backend.jobs.get_token(stored))


@pytest.mark.long
def test_the_page_of_a_job_is_small_and_all_of_its_history_can_be_reached(
    large: Job, operator: Person
) -> None:
    address, numbers, wholes = f"/jobs/{large.uuid}", [], []
    while True:
        reply = operator.get(address)
        assert len(reply.content) < MAX_PAGE
        numbers += [int(each) for each in re.findall(r'value="(\d+)">', reply.text)]
        wholes += re.findall(r'href="(/jobs/[^"/]+/entries/[^"]+)">all of it', reply.text)
        if ">Older</a>" not in reply.text:
            break
        address = link(reply.text, "Older")
    # as the revision counts, and the command line
    assert numbers == list(range(EVENTS, -1, -1))
    assert len(wholes) == EVENTS + 1
    newest = operator.get(wholes[0])
    assert newest.headers["content-type"] == "application/json"
    entry = newest.json()
    assert set(entry) == {"date", "name", "data", "uuid"}
    assert (entry["name"], entry["data"]["number"]) == ("run", EVENTS - 1)
    assert len(entry["data"]["note"]) == 50_000
    # of the oldest, in a bucket
    assert operator.get(wholes[-2]).json()["data"]["number"] == 0


def test_the_pages_of_a_history_lead_both_ways(large: Job, operator: Person) -> None:
    def shown(text: str) -> list[int]:
        return [int(each) for each in re.findall(r'value="(\d+)">', text)]

    newest = operator.get(f"/jobs/{large.uuid}").text
    assert ">Newer<" not in newest
    assert ">Newest<" not in newest
    oldest = operator.get(link(newest, "Oldest")).text
    assert shown(oldest)[-1] == 0
    assert ">Older<" not in oldest
    newer = operator.get(link(oldest, "Newer")).text
    assert shown(newer)[-1] == shown(oldest)[0] + 1
    assert shown(operator.get(link(newer, "Newest")).text) == shown(newest)


def test_the_beginning_of_large_data_is_shown_with_its_size(large: Job, operator: Person) -> None:
    text = operator.get(f"/jobs/{large.uuid}").text
    assert "The beginning of 48.9 KiB" in text
    assert html.unescape(text).count(f'\n  "number": {EVENTS - 1}') == 1
    data = operator.get(f"/jobs/{large.uuid}/document?history=no").json()
    assert data["data"]["note"] == "of the job"
    assert "history" not in data
    assert f'href="/jobs/{large.uuid}/document?history=no">all of it' in text


def test_the_document_has_the_whole_history(large: Job, operator: Person, backend: Backend) -> None:
    document = operator.get(f"/jobs/{large.uuid}/document").json()
    assert [entry["name"] for entry in document["history"]] == ["create"] + ["run"] * EVENTS
    assert [entry["data"].get("number") for entry in document["history"][1:]] == list(range(EVENTS))
    assert document["uuid"] == large.uuid
    assert set(document) == set(operator.get(f"/jobs/{large.uuid}/document?history=no").json()) | {
        "history"
    }


def test_an_entry_of_another_job_or_none_is_not_there(
    large: Job, job: Job, operator: Person, backend: Backend
) -> None:
    uuid = backend.jobs.history(large.uuid, limit=1)[0]["uuid"]
    assert operator.get(f"/jobs/{large.uuid}/entries/{uuid}").status_code == 200
    for path in (f"/jobs/{job.uuid}/entries/{uuid}", f"/jobs/{large.uuid}/entries/x"):
        assert operator.get(path).status_code == 404
    assert operator.get("/refused/x").status_code == 404


def test_refused_events_are_folded(
    operator: Person, backend: Backend, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    for number in range(25):
        with pytest.raises(Exception, match="not allowed in state CREATED"):
            backend.jobs.apply(backend.jobs.load(job.uuid), "finish", note(number, 50_000))
    for path in (f"/jobs/{job.uuid}", "/refused"):
        reply = operator.get(path)
        assert len(reply.content) < MAX_PAGE
        wholes = re.findall(r'href="(/refused/[^"]+)">all of it', reply.text)
        row = operator.get(wholes[0]).json()
        assert (row["uuid"], row["event"], row["data"]["number"]) == (job.uuid, "finish", 24)
    assert "The newest 20." in operator.get(f"/jobs/{job.uuid}").text


def test_lists_shorten_what_somebody_has_made_long(
    operator: Person, backend: Backend, make_job: Callable[..., Job]
) -> None:
    long = "<" * 40_000
    parent = make_job(session="long-parent")
    parents = [parent.uuid] + [
        f"107{number:05}-0000-5000-8000-000000000000" for number in range(800)
    ]
    uuids = [
        make_job(session=f"long {n} {long}", child_of=parents, agent=long).uuid for n in range(12)
    ]
    backend.pipelines.add_update_document(
        {"name": f"long {long}", "id": "long", "description": long, "processing_levels": ["1"],
         "components": [{"id": "long", "parameters": {"many": [long] * 3}}]}
    )  # fmt: skip
    pipeline = backend.pipeline_uuid("long")
    paths = [
        "/",
        "/jobs",
        "/jobs?text=long",
        f"/jobs/{uuids[0]}",
        f"/jobs/{parent.uuid}",
        "/pipelines",
    ]
    for path in (*paths, f"/pipelines/{pipeline}"):
        assert len(operator.get(path).content) < MAX_PAGE, path
    document = operator.get(link(operator.get(f"/pipelines/{pipeline}").text, "all of it")).json()
    assert document["components"][0]["parameters"]["many"] == [long] * 3


def test_the_end_of_a_large_log_is_shown(up: RunningGateway, operator: Person, job: Job) -> None:
    operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token)
    actor = f"/platform/{told(up, 'actor')}"
    address = re.findall(rf'href="({actor}/executions/\w+)"', operator.get(actor).text)[0]
    log = "".join(f"line {number} <of> many\n" for number in range(50_000))
    with sqlite3.connect(up.folder / ".local" / "abaco" / "abaco.db") as platform:
        change = "UPDATE logs SET logs = ? WHERE execution_id = ?"
        assert platform.execute(change, [log, address.rpartition("/")[2]]).rowcount == 1
    platform.close()
    reply = operator.get(address)
    assert len(reply.content) < MAX_PAGE
    assert "line 49999 &lt;of&gt; many" in reply.text
    whole = operator.get(link(reply.text, "all of it"))
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.text == log


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"a": "b" * 3000}, ""),
        ({"a": "b" * 5000}, "4.9 KiB"),
        ({"a": '"' * 3000}, "5.9 KiB"),
        ({"a": "ü" * 3000}, "5.9 KiB"),
        ([[]] * 2000, "7.8 KiB"),
        ("b" * 3_000_000, "2.9 MiB"),
        ({}, ""),
        (None, ""),
    ],
    ids=lambda value: str(value)[:12],
)
def test_data_takes_no_more_than_its_share_of_a_page(value: Any, size: str) -> None:
    shown = folding.folded(value)
    assert shown.size == size
    assert len(escape(shown.text).encode()) <= folding.MAX_BYTES
    assert json.dumps(value, indent=2, ensure_ascii=False).startswith(shown.text)
    if not size:
        assert json.loads(shown.text) == value


def test_data_that_is_nested_deeply_takes_no_more_either() -> None:
    value: Any = []
    for _ in range(200):
        value = [value]
    assert len(folding.folded(value).text) <= folding.MAX_BYTES


@pytest.mark.parametrize("line", ["a line", "ü" * 30, '"quoted" & <marked>'])
def test_the_end_of_a_log_begins_with_a_line(line: str) -> None:
    log = "".join(f"{number} {line}\n" for number in range(10_000))
    shown = folding.end_of(log)
    assert log.endswith(shown.text)
    assert re.match(rf"\d+ {re.escape(line)}\n", shown.text)
    assert folding.MAX_OF_LOG * 0.9 < len(escape(shown.text).encode()) <= folding.MAX_OF_LOG
    assert folding.end_of("short\n") == ("short\n", "")
    assert shown.size.endswith(" KiB")
