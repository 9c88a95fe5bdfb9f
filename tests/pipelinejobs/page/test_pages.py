"""What is shown of jobs and of the platform, and what the forms do."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.subscriptions import Subscriptions
from pipelinejobs import subscribing
from pipelinejobs.backend import Backend
from pipelinejobs.page.application import ADDRESSES
from tests.abaco.running import RunningGateway, eventually
from tests.pipelinejobs.page.conftest import Job, Person
from tests.pipelinejobs.running import told

NASTY = '<script>alert("1")</script>'


def row_uuids(text: str) -> list[str]:
    return re.findall(r'<tr id="job-(107[0-9a-f-]+)">', text)


def test_jobs_are_listed_the_newest_first(operator: Person, make_job: Callable[..., Job]) -> None:
    made = [make_job() for _ in range(3)]
    shown = row_uuids(operator.get("/jobs").text)
    assert shown[:3] == [job.uuid for job in reversed(made)]


def test_a_pipeline_that_something_else_has_written_breaks_no_page(
    operator: Person, backend: Backend
) -> None:
    damaged = backend.jobs.db["pipelines"].insert_one({"uuid": [1], "id": "x9", "name": "odd"})
    try:
        for path in ("/", "/jobs", "/gantt", "/refused", "/pipelines"):
            assert operator.get(path).status_code == 200, path
    finally:
        backend.jobs.db["pipelines"].delete_one({"_id": damaged.inserted_id})


def test_filters_are_in_the_address(operator: Person, make_job: Callable[..., Job]) -> None:
    running = make_job("run", session="waxing-moon")
    failed = make_job("run", "fail", session="waxing-moon")
    text = {"text": "waxing-moon"}
    assert set(row_uuids(operator.get("/jobs", params=text).text)) == {running.uuid, failed.uuid}
    one = operator.get("/jobs", params={**text, "state": "failed"}).text
    assert row_uuids(one) == [failed.uuid]
    assert 'value="waxing-moon"' in one
    # what adds another state keeps the text, and what takes it away as well
    both = "/jobs?text=waxing-moon&state=FAILED&state=RUNNING"
    assert html.escape(both) in one
    assert set(row_uuids(operator.get(both).text)) == {running.uuid, failed.uuid}
    assert html.escape("/jobs?text=waxing-moon&state=RUNNING") in operator.get(both).text
    assert row_uuids(operator.get("/jobs", params={**text, "pipeline": "tacobot:9000"}).text)
    assert not row_uuids(operator.get("/jobs", params={**text, "idle": "1d"}).text)
    assert not row_uuids(operator.get("/jobs", params={**text, "hidden": "yes"}).text)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"state": "TIRED"}, "there is no state 'TIRED'"),
        ({"created": "soon"}, "'soon' is not an age"),
        ({"pipeline": NASTY}, "no pipeline has the uuid or id"),
        ({"cursor": NASTY}, "is not a cursor"),
    ],
)
def test_what_a_filter_cannot_be_is_said(
    parameters: dict[str, str], said: str, operator: Person
) -> None:
    reply = operator.get("/jobs", params=parameters)
    assert reply.status_code == 400
    assert said in html.unescape(reply.text)
    assert NASTY not in reply.text


def test_an_address_may_have_the_beginning_of_a_uuid_a_title_or_a_session(
    operator: Person, make_job: Callable[..., Job]
) -> None:
    job = make_job(session="named-once", data={"name": "Gene counts & more", "n": 1})
    for name in (job.uuid[:8], job.uuid[:13].upper(), "named-once", "Gene counts %26 more"):
        reply = operator.get(f"/jobs/{name}")
        assert (reply.status_code, reply.headers.get("location")) == (303, f"/jobs/{job.uuid}")
    twins = {make_job(session="named-twice").uuid for _ in range(2)}
    several = operator.get("/jobs/named-twice")
    assert several.status_code == 300
    assert set(re.findall(r'class="title" href="/jobs/([^"]+)"', several.text)) == twins
    for name in (job.uuid[:7], "107fffff-", "<b>"):
        assert operator.get(f"/jobs/{name}").status_code == 404


def test_a_name_in_an_address_may_have_a_slash(
    operator: Person, make_job: Callable[..., Job], up: RunningGateway
) -> None:
    job = make_job(data={"name": "plate 3/well B", "n": 1}, session="50%2F")
    for name in ("plate 3%2Fwell B", "plate%203%2fwell%20B", "50%252F"):
        reply = operator.get(f"/jobs/{name}")
        assert (reply.status_code, reply.headers.get("location")) == (303, f"/jobs/{job.uuid}")
    for path in ("jobs", "pipelines", "refused", "platform", "platform/x/executions"):
        missing = operator.get(f"/{path}/no%2Fsuch")
        kind = missing.headers["content-type"]
        assert (missing.status_code, kind) == (404, "text/html; charset=utf-8"), path
    with Person(up) as stranger:
        shown = stranger.get("/jobs/plate%203%2Fwell%20B?event=run").text
        (form,) = re.findall(r'action="(/sign-in[^"]*)"', shown)
        signed = stranger.post(html.unescape(form), data={"token": told(up, "token")})
    assert signed.headers["location"] == "/jobs/plate%203%2Fwell%20B?event=run"


def test_a_job_is_shown_with_all_that_belongs_to_it(
    operator: Person, backend: Backend, make_job: Callable[..., Job]
) -> None:
    parent = make_job()
    job = make_job("run", "finish", child_of=[parent.uuid], data={"sample": "brisket"})
    FileStore(backend.jobs.db).add_update_document(
        {"name": "/products/v2/page/smoke.csv", "level": "1", "child_of": [job.uuid]}
    )
    operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token)
    text = operator.get(f"/jobs/{job.uuid}").text
    assert f'href="/jobs/{parent.uuid}"' in text
    assert f'href="/jobs/{job.uuid}"' in operator.get(f"/jobs/{parent.uuid}").text
    for part in ("Tacobot 9000", "brisket", "/products/v2/page/smoke.csv", "Refused events"):
        assert part in text
    assert re.findall(r'class="node [\w-]+ (\w+)" data-state="(\w+)"', text) == [
        ("visited", "CREATED"),
        ("visited", "RUNNING"),
        ("current", "FINISHED"),
    ]
    assert re.findall(r'class="edge visited" data-event="(\w+)"', text) == ["run", "finish"]
    offered = re.findall(r'name="event" value="(\w+)"', text)
    assert offered == ["finish", "index", "indexed", "validate", "retire", "reset"]
    assert re.findall(r'<div class="row[^"]*" data-state="(\w+)"', text) == [
        "CREATED",
        "RUNNING",
        "FINISHED",
    ]
    assert re.findall(r"<b>(\w+)</b> <span class=\"state", text) == [
        "finish",
        "run",
        "create",
        "run",
    ]
    assert job.token not in text


def test_a_long_history_is_shown_in_pages(
    operator: Person, backend: Backend, make_job: Callable[..., Job]
) -> None:
    job = make_job("run", *["update"] * 60)
    first = operator.get(f"/jobs/{job.uuid}").text
    entries = re.findall(r'<li id="entry-[^"]+" value="(\d+)"', first)
    assert [int(entry) for entry in entries] == list(range(61, 11, -1))
    (older,) = re.findall(r'href="([^"]*before=\d+[^"]*)">Older', first)
    second = operator.get(html.unescape(older)).text
    entries = re.findall(r'<li id="entry-[^"]+" value="(\d+)"', second)
    assert [int(entry) for entry in entries] == list(range(11, -1, -1))
    document = operator.get(f"/jobs/{job.uuid}/document")
    assert document.headers["content-type"] == "application/json"
    assert len(document.json()["history"]) == 62
    assert not [name for name in document.json() if name.startswith("_out")]


def test_whatever_a_job_is_called_is_a_text(
    operator: Person, backend: Backend, make_job: Callable[..., Job]
) -> None:
    job = make_job(session=NASTY, data={NASTY: NASTY}, agent=NASTY, task=NASTY)
    backend.jobs.apply(backend.jobs.load(job.uuid), "update", {NASTY: NASTY})
    backend.pipelines.add_update_document(
        {"name": NASTY, "id": NASTY, "components": [{"id": NASTY}], "processing_levels": ["1"]}
    )
    for path in (
        "/",
        "/jobs",
        f"/jobs/{job.uuid}",
        "/pipelines",
        f"/jobs?text={NASTY}",
        "/refused",
    ):
        assert NASTY not in operator.get(path).text
    assert html.escape(NASTY, quote=False) in operator.get("/jobs").text.replace("&#34;", '"')
    data = operator.get(f"/jobs/{job.uuid}/document")
    assert data.json()["data"] == {NASTY: NASTY}


def test_an_event_is_sent_and_answered(operator: Person, job: Job) -> None:
    reply = operator.submit(
        f"/jobs/{job.uuid}/events", event="run", token=job.token, data='{"step": "smoke"}'
    )
    assert (reply.status_code, reply.headers["location"]) == (303, f"/jobs/{job.uuid}?sent=run")
    text = operator.get(reply.headers["location"]).text
    assert "The event run was applied." in text
    assert '"step": "smoke"' in html.unescape(text)


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"event": "finish"}, 409, "not allowed in state CREATED"),
        ({"event": "run", "token": "0123456789abcdef"}, 409, "that this token may change"),
        ({"event": "explode"}, 400, "there is no event 'explode'"),
        ({"event": "run", "data": "[1]"}, 400, "must be a JSON object"),
        ({"event": "run", "data": "@/etc/passwd"}, 400, "is not JSON"),
        ({"event": "run", "data": "-"}, 400, "is not JSON"),
    ],
)
def test_an_event_that_is_refused_is_explained(
    fields: dict[str, str], status: int, said: str, operator: Person, job: Job
) -> None:
    reply = operator.submit(f"/jobs/{job.uuid}/events", **{"token": job.token, **fields})
    assert reply.status_code == status
    (alert,) = re.findall(r'role="alert">(.*?)</p>', html.unescape(reply.text))
    assert said in alert
    # and everything else is there to try again
    assert 'data-state="CREATED"' in reply.text
    assert f'data-moved="/jobs/{job.uuid}"' in reply.text
    assert job.token not in reply.text


def test_a_form_keeps_what_was_typed_and_says_the_mistake_where_it_is(
    operator: Person, job: Job, up: RunningGateway
) -> None:
    for fields, name in (
        ({"data": '{"a": '}, "data"),
        ({"data": '{"a": 1}', "token": "0123456789abcdef"}, "token"),
    ):
        sent = {"event": "run", "token": job.token, **fields}
        text = html.unescape(operator.submit(f"/jobs/{job.uuid}/events", **sent).text)
        assert f'value="{fields["data"]}" placeholder' in text.replace("'", '"')
        assert f'aria-describedby="mistake-{name}"' in text
        assert re.findall(rf'id="mistake-{name}" role="alert">[^<]', text)
        assert sent["token"] not in text
    path = f"/platform/{told(up, 'actor')}"
    typed = {"level": "READ", "uses": "many", "description": "a cluster"}
    reply = operator.submit(f"{path}/nonces", **typed)
    assert reply.status_code == 400
    assert 'value="many" aria-invalid="true" aria-describedby="mistake-uses"' in reply.text
    assert 'value="a cluster"' in reply.text
    assert "<option selected>READ</option>" in reply.text


def test_a_document_is_a_page_to_a_browser_and_json_to_a_program(
    operator: Person, make_job: Callable[..., Job]
) -> None:
    job = make_job(data={NASTY: NASTY, "long": "x" * 400_000})
    path = f"/jobs/{job.uuid}/document"
    shown = operator.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert NASTY not in shown.text
    assert "Below is its beginning." in shown.text
    assert len(shown.content) < 300_000
    for raw in (
        operator.get(f"{path}?raw=yes", headers={"Accept": "text/html"}),
        operator.get(path),
    ):
        assert raw.json()["data"][NASTY] == NASTY


def test_a_job_is_hidden_and_removed(operator: Person, job: Job) -> None:
    refused = operator.submit(f"/jobs/{job.uuid}/delete", token="0123456789abcdef")
    assert refused.status_code == 409
    # the form is open, and says what is wrong
    form = refused.text[refused.text.index('<h2 id="h-delete">') :]
    assert "<details open>" in form
    assert "that this token may change" in form
    hidden = operator.submit(f"/jobs/{job.uuid}/delete", token=job.token)
    assert hidden.headers["location"] == f"/jobs/{job.uuid}"
    page = operator.get(f"/jobs/{job.uuid}").text
    assert "HIDDEN" in page
    assert f"<code>pipelinejobs jobs undelete {job.uuid}</code>" in page
    assert "Remove this job for good" in page
    assert job.uuid not in operator.get("/jobs").text
    assert job.uuid in operator.get("/jobs?hidden=yes").text
    removed = operator.submit(f"/jobs/{job.uuid}/delete", token=job.token, force="yes")
    assert removed.headers["location"] == "/jobs"
    assert operator.get(f"/jobs/{job.uuid}").status_code == 404


def test_pipelines(operator: Person) -> None:
    text = operator.get("/pipelines", params={"text": "TACO"}).text
    (path,) = re.findall(r'<th scope="row"><a href="(/pipelines/106[^"]+)">Tacobot 9000', text)
    shown = operator.get(path).text
    assert "smoke" in shown
    assert operator.get("/pipelines/tacobot:9000").status_code == 200
    assert operator.get("/pipelines/nope").status_code == 404


def test_a_refused_event_is_retried(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job()
    operator.submit(f"/jobs/{job.uuid}/events", event="finish", token=job.token, data='{"a": 1}')
    assert job.uuid in operator.get("/refused").text
    (refused,) = backend.search.rejected(job_uuid=job.uuid).rows
    rejected_id = refused["id"]
    again = operator.submit("/refused", "/refused", id=rejected_id)
    assert again.status_code == 409
    assert "not allowed in state CREATED" in again.text
    operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token)
    applied = operator.submit("/refused", "/refused", id=rejected_id)
    assert applied.headers["location"] == "/refused?retried=1"
    assert "The event was applied." in operator.get("/refused?retried=1").text
    assert job.uuid not in operator.get("/refused").text
    assert job.uuid in operator.get("/refused?settled=yes").text
    assert "after <b>finish</b>" in operator.get(f"/jobs/{job.uuid}").text
    assert operator.submit("/refused", id="nope").status_code == 409


def test_it_is_said_whether_a_retry_can_work_and_all_that_can_are_retried(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    # what one event allows, the next one needs
    ready, stuck = make_job(), make_job()
    for job, events in ((ready, ("finish", "index")), (stuck, ("reject",))):
        for event in events:
            sent = {"event": event, "token": job.token}
            operator.submit(f"/jobs/{job.uuid}/events", **sent)
    backend.jobs.apply(backend.jobs.load(ready.uuid), "run", {})
    page = operator.get("/refused", params={"job": ready.uuid}).text
    rows = re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", page, re.DOTALL)
    index, finish = (re.sub(r"<[^>]*>", " ", row) for row in rows)
    assert "CREATED" in finish
    assert "RUNNING" in finish
    assert "not allowed in state CREATED" in finish
    assert "not while the job is RUNNING" in index
    assert "not while" not in finish
    only = operator.get("/refused", params={"event": "reject", "job": stuck.uuid}).text
    assert "not while the job is CREATED" in only
    assert 'form="retry"' not in only
    done = operator.submit(f"/refused?job={ready.uuid}", "/refused", all="yes")
    assert done.headers["location"] == f"/refused?job={ready.uuid}&retried=2&left=0"
    assert "2 events were applied." in operator.get(done.headers["location"]).text
    assert backend.jobs.load(ready.uuid)["state"] == "INDEXING"
    assert backend.jobs.load(stuck.uuid)["state"] == "CREATED"
    mistake = operator.get("/refused", params={"job": "abc"})
    assert mistake.status_code == 400
    assert 'value="abc" placeholder="uuid" aria-invalid="true"' in mistake.text
    assert "is not the uuid of a job" in mistake.text


def test_subscriptions_are_tested_and_replayed(
    operator: Person, backend: Backend, job: Job
) -> None:
    assert "Nobody subscribes" in operator.get("/subscriptions").text
    subscribing.add(
        backend, {"name": "lab", "url": "http://127.0.0.1:9/x?key=1", "allow_private": True}
    )
    subscriptions = Subscriptions(backend.jobs.db)
    try:
        listed = operator.get("/subscriptions").text
        assert "http://127.0.0.1:9/x?…" in listed
        assert "key=1" not in listed
        away = operator.submit("/subscriptions", name="lab", do="test")
        assert (away.status_code, "no connection" in away.text) == (409, True)
        stored = backend.jobs.load(job.uuid)
        letter = {"subscriber": "lab", "job_id": stored["_id"], "job_uuid": job.uuid, "number": 0}
        subscriptions.bury({**letter, "event": "create", "reason": "why not", "tries": 3})
        assert "why not (3 tries)" in operator.get("/subscriptions").text
        dates = {"last_delivery": now(), "error": "nobody", "error_date": now()}
        subscriptions.note({"lab": ({"delivered": 1}, dates)})
        listed = operator.get("/subscriptions").text
        # of each of the two dates the time zone is said
        assert (
            len(re.findall("(?:last|nobody,) <time[^>]*>[^<]*</time> <span data-zone>", listed))
            == 2
        )
        left = operator.submit("/subscriptions", name="lab", do="replay")
        assert (left.status_code, "1 dead letter is left" in left.text) == (409, True)
        assert operator.submit("/subscriptions", name="lab", do="bake").status_code == 400
        assert operator.submit("/subscriptions", name="nope", do="test").status_code == 409
    finally:
        subscribing.remove(backend, "lab")


def test_the_platform(operator: Person, up: RunningGateway, job: Job) -> None:
    actor = told(up, "actor")
    listed = operator.get("/platform").text
    assert f'href="/platform/{actor}"' in listed
    assert "jobs-manager" in listed
    operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token)
    shown = operator.get(f"/platform/{actor}").text
    execution = re.findall(rf'href="(/platform/{actor}/executions/\w+)"', shown)[0]
    assert re.findall(r"<h2 id=\"h-workers\">.*?READY", shown, re.DOTALL)
    assert told(up, "nonce") not in re.sub(r'value="[^"]*"', "", shown)

    def logged() -> bool:
        return f"job {job.uuid}: run event, state RUNNING" in operator.get(execution).text

    eventually(logged)
    text = operator.get(execution).text
    assert "COMPLETE" in text
    assert f'href="/jobs/{job.uuid}"' in text
    for path in (f"/jobs/{job.uuid}", f"/jobs/{job.uuid}?event=run"):
        (back,) = re.findall(r'href="([^"]*)">execution and log', operator.get(path).text)
        assert execution.rpartition("/")[2] in back
        assert operator.get(back).status_code == 200
    assert operator.get(f"/platform/{actor}/executions/nope").status_code == 404
    assert operator.get("/platform/nope").status_code == 404


def test_nonces_are_made_and_ended(operator: Person, up: RunningGateway, job: Job) -> None:
    actor = told(up, "actor")
    path = f"/platform/{actor}"
    made = operator.submit(f"{path}/nonces", level="EXECUTE", uses="1", description="a cluster")
    assert made.status_code == 200
    (address,) = re.findall(r">(http://[^<]*x-nonce=[^<]*)<", made.text)
    with Person(up) as platform:
        body = {"uuid": job.uuid, "name": "run", "token": job.token}
        sent = platform.post(f"{html.unescape(address)}&_abaco_synchronous=true", json=body)
        assert json.loads(sent.content)["state"] == "RUNNING"
        assert platform.post(html.unescape(address), json=body).status_code == 400
    assert operator.submit(f"{path}/nonces", level="ROOT").status_code == 400
    nonce = address.rpartition("=")[2]
    ended = operator.submit(f"{path}/nonces/delete", nonce=nonce)
    assert ended.headers["location"] == path
    assert "a cluster" not in operator.get(path).text


def test_nonces_of_an_alias_are_listed_and_ended_as_well(
    operator: Person, up: RunningGateway
) -> None:
    path = f"/platform/{told(up, 'actor')}"
    with up.client("operator") as owner:
        wanted = {"description": "of the alias"}
        made = owner.result("POST", "/aliases/jobs-manager/nonces", json=wanted)
        assert "of the alias" in operator.get(path).text
        assert "…/jobs-manager/…" in operator.get(path).text
        operator.submit(f"{path}/nonces/delete", nonce=made["id"], alias="jobs-manager")
        assert owner.result("GET", "/aliases/jobs-manager/nonces") == []


def test_workers_are_added(operator: Person, up: RunningGateway) -> None:
    path = f"/platform/{told(up, 'actor')}"

    def workers() -> int:
        return len(re.findall(r'<li><span class="uuid">', operator.get(path).text))

    before = workers()
    assert operator.submit(f"{path}/workers").headers["location"] == path
    eventually(lambda: workers() == before + 1)


def test_nothing_is_shown_from_which_a_token_could_be_made(
    operator: Person, backend: Backend, make_job: Callable[..., Job], up: RunningGateway
) -> None:
    job = make_job("run")
    operator.submit(f"/jobs/{job.uuid}/events", event="validate", token=job.token)
    salt = backend.jobs.load(job.uuid)["_salt"]
    names = {
        "uuid": job.uuid,
        "actor": told(up, "actor"),
        "entry": backend.jobs.history(job.uuid)[0]["uuid"],
        "refused": backend.search.rejected(job_uuid=job.uuid).rows[0]["id"],
    }
    # what a former token was made of must be shown as little as what the present one is made of
    backend.jobs.rotate_token(job.uuid, job.token)
    for address in ADDRESSES:
        if address.method == "GET" and "execution" not in address.path:
            path = address.path.format_map(names)
            text = operator.get(path).text
            assert salt not in text, path
            assert job.token not in text, path
            assert "_salt" not in text, path


LACKING: list[dict[str, Any]] = [
    *(
        {name: None}
        for name in (
            *("session", "state", "last_event", "updated", "pipeline_uuid", "agent", "task"),
            *("archive_path", "archive_system", "data", "_admin", "child_of", "archive_patterns"),
        )
    ),
    {"_admin": "x"},
    {"state": ["RUNNING"]},
    {"child_of": 5, "archive_patterns": 5, "_untold": 5},
    {"history": [{}]},
    {"history": [{"name": "run", "uuid": "x", "data": {}}]},
    {"updated": "yesterday"},
]


@pytest.mark.parametrize("changed", LACKING, ids=str)
def test_a_document_that_something_else_has_written_is_shown_as_far_as_it_goes(
    changed: dict[str, Any], operator: Person, backend: Backend, make_job: Callable[..., Job]
) -> None:
    job = make_job("run")
    missing = {name: "" for name, value in changed.items() if value is None}
    given = {name: value for name, value in changed.items() if value is not None}
    change = {"$unset": missing} if missing else {"$set": given}
    backend.jobs.coll.update_one({"uuid": job.uuid}, change)
    try:
        assert operator.get("/").status_code == 200
        for path in ("/jobs", f"/jobs/{job.uuid}", f"/jobs/{job.uuid}/document"):
            reply = operator.get(path)
            assert reply.status_code == 200, path
            assert job.uuid in reply.text
    finally:
        backend.jobs.coll.delete_one({"uuid": job.uuid})


@pytest.mark.parametrize("data", ["NaN", '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100_000])
def test_data_that_json_cannot_carry_is_refused(data: str, operator: Person, job: Job) -> None:
    reply = operator.submit(f"/jobs/{job.uuid}/events", event="run", token=job.token, data=data)
    assert reply.status_code == 400
    assert "The data" in reply.text


def test_numbers_are_bounded(operator: Person, up: RunningGateway, job: Job) -> None:
    many = "9" * 5000
    for path in (f"/jobs/{job.uuid}", f"/platform/{told(up, 'actor')}"):
        assert operator.get(path, params={"before": many}).status_code == 200


def test_why_a_job_failed_is_at_the_top_of_its_page(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    job = make_job("run")
    assert "Why it failed" not in operator.get(f"/jobs/{job.uuid}").text
    trace = {"message": "no <tacos>", "traceback": "Traceback\n  line 3\nTacoError: no tacos\n"}
    backend.jobs.apply(backend.jobs.load(job.uuid), "fail", trace)
    text = operator.get(f"/jobs/{job.uuid}").text
    section = text[text.index("Why it failed") : text.index("State machine")]
    assert "no &lt;tacos&gt;" in section
    assert "Traceback\n  line 3\nTacoError: no tacos</pre>" in section


def test_a_job_is_called_by_what_its_data_or_session_say(
    operator: Person, make_job: Callable[..., Job], backend: Backend
) -> None:
    names: list[tuple[dict[str, Any], str]] = [
        ({"data": {"name": "Sample 7", "title": "other"}}, "Sample 7"),
        ({"data": {"title": " Plate 3 "}}, "Plate 3"),
        ({"data": {"name": 5, "n": 1}, "session": "tired-heron"}, "tired-heron"),
        ({"data": {"nothing": 1}}, "Tacobot 9000"),
    ]
    for fields, name in names:
        job = make_job(**fields)
        text = html.unescape(operator.get("/jobs").text)
        row = text[text.index(f'id="job-{job.uuid}"') :]
        (shown,) = re.findall(r'class="title" href="[^"]*" title="([^\n]*)">', row)[:1]
        assert shown.startswith(name)
        assert f'<h1 dir="auto">{name}</h1>' in html.unescape(
            operator.get(f"/jobs/{job.uuid}").text
        )
