"""Who guesses the token of a job is slowed down by the gateway; whoever has it is not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from abaco.throttling import OF_SUBJECT
from tests.abaco.running import SECONDS, RunningGateway
from tests.actor import job_event, run_event, without
from tests.pipelinejobs.running import Run, told


def test_guesses_are_slowed_and_tell_nothing_and_the_owner_goes_on(
    here: RunningGateway, bare: Run
) -> None:
    made = bare("jobs", "create", "--pipeline", "tacobot:9000", "--output", "json").rows
    unknown = f"107{str(uuid.uuid5(uuid.NAMESPACE_DNS, 'nobody'))[3:]}"

    def post(job: str, token: str, **event: Any) -> httpx.Response:
        query = {"x-nonce": told(here, "nonce"), "_abaco_synchronous": "true"}
        url = f"{here.url}/actors/v2/{told(here, 'actor')}/messages"
        body = {"uuid": job, "name": "update", "token": token, **event}
        return httpx.post(url, params=query, json=body, timeout=SECONDS)

    def guess(job: str) -> list[tuple[int, str]]:
        replies = [post(job, f"{number:016x}") for number in range(OF_SUBJECT.refusals + 2)]
        return [(reply.status_code, reply.text.replace(job, "JOB")) for reply in replies]

    of_known, of_unknown = guess(made["uuid"]), guess(unknown)
    assert of_known == of_unknown
    assert [status for status, _ in of_known] == [200] * OF_SUBJECT.refusals + [429] * 2
    assert json.loads(of_known[0][1])["kind"] == "not_authorized"
    for _ in range(5):
        # by the same nonce, from the same address, and not even by an event of the job before
        reply = post(made["uuid"], made["token"])
        assert (reply.status_code, "error" in reply.json()) == (200, False)


def test_guesses_in_other_forms_are_slowed_as_well(here: RunningGateway, bare: Run) -> None:
    url = f"{here.url}/actors/v2/{told(here, 'actor')}/messages"
    query = {"x-nonce": told(here, "nonce"), "_abaco_synchronous": "true"}

    def statuses(form: Callable[[Mapping[str, Any]], dict[str, Any]], sample: str) -> list[int]:
        data = json.dumps({"sample": sample})
        made = bare(
            *("jobs", "create", "--pipeline", "tacobot:9000", "--data", data, "--output", "json")
        ).rows
        replies = []
        for number in range(OF_SUBJECT.refusals + 1):
            body = form({"uuid": made["uuid"], "_update_token": f"{number:016x}"})
            replies.append(httpx.post(url, params=query, json=body, timeout=SECONDS))
        return [reply.status_code for reply in replies]

    forms: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "extension": job_event,
        "data": lambda job: {
            **without(job_event(job), "token"),
            "data": {"token": job["_update_token"]},
        },
        "facet": run_event,
    }
    for sample, form in forms.items():
        assert statuses(form, sample) == [200] * OF_SUBJECT.refusals + [429], sample
