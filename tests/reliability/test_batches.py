"""Row 1 again, for events that are written together: a kill while a batch of them is on its way."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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

TOGETHER = 6
ROUNDS = many(1, 10)


class Plan:
    """Hold a write of an event until more events of the job wait, then the write of all these."""

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


def revision(db: Db, job: Document) -> int:
    stored = db["jobs"].find_one({"uuid": job["uuid"]}) or {}
    return int(stored["_properties"]["revision"])


def test_a_kill_while_events_are_written_together_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
    server: Server,
    mongodb: dict[str, Any],
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
) -> None:
    points = [*itertools.product(("actor", "gateway"), (Fault.HOLD_BEFORE, Fault.HOLD_AFTER))]
    record, back = Record(), []
    made = running_jobs(jobs, pipeline, len(points) + 1)
    with Proxy(server.uri) as proxy, ThreadPoolExecutor(TOGETHER + 1) as threads:
        gateway = manager_gateway(tmp_path, {**mongodb, "authn": proxy.uri}).start()
        try:
            with gateway.admin() as admin:
                actor = admin.actor(IMAGE)
                sender = Sender(admin, actor, record)

                def waiting() -> int:
                    return int(admin.result("GET", f"/{actor}/messages")["messages"])

                for job, (victim, point) in zip(itertools.cycle(made[1:]), points * ROUNDS):
                    plan = proxy.plan = Plan(proxy, point)
                    before = revision(db, job)
                    sending = [threads.submit(sender.send, job)]
                    assert proxy.held.wait(SECONDS)
                    sending += [threads.submit(sender.send, job) for _ in range(TOGETHER)]
                    eventually(lambda: waiting() >= TOGETHER)
                    proxy.go_on.set()
                    plan.wait_for_the_batch()
                    applied = TOGETHER if point is Fault.HOLD_AFTER else 0
                    assert revision(db, job) == before + 1 + applied
                    kill(gateway, victim)
                    began = time.monotonic()
                    proxy.go_on.set()
                    if victim == "gateway":
                        gateway.start()
                    back.append(sender.until_acknowledged(made[0], began))
                    for each in sending:
                        each.result()
                    # those that begin again have to end before the next write is held
                    settled(admin, actor)
                    if victim == "actor":
                        # the worker that this happened to takes one at a time for a minute
                        gateway.stop()
                        gateway.start()
        finally:
            gateway.kill()
    assert problems(record, read_back(db, made)) == []
    assert max(back) < BACK_SECONDS
    note(1, "kills while events are written together", len(back), record=record, back=back)
