"""The actor as its users see it: messages as the platform hands them over, and what comes back."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import reactor
from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from manager.exceptions import Refusal
from reactors.runtime import Reactor
from tests.conftest import ADMIN, ROOT

ACTOR_ID = "JXxQ5WbDPWpJ0"
USER = "scientist"
TRUSTED_USER = "operator"
NONCE = "SD2E_n0nce0fThisActor"
TRUSTED = {"_REACTOR_AUTHORIZATION_TRUSTED_USERS": TRUSTED_USER, "_abaco_username": TRUSTED_USER}
BY_NONCE = {"x-nonce": NONCE}
UNKNOWN_JOB = "10704d54-03e2-5f4b-8c2c-d5d9a4e5e1a1"
UNKNOWN_PIPELINE = "10604d54-03e2-5f4b-8c2c-d5d9a4e5e1a1"

ALOE_POST = {
    "id": "6f2c7b9e-3b5d-4f7e-9a11-0f1e2d3c4b5a-007",
    "appId": "tacos-1.0",
    "executionSystem": "hpc-tacc-stampede2",
    "owner": USER,
    "archivePath": "/products/v2/tacos",
    "archiveSystem": "data-sd2e-community",
    "tenantId": "sd2e",
    "tenantQueue": "aloe.jobq.sd2e.submit",
    "status": "RUNNING",
    "inputs": {"salsa": "agave://data-sd2e-community/uploads/salsa.txt"},
    "parameters": {"smoke": True},
}
AGAVE_POST = {
    name: value for name, value in ALOE_POST.items() if name not in ("tenantId", "tenantQueue")
} | {"_links": {"self": {"href": "https://api.sd2e.org/jobs/v2/1"}}}
TAPIS_JOB = "9ea0a1f6-3f0a-4b5e-8a4e-0d6c7b8a9f10-007"


def tapis(event_type: str = "RUNNING", number: int = 1, **data: Any) -> dict[str, Any]:
    """Return the notification that Tapis v3 posts about a job.

    Args:
        event_type: a status, or category and detail: `JOB_ERROR_MESSAGE.fatal`.
        number: of the event in its series, by which two events differ.
        data: more of the event's data, which arrives as JSON in a string.
    """
    category, _, detail = event_type.rpartition(".")
    known = {
        "jobName": "tacos",
        "jobUuid": TAPIS_JOB,
        "jobOwner": USER,
        "message": f"The job is {detail}",
    }
    if not category:
        known["newJobStatus"] = detail
    event_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{event_type} {number}"))
    address = f"https://api.sd2e.org/actors/v2/{ACTOR_ID}/messages?x-nonce={NONCE}&token=SECRET"
    return {
        "uuid": str(uuid.uuid4()),
        "tenant": "sd2e",
        "subscriptionName": "tacos",
        "eventUuid": event_uuid,
        "event": {
            "specversion": "1.0",
            "source": "https://tapis.io/v3/jobs",
            "type": f"jobs.{category or 'JOB_NEW_STATUS'}.{detail}",
            "subject": TAPIS_JOB,
            "data": json.dumps({**known, **data}),
            "seriesId": TAPIS_JOB,
            "seriesSeqCount": number,
            "timestamp": f"2026-11-23T10:00:{number:02}.123456Z",
            "deleteSubscriptionsMatchingSubject": False,
            "endSeries": False,
            "tenant": "sd2e",
            "user": USER,
            "received": "2026-11-23T10:00:59.5Z",
            "uuid": event_uuid,
        },
        "deliveryTarget": {"deliveryMethod": "WEBHOOK", "deliveryAddress": address},
        "created": "2026-11-23T10:00:59.6Z",
    }


def cloud_event(notification: dict[str, Any]) -> dict[str, Any]:
    """Return the event of a notification by itself, as CloudEvents 1.0 has it."""
    event = dict(notification["event"])
    event["id"], event["time"] = event.pop("uuid"), event.pop("timestamp")
    event["data"] = json.loads(event["data"])
    return event


def job_event(job: Mapping[str, Any], name: str = "run", **more: Any) -> dict[str, Any]:
    """Return an event of a job as CloudEvents 1.0 has it, with the job's token as an extension."""
    return {
        "specversion": "1.0",
        "id": f"{name}-1",
        "source": "https://pipelines.example.org/tacos",
        "type": f"org.example.tacos.{name}",
        "subject": job["uuid"],
        "time": "2026-11-23T10:00:00Z",
        "data": {"salsa": "verde"},
        "token": job["_update_token"],
        **more,
    }


