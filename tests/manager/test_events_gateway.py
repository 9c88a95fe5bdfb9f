"""Events in the forms of CloudEvents and OpenLineage, as their senders post them to the gateway."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Run, RunEvent, RunState
from openlineage.client.event_v2 import Job as LineageJob

from local.database import Server
from tests.abaco.running import SECONDS, eventually
from tests.actor import job_event, run_event, without
from tests.reliability.running import IMAGE
from tests.site import Site, running_site


@pytest.fixture(scope="module")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(server, tmp_path_factory.mktemp("gateway")) as running:
        yield running


def post(url: str, body: Any, content_type: str, *, wait: bool = True) -> httpx.Response:
    return httpx.post(
        url,
        params={**httpx.URL(url).params, "_abaco_synchronous": str(wait).lower()},
        content=json.dumps(body),
        headers={"Content-Type": content_type},
        timeout=SECONDS,
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON",
        "application/json",
    ],
)
def test_a_cloud_event_is_read_whatever_json_it_is_called(site: Site, content_type: str) -> None:
    job = site.job()

    reply = post(site.messages, job_event(job), content_type)

    assert (reply.status_code, reply.json()["state"]) == (200, "RUNNING")
    assert site.data(job)["salsa"] == "verde"


@pytest.mark.parametrize("value", [False, 0, 0.0, [], True, "false"])
def test_a_value_that_is_false_is_kept_as_what_it_is(site: Site, value: Any) -> None:
    job = site.job()

    reply = post(f"{site.callback(job)}&event=run", value, "application/json")

    assert (reply.status_code, reply.json()["state"]) == (200, "RUNNING")
    kept = site.data(job)["value"]
    assert (kept, type(kept)) == (value, type(value))


@pytest.mark.parametrize("token", [False, True], ids=["without a token", "with a token"])
def test_outputs_that_nobody_can_get_at_hold_up_no_later_event(site: Site, token: bool) -> None:
    """As with `make up`, whose gateway has no files API: it answers 404."""
    with site.gateway.client("ada") as ada:
        ada.result(
            "PUT", f"/{site.actor}", json={"image": IMAGE, "token": token, "stateless": True}
        )
    job = site.job(archive_patterns=[{"patterns": [r"\.csv$"], "level": "1"}])
    for name in ("run", "finish"):
        post(f"{site.callback(job)}&event={name}", {}, "application/json")

    reply = post(f"{site.callback(job)}&event=index", {}, "application/json")

    assert reply.status_code == 200
    assert reply.json()["kind"] == ("invalid_message" if token else "invalid_settings")
    assert "set CATALOG_LOCAL_STORAGE=data-sd2e-community=/folder" in reply.json()["error"]
    last = "fail" if token else "retire"
    assert post(f"{site.callback(job)}&event={last}", {}, "application/json").status_code == 200
    assert site.events(job)[-1] == last


def test_many_documents_in_one_post_are_refused(site: Site) -> None:
    reply = post(site.messages, [job_event(site.job())], "application/cloudevents-batch+json")

    assert (reply.status_code, reply.json()["kind"]) == (200, "invalid_message")


def test_a_run_reports_to_the_callback_of_its_job(site: Site) -> None:
    job = site.job()

    for event_type in ("START", "RUNNING", "RUNNING", "COMPLETE"):
        reply = post(site.callback(job), run_event(None, event_type), "application/json")
        assert reply.status_code == 200, reply.text

    assert site.events(job) == ["run", "update", "finish"]


def test_events_of_one_job_are_applied_in_the_order_in_which_they_came(site: Site) -> None:
    """Without a job in the URL; other jobs are handled at the same time."""
    jobs = [site.job() for _ in range(3)]
    names = ["run", *["update"] * 10, "finish"]
    bodies = [
        [job_event(job, name, id=str(number)) for number, name in enumerate(names)] for job in jobs
    ]
    with httpx.Client(timeout=SECONDS) as client:
        for together in zip(*bodies, strict=True):
            for body in together:
                assert client.post(site.messages, json=body).status_code == 200

    for job in jobs:
        last = {**without(job_event(job, "finish"), "data"), "id": "last"}
        assert post(site.messages, last, "application/cloudevents+json").json()["state"]
        assert site.events(job) == [*names, "finish"]


def test_what_the_package_of_cloudevents_makes_is_taken(site: Site) -> None:
    job = site.job()
    attributes = {
        "type": "org.example.tacos.run",
        "source": "/kitchen",
        "subject": job["uuid"],
        "token": job["_update_token"],
    }
    made = to_structured_event(CloudEvent(attributes, {"salsa": "verde"}))

    replies = [
        httpx.post(site.messages, content=made.body, headers=made.headers, timeout=SECONDS)
        for _ in range(2)
    ]

    assert made.headers["content-type"] == "application/cloudevents+json"
    assert [reply.status_code for reply in replies] == [200, 200]
    eventually(lambda: site.events(job) == ["run"])
    assert site.data(job)["salsa"] == "verde"


def test_a_producer_of_openlineage_that_is_given_the_callback_in_two_parts_reports(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = site.job()
    server, _, rest = site.callback(job).partition("/actors/")
    monkeypatch.setenv("OPENLINEAGE_URL", server)
    monkeypatch.setenv("OPENLINEAGE_ENDPOINT", f"actors/{rest}")
    producer = OpenLineageClient()
    run = Run(runId=str(uuid.uuid4()))

    for number, state in enumerate((RunState.START, RunState.RUNNING, RunState.COMPLETE)):
        producer.emit(
            RunEvent(
                eventType=state,
                eventTime=f"2026-11-23T10:00:0{number}Z",
                run=run,
                job=LineageJob(namespace="kitchen", name="tacos"),
                producer="https://kitchen.example.org/tacobot",
                inputs=[InputDataset(namespace="s3://pantry", name="salsa.csv")],
                outputs=[],
            )
        )
    producer.close(SECONDS)

    eventually(lambda: site.events(job) == ["run", "update", "finish"])
    assert site.data(job)["inputs"][0]["name"] == "salsa.csv"
    assert site.data(job)["run"]["runId"] == run.runId
