"""Row 1 again, for events that are written together: a kill while a batch of them is on its way.

The events are of one job, which are one update, or of several, which are several in one command.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db, Document
from local.database import Server
from tests.abaco.running import SECONDS, eventually
from tests.reliability.checker import Record, problems
from tests.reliability.running import (
    IMAGE,
    Sender,
    kill,
    manager_gateway,
    read_back,
    running_jobs,
    settled,
)
from tests.reliability.soak import BACK_SECONDS, many, note
from tests.reliability.wire import Command, Fault, Proxy

TOGETHER, SEVERAL = 6, 3
ROUNDS = many(1, 10)


class Plan:
    """Hold a write of an event until more events wait, then the write of all these."""

    def __init__(self, proxy: Proxy, point: Fault) -> None:
        proxy.held.clear()
        proxy.go_on.clear()
        self._proxy = proxy
        self._faults = [Fault.HOLD_AFTER, point]

    def __call__(self, command: Command) -> Fault | None:
        if not command.writes("jobs") or not self._faults:
            return None
        self._proxy.held.clear()
        self._proxy.go_on.clear()
        return self._faults.pop(0)

    def wait_for_the_batch(self) -> None:
        eventually(lambda: not self._faults and self._proxy.held.is_set())


def revisions(db: Db, jobs: Sequence[Document]) -> int:
    """Return how often some jobs have changed, all in all."""
    found = db["jobs"].find({"uuid": {"$in": [job["uuid"] for job in jobs]}})
    return sum(int(each["_properties"]["revision"]) for each in found)


@pytest.mark.long
def test_a_kill_while_events_are_written_together_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
    server: Server,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    kills = itertools.product(
        ("actor", "gateway"), (Fault.HOLD_BEFORE, Fault.HOLD_AFTER), (SEVERAL,)
    )
    rounds = [*kills, ("gateway", Fault.HOLD_AFTER, 1)] * ROUNDS
    record, back = Record(), []
    other, *new = running_jobs(jobs, pipeline, 1 + SEVERAL * len(rounds))
    all_jobs = [other, *new]
    with Proxy(server.uri) as proxy, ThreadPoolExecutor(TOGETHER + 1) as threads:
        gateway = manager_gateway(tmp_path, {**mongodb, "authn": proxy.uri}).start()
        try:
            with gateway.admin() as admin:
                # a second one would take what is to wait for the first
                actor = admin.actor(IMAGE, maxWorkers=1)
                sender = Sender(admin, actor, record)

                def waiting() -> int:
                    return int(admin.result("GET", f"/{actor}/messages")["messages"])

                for victim, point, count in rounds:
                    # a job whose history is full is written to by itself
                    made, new = new[:SEVERAL], new[SEVERAL:]
                    plan = proxy.plan = Plan(proxy, point)
                    before = revisions(db, made)
                    sending = [threads.submit(sender.send, made[0])]
                    assert proxy.held.wait(SECONDS)
                    sending += [
                        threads.submit(sender.send, made[number % count])
                        for number in range(TOGETHER)
                    ]
                    eventually(lambda: waiting() >= TOGETHER)
                    proxy.go_on.set()
                    plan.wait_for_the_batch()
                    applied = TOGETHER if point is Fault.HOLD_AFTER else 0
                    assert revisions(db, made) == before + 1 + applied
                    kill(gateway, victim)
                    began = time.monotonic()
                    proxy.go_on.set()
                    if victim == "gateway":
                        gateway.start()
                    back.append(sender.until_acknowledged(other, began))
                    for each in sending:
                        each.result()
                    # those that begin again have to end before the next write is held
                    settled(admin, actor)
                    # the worker that this happened to takes fewer at a time for a while
                    gateway.stop()
                    gateway.start()
        finally:
            gateway.kill()
    assert problems(record, read_back(db, all_jobs)) == []
    assert max(back) < BACK_SECONDS
    note(1, "kills while events are written together", len(back), record=record, back=back)