RUN = "3f5e83fa-3480-44ff-99c5-ff943904e5e8"


def run_event(
    named: Mapping[str, Any] | None, event_type: str = "START", /, **more: Any
) -> dict[str, Any]:
    """Return an event of a run as OpenLineage has it, with a facet that names a job, or without."""
    facets: dict[str, Any] = {"nominalTime": {"nominalStartTime": "2026-11-23T10:00:00Z"}}
    if named is not None:
        facets["pipelinejobs_job"] = {"uuid": named["uuid"], "token": named["_update_token"]}
    return {
        "eventType": event_type,
        "eventTime": "2026-11-23T10:00:00.123Z",
        "run": {"runId": RUN, "facets": facets},
        "job": {"namespace": "kitchen", "name": "tacos"},
        "inputs": [{"namespace": "s3://pantry", "name": "salsa.csv"}],
        "outputs": [],
        "producer": "https://pipelines.example.org/tacos",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        **more,
    }


class Reply(NamedTuple):
    """What became of a message that was processed in this process."""

    result: dict[str, Any]
    """what a synchronous caller is answered; empty if the message was refused"""
    error: str
    """why it was refused; empty if it was not"""
    kind: str
    """of the refusal"""
    log: str


class Run(NamedTuple):
    """What is seen of an actor's execution from outside."""

    code: int
    lines: list[str]
    """what it wrote to standard error"""
    answer: dict[str, Any] | None
    """the datagram to the synchronous caller"""

    @property
    def message(self) -> str:
        """The last line without its time."""
        return self.lines[-1].partition(" ")[2]


