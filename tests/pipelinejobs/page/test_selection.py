"""Jobs that are moved or deleted together."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest

from pipelinejobs.backend import Backend
from tests.pipelinejobs.page.conftest import Job, Person
from tests.pipelinejobs.running import TRUSTED


def fields_of(text: str) -> dict[str, Any]:
    """Return the fields of the form by which what was previewed is done."""
    form = text[text.index('action="/jobs/selection/apply') :]
    fields: dict[str, Any] = {}
    for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form[: form.index("</form>")]):
        fields.setdefault(name, []).append(html.unescape(value))
    return fields


def results(text: str) -> dict[str, str]:
    """Return what stands beside each job."""
    rows = re.findall(r'<tr id="job-([^"]+)">(.*?)</tr>', text, re.DOTALL)
    return {
        uuid: html.unescape(
            re.sub(r"<[^>]*>", "", row.rpartition("<td")[2]).partition(">")[2]
        ).strip()
        for uuid, row in rows
    }


@pytest.fixture
def trudy(user: Callable[[str, str], Person]) -> Person:
    """Somebody whom the settings trust."""
    return user(TRUSTED, "EXECUTE")


def preview(person: Person, action: str, *jobs: Job) -> Any:
    return person.submit("/jobs/selection", "/jobs", do=action, job=[job.uuid for job in jobs])


def test_what_would_be_refused_is_told_before_anything_happens(
    trudy: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    created, running, hidden = make_job(), make_job("run"), make_job("run")
    backend.jobs.hide(backend.jobs.load_head(hidden.uuid))
    reply = preview(trudy, "finish", created, running, hidden)
    assert reply.status_code == 200
    assert "1 of 3 would be done" in reply.text
    assert reply.text.count("Tacobot 9000</a>") == 3
    said = results(reply.text)
    assert "not allowed in state CREATED" in said[created.uuid]
    assert said[running.uuid] == "→ FINISHED"
    assert "the job is hidden" in said[hidden.uuid]
    assert backend.jobs.load(running.uuid)["state"] == "RUNNING"


def test_who_is_trusted_moves_jobs_without_a_token_and_the_history_keeps_the_name(
    trudy: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    created, running = make_job(), make_job("run")
    shown = preview(trudy, "finish", created, running).text
    assert f"{TRUSTED} is one of the trusted users, who need no token" in shown
    assert 'name="token"' not in shown[shown.index("apply?") :]
    fields = fields_of(shown)
    done = trudy.post("/jobs/selection/apply", data=fields)
    assert "1 done, 1 refused." in done.text
    assert results(done.text)[running.uuid] == "→ FINISHED"
    assert "not allowed in state CREATED" in results(done.text)[created.uuid]
    assert f"by {TRUSTED}" in trudy.get(f"/jobs/{running.uuid}").text
    # a second press is a second delivery
    trudy.post("/jobs/selection/apply", data=fields)
    events = [entry["name"] for entry in backend.jobs.history(running.uuid)]
    assert events == ["create", "run", "finish"]


def test_whoever_is_not_trusted_needs_an_administrative_token_for_several(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    jobs = [make_job(), make_job()]
    shown = preview(operator, "reset", *jobs).text
    assert "Administrative token" in shown
    fields = fields_of(shown)
    without = operator.post("/jobs/selection/apply", data=fields)
    assert without.status_code == 400
    assert 'aria-describedby="mistake-token"' in without.text
    wrong = operator.post("/jobs/selection/apply", data={**fields, "token": jobs[0].token})
    assert wrong.status_code == 409
    assert "No job was changed." in wrong.text
    # it can be typed again, and the way back leads to the list
    assert fields_of(wrong.text)["job"] == fields["job"]
    assert 'data-moved="/jobs"' in wrong.text
    right = operator.post("/jobs/selection/apply", data={**fields, "token": backend.admin_token()})
    assert "2 done, 0 refused." in right.text
    assert {backend.jobs.load(job.uuid)["state"] for job in jobs} == {"RESET"}
    assert backend.admin_token() not in right.text


def test_jobs_are_hidden_together(trudy: Person, make_job: Callable[..., Job]) -> None:
    jobs = [make_job("run"), make_job()]
    done = trudy.post("/jobs/selection/apply", data=fields_of(preview(trudy, "hide", *jobs).text))
    assert "2 done, 0 refused." in done.text
    listed = trudy.get("/jobs").text
    assert not [job for job in jobs if job.uuid in listed]
    # a deletion is not an event: the name is in the audit log, and on the page of the job
    assert f"by <b>{TRUSTED}</b>" in trudy.get(f"/jobs/{jobs[0].uuid}").text


def test_jobs_are_removed_together_for_good(
    trudy: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    jobs = [make_job("run"), make_job()]
    backend.jobs.hide(backend.jobs.load_head(jobs[1].uuid))
    shown = preview(trudy, "remove", *jobs).text
    assert "Remove 2 jobs for good" in shown
    assert results(shown) == {job.uuid: "→ REMOVED" for job in jobs}
    done = trudy.post("/jobs/selection/apply", data=fields_of(shown))
    assert "2 done, 0 refused." in done.text
    assert [trudy.get(f"/jobs/{job.uuid}").status_code for job in jobs] == [404, 404]
    (row,) = backend.jobs.updates.find({"uuid": jobs[0].uuid, "action": "hide"})
    assert row["sender"] == TRUSTED


def test_who_is_trusted_sends_one_event_without_a_token_too(trudy: Person, job: Job) -> None:
    shown = trudy.get(f"/jobs/{job.uuid}").text
    assert "who need no token" in shown
    sent = trudy.submit(f"/jobs/{job.uuid}/events", f"/jobs/{job.uuid}", event="run")
    assert sent.status_code == 303


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"do": "run"}, 400),
        ({"do": "explode", "job": "107"}, 400),
        ({"do": "run", "job": "<b>"}, 404),
        ({"do": "run", "job": "10700000-0000-5000-8000-000000000000"}, 404),
    ],
)
def test_a_selection_that_is_none_is_refused(
    fields: dict[str, str], status: int, operator: Person
) -> None:
    for path in ("/jobs/selection", "/jobs/selection/apply"):
        assert operator.submit(path, "/jobs", **fields).status_code == status
