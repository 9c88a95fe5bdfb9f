"""Messages in batches have the outcomes that they have one after the other, whatever comes."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

import pytest

import reactor
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from datacatalog.tokens import get_admin_token
from tests.actor import Actor, event, without
from tests.conftest import ADMIN
from tests.datacatalog.jobs import fields
from tests.reliability.soak import many

JOBS, MESSAGES, IDS, MOST = 3, 90, 20, 32


class Sent(NamedTuple):
    job: int
    name: str
    data: dict[str, int]
    parameters: dict[str, str]
    execution: int
    is_first: bool = True


class Shown(NamedTuple):
    """What the sender of a message is told."""

    refused: bool
    state: str | None
    revision: int | None


def stream(rnd: random.Random) -> list[Sent]:
    """Return events of some jobs; most are updates, of which many come again in one way or the other."""
    sent: list[Sent] = []

    def add(name: str, parameters: dict[str, str], data: int = 0) -> None:
        sent.append(Sent(job, name, {"n": data}, parameters, len(sent)))

    while len(sent) < MESSAGES:
        job, kind = rnd.randrange(JOBS), rnd.random()
        own_id = {"event_id": f"e{rnd.randrange(IDS)}"} if rnd.random() < 0.7 else {}
        if kind < 0.8:
            add("update", own_id, int(rnd.random() < 0.1))
        elif kind < 0.83:
            for name in ("reset", "ready", "run"):
                add(name, {})
        elif kind < 0.9:
            add(rnd.choice(["create", "fail", "run"]), own_id)
        elif sent:
            # the platform hands out an execution again
            sent.append(rnd.choice(sent)._replace(is_first=False))
    return sent


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("seed", range(many(1, 30)))
def test_the_outcomes_and_the_histories_are_the_same(
    seed: int,
    actor: Actor,
    jobs: PipelineJobStore,
    pipeline: Document,
) -> None:
    rnd = random.Random(seed)  # noqa: S311 - a case that can be had again, no secret
    sent = stream(rnd)
    numbered = [
        [fields(pipeline, data={"set": n, "job": job}) for job in range(JOBS)] for n in "ab"
    ]
    some, others = ([jobs.create(each) for each in given] for given in numbered)
    for job in (*some, *others):
        actor.bring(job, "run")

    def message(to: list[Document], number: int) -> dict[str, str]:
        job, name, data, parameters, execution, is_first = sent[number]
        given: dict[str, Any] = {"data": data}
        if name in ("reset", "ready"):
            given["token"] = get_admin_token(*ADMIN.values())
        known = {
            "_abaco_execution_id": f"{to[0]['uuid']} {execution}",
            "_abaco_first_attempt": str(is_first).lower(),
            "_REACTOR_DELIVERIES_DISPATCHER": "true",
        }
        return actor.message(event(to[job], name, **given), {**known, **parameters})

    def alone(environ: dict[str, str]) -> Shown:
        reply = actor.send(environ["MSG"], without(environ, "MSG"))
        return shown(reply.result)

    one_by_one = [alone(message(some, number)) for number in range(len(sent))]
    together: dict[int, Shown] = {}
    waiting, batched = list(range(len(sent))), 0
    while waiting:
        taken = waiting[: rnd.randint(2, MOST)]
        handled = reactor.together([message(others, number) for number in taken])
        for number, end in zip(taken, handled, strict=False):
            if end is not None:
                together[number] = shown(json.loads(end[2][0]))
                batched += 1
        left = [number for number in taken if number not in together]
        if left:
            together[left[0]] = alone(message(others, left[0]))
        waiting = [number for number in waiting if number not in together]

    assert [together[number] for number in range(len(sent))] == one_by_one
    assert batched > len(sent) // 10
    for job, other in zip(some, others, strict=True):
        assert history(jobs, other) == history(jobs, job)


def shown(result: Any) -> Shown:
    return Shown("error" in result, result.get("state"), result.get("revision"))


def history(jobs: PipelineJobStore, job: Document) -> list[tuple[Any, ...]]:
    entries = jobs.histories.read(jobs.load(job["uuid"]), 1, None)
    return [(e["name"], e["data"], e["_state"], e["_revision"]) for e in entries]
