"""A gateway with the actor and its database behind it, and clients that note what becomes of events."""

from __future__ import annotations

import functools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

import reactor
from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db
from tests.abaco.running import EVERYONE, SECONDS, Client, RunningGateway, eventually
from tests.conftest import ROOT, hang_up
from tests.datacatalog.jobs import fields
from tests.reliability.checker import MARK, Call, Document, Job, Outcome, Record

IMAGE = "pipelinejobs-manager"
_OTHER_CHANGES = ["delete", "hide", "undelete"]


def manager_gateway(folder: Path, mongodb: dict[str, Any], mode: str = "warm") -> RunningGateway:
    """Return a gateway that knows this repository's actor as `images.yml` does, not started yet.

    Args:
        folder: of its files.
        mongodb: the settings of the job database.
        mode: of the actor.
    """
    return RunningGateway(folder, {IMAGE: manager_image(mongodb, mode)})


def manager_image(mongodb: dict[str, Any], mode: str = "warm") -> dict[str, Any]:
    """Return this repository's actor as `images.yml` has it, of which everybody may register actors.

    Args:
        mongodb: the settings of the job database.
        mode: of the actor.
    """
    image = yaml.safe_load((ROOT / "images.yml").read_text())[IMAGE]
    if mode == "cold":
        image = {name: value for name, value in image.items() if name not in ("handler", "batch")}
    environment = {
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
        "_REACTOR_MONGODB_TIMEOUT": str(mongodb["timeout"]),
        "_REACTOR_MONGODB_PATIENCE": "0",
    }
    image |= {"folder": str(ROOT), "mode": mode, "environment": environment}
    return {**image, "register": {"roles": [EVERYONE]}}


def processes(gateway: RunningGateway) -> list[psutil.Process]:
    """Return the processes of a gateway's workers."""
    try:
        return psutil.Process(gateway.pid).children()
    except psutil.NoSuchProcess:
        return []


def kill(gateway: RunningGateway, victim: str) -> None:
    """Kill the gateway, or the processes of its workers."""
    if victim == "gateway":
        gateway.kill()
        return
    for process in processes(gateway):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def own_connections() -> Iterator[Callable[[], None]]:
    """Let the code connect to databases by itself in the block; give what closes all connections."""
    connect, opened = mongo._client.__wrapped__, []

    def connect_and_note(uri: str, timeout: float) -> Any:
        opened.append(connect(uri, timeout))
        return opened[-1]

    cached = functools.cache(connect_and_note)

    def close() -> None:
        cached.cache_clear()
        # as in a new process
        reactor._opened.clear()
        while opened:
            hang_up(opened.pop())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mongo, "_client", cached)
        try:
            yield close
        finally:
            close()


def running_jobs(jobs: PipelineJobStore, pipeline: Document, count: int) -> list[Document]:
    """Make new jobs in the state RUNNING; return them with their tokens."""
    numbers = [secrets.token_hex(8) for _ in range(count)]
    made = [jobs.create(fields(pipeline, data={"number": number})) for number in numbers]
    return [jobs.handle({"uuid": job["uuid"], "name": "run"}, job["_update_token"]) for job in made]


class Sender:
    """Sends events to an actor, each with an id of its own, and notes what becomes of them.

    Args:
        client: of the gateway.
        actor: the manager.
        record: takes the calls.
    """

    def __init__(self, client: Client, actor: str, record: Record) -> None:
        self.client, self.record = client, record
        self._path = f"/{actor}/messages"

    def send(
        self,
        job: Document,
        name: str = "update",
        *,
        event: str | None = None,
        wait: bool = True,
        seconds: float = SECONDS,
        **parameters: str,
    ) -> tuple[Call, Any]:
        """Send an event; return its call, and what was answered if that was JSON.

        Args:
            job: with its token.
            name: of the event.
            event: its id, by default a new one.
            wait: until it has been handled, or only until it is accepted.
            seconds: how long to wait for an answer.
            parameters: more of them in the URL.
        """
        event = event or f"event {secrets.token_hex(8)}"
        query = {"uuid": job["uuid"], "token": job["_update_token"], "event": name, **parameters}
        if wait:
            query["_abaco_synchronous"] = "true"
        call = self.record.sent(job["uuid"], event)
        try:
            reply = self.client.post(self._path, params=query, json={MARK: event}, timeout=seconds)
        except httpx.ConnectError:
            # it was not sent: there is no gateway at the moment
            call.outcome = Outcome.REFUSED
            time.sleep(0.05)
            return call, None
        except httpx.TransportError:
            return call, None
        answer = reply.json()
        if reply.is_success and (not wait or "state" in answer):
            call.outcome = Outcome.ACKNOWLEDGED
        elif reply.is_client_error or answer.get("kind") in ("not_allowed", "conflict"):
            call.outcome = Outcome.REFUSED
        return call, answer

    def until_acknowledged(self, job: Document, began: float) -> float:
        """Send events until one is applied; return how many seconds after a moment that was."""
        eventually(lambda: self.send(job, seconds=5)[0].outcome is Outcome.ACKNOWLEDGED)
        return time.monotonic() - began


@contextmanager
def under_load(send: Callable[[int], Any], threads: int = 8) -> Iterator[None]:
    """Call a function with 0, 1, 2... from some threads at once, until the block ends."""
    ended, numbers, lock = threading.Event(), iter(range(10**9)), threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while not ended.is_set():
                with lock:
                    number = next(numbers)
                send(number)
        except BaseException as error:  # noqa: BLE001 - it is raised where the block ends
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join()
    assert not errors, errors


def settled(client: Client, actor: str, seconds: float = 90) -> list[Document]:
    """Return the executions of an actor when nothing waits or runs any more."""

    def find() -> list[Document] | None:
        if client.result("GET", f"/{actor}/messages")["messages"]:
            return None
        found: list[Document] = client.result("GET", f"/{actor}/executions")["executions"]
        over = all(each["status"] not in ("SUBMITTED", "RUNNING") for each in found)
        return found if over else None

    ended: list[Document] = eventually(find, seconds)
    return ended


def read_back(db: Db, only: Sequence[Document] | None = None) -> list[Job]:
    """Return jobs with their whole histories, as they are in the database.

    Args:
        db: of the jobs.
        only: these, by default all.
    """
    query = {} if only is None else {"uuid": {"$in": [job["uuid"] for job in only]}}
    found = []
    for document in list(db["jobs"].find(query)):
        mark = document.get("_history", {}).get("moved", 0)
        of_job = {"job_id": document["_id"], "first": {"$lt": mark}}
        changes = {"uuid": document["uuid"], "action": {"$in": _OTHER_CHANGES}}
        rows = {row["_id"] for row in db["updates"].find(changes, {"_id": 1})}
        if document.get("_visible") is False:
            # the row of a hide is written after it, and made up for by the next change
            rows.add(f"{document['_id']}:{document['_properties']['revision']}")
        found.append(
            Job(
                document,
                list(db["jobs_history"].find(of_job, sort=[("first", 1)])),
                len(rows),
                list(db["rejected_events"].find({"uuid": document["uuid"]})),
            )
        )
    return found