class Actor:
    """Messages for an actor whose jobs are in a database.

    Args:
        mongodb: the settings of the database.
        folder: where the results socket is made.
        more: further variables of every execution, the settings of the actor for instance.
    """

    def __init__(self, mongodb: Mapping[str, Any], folder: Path, **more: str) -> None:
        self.mongodb = mongodb
        path = folder / "results.sock"
        self._results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._results.bind(str(path))
        self._results.setblocking(False)
        self.environ = {
            "_abaco_actor_id": ACTOR_ID,
            "_abaco_actor_dbid": f"SD2E_{ACTOR_ID}",
            "_abaco_actor_name": "pipelinejobs-manager",
            "_abaco_username": USER,
            "_abaco_api_server": "https://api.sd2e.org",
            "_abaco_Content_Type": "application/json",
            "_abaco_results_socket": str(path),
            "_REACTOR_MONGODB_AUTHN": str(mongodb["authn"]),
            "_REACTOR_MONGODB_DATABASE": str(mongodb["database"]),
            "_REACTOR_MONGODB_TIMEOUT": str(mongodb["timeout"]),
            "_REACTOR_MONGODB_PATIENCE": "0",
            **ADMIN,
            **more,
        }

    def close(self) -> None:
        self._results.close()

    def message(
        self, body: Any = "", parameters: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the environment of one message.

        Args:
            body: a string, or a value that is passed as JSON.
            parameters: of the URL, and whatever else differs in this execution.
        """
        return {
            **self.environ,
            "_abaco_execution_id": secrets.token_hex(8),
            "MSG": body if isinstance(body, str) else json.dumps(body),
            **(parameters or {}),
        }

    def send(self, body: Any = "", parameters: Mapping[str, str] | None = None) -> Reply:
        """Process a message in this process."""
        log = io.StringIO()
        rx = Reactor(self.message(body, parameters), folders=[ROOT], log_stream=log)
        try:
            result = reactor.process(rx)
        except Refusal as refusal:
            return Reply({}, str(refusal), refusal.kind, log.getvalue())
        self.answer()
        return Reply(result, "", "", log.getvalue())

    def main(
        self,
        body: Any = "",
        parameters: Mapping[str, str] | None = None,
        *,
        arguments: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
        folder: Path = ROOT,
    ) -> Run:
        """Run the whole program in this process, which takes less time than `run`."""
        errors = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors):
            for name in os.environ:
                patch.delenv(name)
            for name, text in self.message(body, parameters).items():
                if name not in without:
                    patch.setenv(name, text)
            patch.chdir(folder)
            try:
                code = reactor.main([*arguments])
            except SystemExit as end:
                code = int(end.code or 0)
        return Run(code, errors.getvalue().splitlines(), self.answer())

    def run(
        self,
        body: Any = "",
        parameters: Mapping[str, str] | None = None,
        *,
        arguments: tuple[str, ...] = (),
        without: tuple[str, ...] = (),
        folder: Path = ROOT,
    ) -> Run:
        """Process a message in a process of its own, as the platform does."""
        environ = self.message(body, parameters)
        done = subprocess.run(
            [sys.executable, str(ROOT / "reactor.py"), *arguments],
            env={
                "PATH": os.environ["PATH"],
                **{name: text for name, text in environ.items() if name not in without},
            },
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.stdout == b""
        return Run(done.returncode, done.stderr.decode().splitlines(), self.answer())

    def answer(self) -> dict[str, Any] | None:
        """Return the oldest datagram that has not been read yet."""
        try:
            answer: dict[str, Any] = json.loads(self._results.recv(131_072))
        except BlockingIOError:
            return None
        return answer

    # Jobs

    @property
    def jobs(self) -> PipelineJobStore:
        return PipelineJobStore(self.mongodb)

    def job(self, uuid: str) -> Document:
        """Return a visible job with its whole history."""
        found = self.jobs.find_one_by_uuid(uuid)
        assert found is not None
        return found

    def bring(self, job: Mapping[str, Any], *events: str) -> None:
        """Send events to a job, so that it is in the state that a test is about."""
        for event in events:
            body = {"uuid": job["uuid"], "name": event, "token": job["_update_token"]}
            assert self.send(body).error == ""

    def dump(self) -> dict[str, list[Document]]:
        """Return everything that is in the database."""
        # by the store's own connection: what it sent without waiting has arrived before this
        db = mongo.connect(self.mongodb)
        return {
            name: list(db[name].find(sort=[("_id", 1)]))
            for name in sorted(db.list_collection_names())
        }


def event(job: Mapping[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """Return a PipelineJobEvent with the job's token."""
    return {"uuid": job["uuid"], "name": name, "token": job["_update_token"], **more}


def url(job: Mapping[str, Any], **parameters: str) -> dict[str, str]:
    """Return the URL parameters of a job: its uuid and token, and others."""
    return {"uuid": job["uuid"], "token": job["_update_token"], **parameters}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a body without some of its keys."""
    return {name: value for name, value in body.items() if name not in names}


def at_once(count: int, do: Callable[[int], Any]) -> list[Any]:
    """Return what some threads return that start at the same moment."""
    barrier, results = threading.Barrier(count), [None] * count

    def work(number: int) -> None:
        barrier.wait()
        results[number] = do(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def names(actor: Actor, job: Document) -> list[str]:
    """Return the events in a job's history."""
    return [entry["name"] for entry in actor.job(job["uuid"])["history"]]


def create(pipeline: Document, **more: Any) -> dict[str, Any]:
    """Return the message that creates a job."""
    return {
        "pipeline_uuid": pipeline["uuid"],
        "archive_path": "/products/v2/salsa",
        "data": {"salsa": "verde"},
        **more,
    }


def delete(job: Document, **more: bool) -> dict[str, Any]:
    """Return the message that deletes a job."""
    return {"uuid": job["uuid"], "action": "delete", "token": job["_update_token"], **more}
